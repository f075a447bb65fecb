"""Golden items: cases whose verdict is known, served among the others, and how accurately people judge them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl
from sqlmodel import Session, col, select

from core.errors import NotFoundError, TransitionError
from core.events import EventStore
from core.records import RecordStore
from core.settings import Settings, StatisticsSettings
from incidents.audit import Change, change
from incidents.enums import Action, CaseState, CloseReason, OpenedBy
from incidents.filing import NewCase, add_cases, copy_evidence, make_case_id
from incidents.judgement.answers import read_answers
from incidents.judgement.enums import Purpose
from incidents.judgement.models import Answer, GoldenItem
from incidents.models import Case
from incidents.people import Actor, Role
from incidents.reviews import find_standing, list_votes
from incidents.views import add_event, get_row
from ingest.schema import get_data_version
from metrics.consensus import ADJUDICATION
from metrics.estimate import wilson

_KNOWN = """
SELECT labels.request_id, arg_max(labels.harmful, labels.ts) AS harmful,
    arg_max(labels.category, labels.ts) AS category, arg_max(labels.severity, labels.ts) AS severity,
    any_value(turns.conversation_id) AS conversation_id, any_value(turns.ts) AS ts, any_value(turns.is_logged) AS is_logged
FROM labels LEFT JOIN turns USING (request_id)
WHERE labels.selection = 'golden' AND labels.request_id IS NOT NULL AND labels.filter_name IS NULL
GROUP BY labels.request_id HAVING harmful IS NOT NULL ORDER BY labels.request_id
"""


@dataclass(frozen=True, slots=True)
class GoldenImport:
    """What became of the golden verdicts in the event store.

    Attributes:
        pinned: Items that are golden from now on.
        known: Items that were already.
        unlogged: Verdicts about turns whose text no log holds, so that nobody could judge them.
        waiting: Verdicts about turns that people are judging now: their cases are left to them.
    """

    pinned: int
    known: int
    unlogged: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How far answers to golden items say what is known; rates as `metrics.estimate.RATE`.

    Attributes:
        items: Golden items in use.
        people: Reviewers who answered at least one.
        all: Answers of everybody that are right; unsure is not.
        by_category: The same by the known category ("benign" for benign items): (category, rate).
        own: The actor's own answers; shown to nobody else.
    """

    items: int
    people: int
    all: dict[str, Any]
    by_category: list[tuple[str, dict[str, Any]]]
    own: dict[str, Any]


def pin_imported(
    records: RecordStore, events: EventStore, *, settings: Settings, actor: Actor, at: datetime
) -> GoldenImport:
    """Makes golden items of the golden verdicts in the label log; each gets a case that waits for nobody."""
    actor.require(Role.LEAD)
    rows = events.read(_KNOWN).to_dicts()
    logged = [row for row in rows if row["is_logged"]]
    with change(records, actor=actor, at=at) as current:
        pinned_before = set(current.session.exec(select(GoldenItem.case_id)))
        new = [row for row in logged if make_case_id(row["request_id"]) not in pinned_before]
        cases = [NewCase(row["request_id"], row["conversation_id"], row["ts"], OpenedBy.GOLDEN) for row in new]
        added = set(add_cases(current, cases, seen=get_data_version(events)))
        pinned = sum(_pin_row(current, row, is_new=row["request_id"] in added) for row in new)
        counts = {"pinned": pinned, "known": len(logged) - len(new)}
        current.record("golden.import", "golden", counts)
    copy_evidence(records, events, settings=settings, actor=actor)
    return GoldenImport(pinned, len(logged) - len(new), len(rows) - len(logged), len(new) - pinned)


