"""Verdicts that a later version of the reviewers' guideline has overtaken."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl
from sqlmodel import Session, col, select

from incidents.judgement.models import GuidelineVersion


@dataclass(frozen=True, slots=True)
class Guideline:
    """One version of the guideline.

    Attributes:
        name: As votes bear it.
        changed: Categories whose meaning it changed; None = all of them.
    """

    name: str
    changed: frozenset[str] | None


def read_guidelines(session: Session) -> tuple[Guideline, ...]:
    """The versions declared so far, oldest first; their categories are a JSON list, or null for all."""
    declared = session.exec(select(GuidelineVersion).order_by(col(GuidelineVersion.position))).all()
    changed = [json.loads(version.categories) for version in declared]
    return tuple(
        Guideline(version.name, None if categories is None else frozenset(categories))
        for version, categories in zip(declared, changed, strict=True)
    )


def find_stale(turns: pl.DataFrame, guidelines: Sequence[Guideline]) -> pl.Series:
    """Whether a version later than the verdict's changed the category of the turn.

    A verdict without a version, or with one that nobody declared, was given before the first. A turn without any category,
    the people's or the filter's, is stale as soon as anything changed: nobody can tell that it is not.

    Args:
        turns: guideline_version, category (the people's), triggered_category (the filter's).
        guidelines: Oldest first.
    """
    position = {guideline.name: number for number, guideline in enumerate(guidelines)}
    stale = []
    for version, category, triggered in turns.select("guideline_version", "category", "triggered_category").iter_rows():
        later = guidelines[position.get(version, -1) + 1 :]
        own = category or triggered
        stale.append(any(_touches(guideline, own) for guideline in later))
    return pl.Series("is_stale", stale, dtype=pl.Boolean)


def _touches(guideline: Guideline, category: str | None) -> bool:
    if guideline.changed is None:
        return True
    return bool(guideline.changed) if category is None else category in guideline.changed
