"""Reading cases: frozen views, and the one place where an event is added to a case."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlmodel import Session, col, select

from core.errors import ConflictError, NotFoundError
from incidents.audit import Change
from incidents.enums import Action, CaseState, OpenedBy
from incidents.evidence import unpack_evidence
from incidents.models import Case, CaseEvent, CaseEvidence
from incidents.transitions import Event, Snapshot, find_rule, step


@dataclass(frozen=True, slots=True)
class CaseView:
    """A case as it was when read. Times are naive UTC.

    Attributes:
        case_id: Identity; the same for the same turn in any home.
        request_id: The turn to judge.
        conversation_id: Its conversation, if logged.
        state: Where it stands.
        opened_by: What brought it here.
        priority: 0 to 1; the queue serves high ones first.
        priority_reason: Explains it in a sentence.
        opened_at: When the case was opened.
        acked_at: When a person first took it up, since it was opened or last escalated.
        decided_at: First verdict that stands.
        escalated_at: Last escalation by a person.
        leased_by: Who holds it, or held it last: the lease counts until `leased_until`.
        leased_until: End of the lease.
        snoozed_until: Until when it is served to nobody, if somebody put it off.
        assigned_to: Colleague whom it was handed to: it is kept for them until `assigned_until`.
        assigned_until: End of that.
        due_at: When its service level ends.
        version: Number of changes; pass it back to refuse acting on an outdated view.
        category: Gravest category that a filter or report named; None when drawn at random.
        severity_hint: Usual severity of that category, 1 to 4.
        doubt: How much a verdict will teach, 0 to 1; None when drawn at random.
        exposure: How far the text reached people, 0 to 1; None likewise.
        harmful: What most reviewers say about the turn; None while undecided or tied.
        verdict_category: The category they chose.
        evidence: `turns`, `checks`, `reports`: canonical rows; empty in lists.
    """

    case_id: str
    request_id: str
    conversation_id: str | None
    state: CaseState
    opened_by: OpenedBy
    priority: float
    priority_reason: str
    opened_at: datetime
    acked_at: datetime | None
    decided_at: datetime | None
    escalated_at: datetime | None
    leased_by: str | None
    leased_until: datetime | None
    snoozed_until: datetime | None
    assigned_to: str | None
    assigned_until: datetime | None
    due_at: datetime | None
    version: int
    category: str | None
    severity_hint: int | None
    doubt: float | None
    exposure: float | None
    harmful: bool | None
    verdict_category: str | None
    evidence: dict[str, Any] = field(default_factory=dict)

    def is_held(self, at: datetime, *, by: str | None = None) -> bool:
        """Whether someone, or the named person, holds it at that moment."""
        if self.leased_by is None or self.leased_until is None or self.leased_until <= at:
            return False
        return by is None or by == self.leased_by


def build_view(session: Session, case: Case, *, with_evidence: bool = True) -> CaseView:
    """A case's view."""
    stored = session.get(CaseEvidence, case.case_id) if with_evidence else None
    return CaseView(
        case_id=case.case_id,
        request_id=case.request_id,
        conversation_id=case.conversation_id,
        state=CaseState(case.state),
        opened_by=OpenedBy(case.opened_by),
        priority=case.priority,
        priority_reason=case.priority_reason,
        opened_at=case.opened_at,
        acked_at=case.acked_at,
        decided_at=case.decided_at,
        escalated_at=case.escalated_at,
        leased_by=case.leased_by,
        leased_until=case.leased_until,
        snoozed_until=case.snoozed_until,
        assigned_to=case.assigned_to,
        assigned_until=case.assigned_until,
        due_at=case.due_at,
        version=case.version,
        category=case.category,
        severity_hint=case.severity_hint,
        doubt=case.doubt,
        exposure=case.exposure,
        harmful=case.harmful,
        verdict_category=case.verdict_category,
        evidence=unpack_evidence(stored.body) if stored else {},
    )


def get_row(session: Session, case_id: str, *, version: int | None = None) -> Case:
    """A case's row.

    Raises:
        NotFoundError: There is none.
        ConflictError: It is no longer the given version.
    """
    case = session.get(Case, case_id)
    if case is None:
        raise NotFoundError("No such case", repr(case_id), "It may belong to another home.")
    if version is not None and version != case.version:
        raise ConflictError(
            "The case changed since you opened it",
            f"version {version} is now {case.version}",
            "Look at it again before you act.",
        )
    return case


def list_events(session: Session, case_id: str) -> list[Event]:
    """A case's events, oldest first."""
    rows = session.exec(select(CaseEvent).where(CaseEvent.case_id == case_id).order_by(col(CaseEvent.seq)))
    return [Event(Action(row.action), row.actor, row.at, json.loads(row.payload)) for row in rows]


def get_snapshot(case: Case) -> Snapshot:
    """The part of a case's row that its events determine."""
    return Snapshot(
        state=CaseState(case.state),
        version=case.version,
        leased_by=case.leased_by,
        leased_until=case.leased_until,
        acked_at=case.acked_at,
        decided_at=case.decided_at,
        escalated_at=case.escalated_at,
        snoozed_until=case.snoozed_until,
        assigned_to=case.assigned_to,
        assigned_until=case.assigned_until,
    )


def require_free(case: Case, *, actor: str, at: datetime) -> None:
    """Raises ConflictError when another person holds the case."""
    if case.leased_by in (None, actor) or case.leased_until is None or case.leased_until <= at:
        return
    raise ConflictError(
        "Someone else has this case",
        f"{case.leased_by} until {case.leased_until:%H:%M} UTC",
        "Take the next one.",
    )


def add_event(
    change: Change, case: Case, action: Action, payload: Mapping[str, object], *, is_part: bool = False
) -> None:
    """Moves a case one event on, with its audit entry, unless it is part of a change that has one for all its cases.

    Raises:
        TransitionError: The action is not allowed in the case's state.
        AccessError: The actor's role does not permit it.
    """
    before = get_snapshot(case)
    change.actor.require(find_rule(before.state, action, payload).role)
    after = step(before, Event(action, change.actor.name, change.at, payload))
    case.state, case.version = after.state.value, after.version
    case.leased_by, case.leased_until = after.leased_by, after.leased_until
    case.acked_at, case.decided_at, case.escalated_at = after.acked_at, after.decided_at, after.escalated_at
    case.snoozed_until = after.snoozed_until
    case.assigned_to, case.assigned_until = after.assigned_to, after.assigned_until
    change.session.add(case)
    change.session.add(
        CaseEvent(
            case_id=case.case_id,
            seq=after.version,
            at=change.at,
            actor=change.actor.name,
            action=action.value,
            state=after.state.value,
            payload=json.dumps(dict(payload), sort_keys=True),
        )
    )
    if not is_part:
        change.record(f"case.{action.value}", case.case_id, {"state": after.state.value})
