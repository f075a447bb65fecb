"""Verdicts that were given before the policy changed what they are about."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

import ibis
from ibis.backends import BaseBackend
from ibis.expr.types import BooleanValue, Table

EVERY_CATEGORY = "*"
"""In place of categories: a version that changed the meaning of all."""


@dataclass(frozen=True, slots=True)
class Version:
    """A declared guideline version, in the order of `position`."""

    position: int
    name: str
    declared_at: datetime
    categories: frozenset[str]


def read_categories(text: str) -> tuple[str, ...]:
    """The categories that a version changed, out of the JSON that is stored: a list, or null for all."""
    listed = json.loads(text)
    return (EVERY_CATEGORY,) if listed is None else tuple(listed)


def read_versions(backend: BaseBackend) -> list[Version]:
    """The declared versions, oldest first."""
    table = backend.table("guidelines")
    rows = table.order_by("position").to_polars().to_dicts()
    return [
        Version(row["position"], row["name"], row["declared_at"], frozenset(read_categories(row["categories"])))
        for row in rows
    ]


def mark_stale(backend: BaseBackend, votes: Table) -> Table:
    """`votes`, rows of `labels`, with `is_stale`: a later version changed the category that the verdict is about.

    That is the verdict's category; where it has none, as a benign one, each category that a check of the turn fired for. A verdict
    that names no declared version was given under the one in force at its time.
    """
    versions = read_versions(backend)
    stale: BooleanValue = ibis.literal(value=False)
    for version in versions:
        if version.categories:
            older = [other.name for other in versions if other.position < version.position]
            stale = stale | (_is_older(votes, version, older, versions) & _is_concerned(backend, votes, version))
    return votes.mutate(is_stale=stale)


def _is_older(votes: Table, version: Version, older: list[str], versions: list[Version]) -> BooleanValue:
    named = votes.guideline_version.fill_null("")
    is_unnamed = named.notin([other.name for other in versions])
    by_time = is_unnamed & (votes.ts < ibis.literal(version.declared_at))
    return by_time | named.isin(older) if older else by_time


def _is_concerned(backend: BaseBackend, votes: Table, version: Version) -> BooleanValue:
    if EVERY_CATEGORY in version.categories:
        return ibis.literal(value=True)
    changed = sorted(version.categories)
    checks = backend.table("checks")
    flagged = checks.filter(checks.triggered.fill_null(False), checks.category.isin(changed))
    is_named = votes.category.isin(changed).fill_null(False)
    return is_named | (votes.category.isnull() & votes.request_id.isin(flagged.request_id))
