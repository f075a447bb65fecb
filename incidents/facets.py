"""What cases are found by: facts derived from the evidence of a case, kept beside it so that a queue is one query.

They can be derived anew at any time, from the copy that the case keeps: `index_cases` does so for cases of an earlier
version of Weir, without the event store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, col, select

from core.clock import now
from core.records import RecordStore
from core.settings import Settings
from incidents.alike import find_groups
from incidents.audit import change
from incidents.enums import OpenedBy
from incidents.evidence import unpack_evidence
from incidents.models import Case, CaseEvidence, CaseFilter
from incidents.people import Actor
from incidents.priority import Priority, compute_drawn_priority, compute_priority
from incidents.queues import compute_due, hasten

FACETS_VERSION = 2
"""Raised whenever more is derived, so that older cases are indexed anew."""

_WRITTEN = ("group_id", "language", "source", "user_id", "hazard", "doubt", "exposure", "due_at", "facets_version")
_BATCH = 500
_NAME_LIMIT = 500
_TEXT_LIMIT = 2_000


@dataclass(frozen=True, slots=True)
class Facets:
    """What a case's evidence says about where it belongs.

    Attributes:
        language: Language tag of the prompt.
        source: Where the turn came from.
        user_id: The user, as logged.
        hazard: Gravest category that a filter or report named; for a random sample too, whose reviewer must not see it.
        fired: Filter and rule of each check that fired, without repetition; the rule is "" when none was logged.
        text: What the turn says, by which turns alike are found; "" when no log has it.
    """

    language: str | None
    source: str | None
    user_id: str | None
    hazard: str | None
    fired: tuple[tuple[str, str], ...]
    text: str


def read_facets(evidence: Mapping[str, Any], *, request_id: str) -> Facets:
    """The facets of the turn that evidence (`turns`, `checks`, `reports`) is about."""
    turn = _find_turn(evidence, request_id)
    checks: Sequence[Mapping[str, Any]] = evidence.get("checks") or ()
    fired = [(_name(row["filter_name"]), _name(row["rule_id"])) for row in checks if row["triggered"]]
    sources = [row["source"] for row in ([turn] if turn else []) + list(checks)]
    return Facets(
        language=_name(turn["language"]) or None if turn else None,
        source=next(filter(None, sources), None),
        user_id=turn["user_id"] if turn else None,
        hazard=_flag(evidence, request_id).category,
        fired=tuple(dict.fromkeys(fired)),
        text=" ".join((turn[name] or "")[:_TEXT_LIMIT] for name in ("prompt", "response")) if turn else "",
    )


def rank(case: Case, evidence: Mapping[str, Any]) -> Priority:
    """The case's priority by its evidence; the same for all that were opened by a random draw."""
    if case.opened_by == OpenedBy.SAMPLE.value:
        return compute_drawn_priority()
    return _flag(evidence, case.request_id)


def write_facets(session: Session, found: Mapping[str, tuple[Facets, Priority]], *, settings: Settings) -> None:
    """Writes the facets of cases, by case id."""
    groups = find_groups(session, {case_id: facets.text for case_id, (facets, _) in found.items()})
    opened = session.exec(select(Case.case_id, Case.opened_at).where(col(Case.case_id).in_(list(found)))).all()
    # Not row by row through the session: a busy hour brings thousands of cases.
    connection = session.connection()
    connection.execute(
        sa.update(Case)
        .where(col(Case.case_id) == sa.bindparam("key"))
        .values({name: sa.bindparam(f"new_{name}") for name in _WRITTEN}),
        [
            {"key": case_id, **_case_values(*found[case_id], opened_at, groups.get(case_id), settings)}
            for case_id, opened_at in opened
        ],
    )
    session.expire_all()
    connection.execute(sa.delete(CaseFilter).where(col(CaseFilter.case_id).in_(list(found))))
    rows = [
        {"case_id": case_id, "filter_name": name, "rule_id": rule}
        for case_id, (facets, _) in found.items()
        for name, rule in facets.fired
    ]
    if rows:
        connection.execute(sa.insert(CaseFilter), rows)
    hasten(session, settings.queues, list(found))


def _case_values(
    facets: Facets, priority: Priority, opened_at: datetime, group_id: str | None, settings: Settings
) -> dict[str, Any]:
    due_at = compute_due(settings.cases, opened_at=opened_at, severity=priority.severity_hint)
    values = (
        group_id,
        facets.language,
        facets.source,
        facets.user_id,
        facets.hazard,
        priority.doubt,
        priority.exposure,
        due_at,
        FACETS_VERSION,
    )
    return {f"new_{name}": value for name, value in zip(_WRITTEN, values, strict=True)}


def index_cases(records: RecordStore, *, settings: Settings, actor: Actor) -> int:
    """Derives the facets of cases that an earlier version of Weir filed; returns of how many."""
    count = 0
    while True:
        with change(records, actor=actor, at=now()) as current:
            query = select(Case, CaseEvidence).join(CaseEvidence, col(CaseEvidence.case_id) == col(Case.case_id))
            outdated = query.where(col(Case.facets_version) < FACETS_VERSION).limit(_BATCH)
            found = {}
            for case, stored in current.session.exec(outdated).all():
                evidence = unpack_evidence(stored.body)
                found[case.case_id] = (read_facets(evidence, request_id=case.request_id), rank(case, evidence))
            if not found:
                return count
            write_facets(current.session, found, settings=settings)
            current.keep()
        count += len(found)


def _flag(evidence: Mapping[str, Any], request_id: str) -> Priority:
    """The priority that follows from what filters and reports said about the turn."""
    turn = _find_turn(evidence, request_id)
    return compute_priority(turn=turn, checks=evidence.get("checks") or (), reports=evidence.get("reports") or ())


def _find_turn(evidence: Mapping[str, Any], request_id: str) -> dict[str, Any] | None:
    turns: Sequence[dict[str, Any]] = evidence.get("turns") or ()
    return next((turn for turn in turns if turn["request_id"] == request_id), None)


def _name(value: str | None) -> str:
    return (value or "")[:_NAME_LIMIT]
