"""The case file: one case per turn, and the copy of its evidence.

Cases are inserted in one transaction of the decision store, evidence is copied in later ones, because no
transaction spans both stores. A case is served from the moment it has its evidence; what a crash left out, the
next call copies. From then on, retention in the event store takes nothing from the case.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import col, select

from core.clock import now
from core.events import EventStore
from core.records import RecordStore
from core.settings import Settings
from incidents.audit import Change, change
from incidents.enums import Action, CaseState, OpenedBy
from incidents.evidence import Evidence, Target, gather_evidence
from incidents.facets import rank, read_facets, write_facets
from incidents.models import Case, CaseEvent, CaseEvidence
from incidents.people import Actor
from incidents.priority import DRAWN_PRIORITY
from ingest.schema import get_data_version

WAITING = (CaseState.OPEN.value, CaseState.ESCALATED.value)
"""States in which a case waits for a person."""

_EVIDENCE_BATCH = 2000
_CHUNK = 10_000


@dataclass(frozen=True, slots=True)
class NewCase:
    """A turn for which a case is to be opened."""

    request_id: str
    conversation_id: str | None
    turn_at: datetime
    opened_by: OpenedBy


def make_case_id(request_id: str) -> str:
    """A case's id from its turn's: safe in an address, the same whenever the case is opened."""
    return hashlib.blake2b(request_id.encode("utf-8", "surrogatepass"), digest_size=10).hexdigest()


def add_cases(current: Change, new: Iterable[NewCase], *, seen: int) -> list[str]:
    """Inserts those cases whose turn has none yet; returns their turns. The caller records the audit entry.

    Args:
        current: The change that this belongs to.
        new: Turns to judge.
        seen: Data version of the event store that the turns were found in.
    """
    by_turn = {case.request_id: case for case in new}
    known: set[str] = set()
    for chunk in chunked(list(by_turn)):
        known.update(current.session.exec(select(Case.request_id).where(col(Case.request_id).in_(chunk))))
    added = [case for request_id, case in by_turn.items() if request_id not in known]
    if not added:
        return []
    connection = current.session.connection()
    connection.execute(sa.insert(Case), [_case_values(case, current, seen) for case in added])
    connection.execute(sa.insert(CaseEvent), [_opening_values(case, current) for case in added])
    return [case.request_id for case in added]


def copy_evidence(records: RecordStore, events: EventStore, *, settings: Settings, actor: Actor) -> int:
    """Copies the evidence of cases that lack it or whose rows grew, and sets their priority from it.

    Returns:
        Number of cases whose evidence was written.
    """
    count = 0
    while True:
        upto, at = get_data_version(events), now()
        with records.session() as session:
            cases = session.exec(_due(at).order_by(col(Case.turn_at)).limit(_EVIDENCE_BATCH)).all()
        if not cases:
            return count
        targets = [Target(case.request_id, case.turn_at) for case in cases]
        evidence = gather_evidence(events, targets, layers=settings.layers)
        with change(records, actor=actor, at=at) as current:
            _write_evidence(current, cases, evidence, upto, settings=settings)
            current.record("evidence.copy", "cases", {"cases": len(cases), "position": upto})
        count += len(cases)


def chunked(values: Sequence[str]) -> Iterator[Sequence[str]]:
    """The values in runs short enough for one statement's parameters."""
    for start in range(0, len(values), _CHUNK):
        yield values[start : start + _CHUNK]


def _due(at: datetime) -> Any:
    """Cases without evidence, and waiting ones with new rows, unless a reviewer has them on the screen."""
    is_free = sa.or_(col(Case.leased_until).is_(None), col(Case.leased_until) <= at)
    is_outdated = col(Case.evidence_ingest_id) < col(Case.seen_ingest_id)
    return select(Case).where(
        sa.or_(
            col(Case.evidence_ingest_id).is_(None),
            sa.and_(col(Case.state).in_(WAITING), is_outdated, is_free),
        )
    )


def _write_evidence(
    current: Change, cases: Sequence[Case], evidence: dict[str, Evidence], upto: int, *, settings: Settings
) -> None:
    values, bodies, facets = [], [], {}
    for case in cases:
        rows = evidence[case.request_id]
        turn = rows.find_turn(case.request_id)
        priority = rank(case, rows.to_rows())
        facets[case.case_id] = (read_facets(rows.to_rows(), request_id=case.request_id), priority)
        conversations = [row["conversation_id"] for row in (*([turn] if turn else []), *rows.checks)]
        values.append(
            {
                "key": case.case_id,
                "conversation": next(filter(None, conversations), case.conversation_id),
                "moment": (turn["ts"] if turn else None) or case.turn_at,
                "value": max(priority.value, DRAWN_PRIORITY) if case.is_drawn else priority.value,
                "reason": priority.reason,
                "flagged": priority.category,
                "severity": priority.severity_hint,
                "position": upto,
            }
        )
        bodies.append({"case_id": case.case_id, "copied_at": current.at, "body": rows.pack()})
    connection = current.session.connection()
    connection.execute(
        sa.update(Case)
        .where(col(Case.case_id) == sa.bindparam("key"))
        .values(
            conversation_id=sa.bindparam("conversation"),
            turn_at=sa.bindparam("moment"),
            priority=sa.bindparam("value"),
            priority_reason=sa.bindparam("reason"),
            category=sa.bindparam("flagged"),
            severity_hint=sa.bindparam("severity"),
            evidence_ingest_id=sa.bindparam("position"),
        ),
        values,
    )
    keys = [body["case_id"] for body in bodies]
    connection.execute(sa.delete(CaseEvidence).where(col(CaseEvidence.case_id).in_(keys)))
    connection.execute(sa.insert(CaseEvidence), bodies)
    write_facets(current.session, facets, settings=settings)


def _case_values(case: NewCase, current: Change, seen: int) -> dict[str, Any]:
    return {
        "case_id": make_case_id(case.request_id),
        "request_id": case.request_id,
        "conversation_id": case.conversation_id,
        "turn_at": case.turn_at,
        "opened_by": case.opened_by.value,
        "opened_at": current.at,
        "state": CaseState.OPEN.value,
        "version": 1,
        "priority": 0.0,
        "priority_reason": "",
        "is_drawn": False,
        "seen_ingest_id": seen,
    }


def _opening_values(case: NewCase, current: Change) -> dict[str, Any]:
    return {
        "case_id": make_case_id(case.request_id),
        "seq": 1,
        "at": current.at,
        "actor": current.actor.name,
        "action": Action.OPEN.value,
        "state": CaseState.OPEN.value,
        "payload": json.dumps({"opened_by": case.opened_by.value}),
    }