def pin_case(records: RecordStore, case_id: str, *, actor: Actor, at: datetime) -> None:
    """Makes a golden item of an adjudicated case, with the adjudicator's verdict.

    Raises:
        AccessError: The actor is no lead.
        NotFoundError: There is no such case.
        TransitionError: Nobody adjudicated it, or it is a golden item already.
    """
    actor.require(Role.LEAD)
    with change(records, actor=actor, at=at) as current:
        case = get_row(current.session, case_id)
        settled = [
            vote for vote in find_standing(list_votes(current.session, case_id)) if vote.selection == ADJUDICATION
        ]
        if not settled:
            raise TransitionError("Not adjudicated", case_id, "Only a settled verdict can be a known one.")
        item = current.session.get(GoldenItem, case_id)
        if item is not None and item.retired_at is None:
            raise TransitionError("A golden item already", case_id)
        verdict = settled[-1]
        current.session.merge(
            GoldenItem(
                case_id=case.case_id,
                harmful=bool(verdict.harmful),
                category=verdict.category,
                severity=verdict.severity,
                origin=ADJUDICATION,
                pinned_at=at,
                pinned_by=actor.name,
            )
        )
        current.record("golden.pin", case_id)


def retire_item(records: RecordStore, case_id: str, *, actor: Actor, at: datetime) -> None:
    """Serves a golden item no more; answers so far keep counting.

    Raises:
        AccessError: The actor is no lead.
        NotFoundError: It is none, or was retired before.
    """
    actor.require(Role.LEAD)
    with change(records, actor=actor, at=at) as current:
        item = current.session.get(GoldenItem, case_id)
        if item is None or item.retired_at is not None:
            raise NotFoundError("No such golden item", repr(case_id), "Try: weir golden list.")
        item.retired_at = at
        current.session.add(item)
        current.record("golden.retire", case_id)


def list_items(records: RecordStore, *, actor: Actor) -> list[GoldenItem]:
    """Golden items in use, oldest first; only leads may know them."""
    actor.require(Role.LEAD)
    with records.session() as session:
        query = select(GoldenItem).where(col(GoldenItem.retired_at).is_(None))
        return list(session.exec(query.order_by(col(GoldenItem.pinned_at), col(GoldenItem.case_id))))


def measure_accuracy(records: RecordStore, *, actor: Actor, statistics: StatisticsSettings) -> Accuracy:
    """How accurately golden items are judged: by all, by known category, and by the actor."""
    actor.require(Role.VIEWER)
    with records.session() as session:
        known = {item.case_id: item for item in session.exec(select(GoldenItem))}
        answers = read_answers(session, purpose=Purpose.GOLDEN)
    in_use = sum(item.retired_at is None for item in known.values())
    groups: dict[str, list[Answer]] = {}
    for answer in answers:
        item = known[answer.case_id]
        groups.setdefault((item.category or "none given") if item.harmful else "benign", []).append(answer)
    own = [answer for answer in answers if answer.reviewer == actor.name]
    parts = [answers, own, *(groups[name] for name in sorted(groups))]
    everybody, mine, *by_category = _rate(parts, known, statistics)
    return Accuracy(
        items=in_use,
        people=len({answer.reviewer for answer in answers}),
        all=everybody,
        by_category=list(zip(sorted(groups), by_category, strict=True)),
        own=mine,
    )


def _rate(
    parts: Sequence[Sequence[Answer]], known: dict[str, GoldenItem], statistics: StatisticsSettings
) -> list[dict[str, Any]]:
    counts = pl.DataFrame(
        {
            "right": [sum(answer.harmful is known[answer.case_id].harmful for answer in part) for part in parts],
            "given": [len(part) for part in parts],
        }
    )
    rates = wilson(
        counts,
        numerator="right",
        denominator="given",
        min_sample=statistics.min_sample,
        confidence=statistics.confidence,
    )
    return rates.to_list()


def _pin_row(current: Change, row: dict[str, Any], *, is_new: bool) -> bool:
    case = _find_settled(current.session, row["request_id"], is_new=is_new)
    if case is None:
        return False
    if is_new:
        add_event(current, case, Action.CLOSE, {"reason": CloseReason.IMPORTED.value})
    current.session.add(
        GoldenItem(
            case_id=case.case_id,
            harmful=row["harmful"],
            category=row["category"],
            severity=row["severity"],
            origin="import",
            pinned_at=current.at,
            pinned_by=current.actor.name,
        )
    )
    return True


def _find_settled(session: Session, request_id: str, *, is_new: bool) -> Case | None:
    """The turn's case, unless it waits for people: their first verdict goes before its being golden."""
    case = get_row(session, make_case_id(request_id))
    return case if is_new or case.state in (CaseState.DECIDED.value, CaseState.CLOSED.value) else None
