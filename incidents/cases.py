"""The triage queue: list, lease, skip, reveal, escalate. Verdicts are in `incidents.reviews`."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

import polars as pl
import sqlalchemy as sa
from sqlmodel import col, select

from core.clock import isoformat
from core.errors import NotFoundError, UsageError
from core.records import RecordStore
from core.settings import QueueSettings
from incidents.audit import Change, change
from incidents.enums import Action, CaseState, EscalationReason, OpenedBy
from incidents.models import Case, CaseEvent
from incidents.opening import open_cases
from incidents.people import SYSTEM, Actor, Role, is_reserved
from incidents.queues import Order, belongs_to, find_next, order_by
from incidents.views import CaseView, add_event, build_view, get_row, require_free

SNOOZE_LIMIT = timedelta(days=30)

__all__ = [
    "CaseView",
    "count_by_state",
    "escalate_case",
    "escalation_times",
    "find_case",
    "get_case",
    "hand_over_case",
    "lease_case",
    "lease_first",
    "lease_next",
    "list_cases",
    "list_colleagues",
    "list_escalated",
    "open_cases",
    "release_case",
    "reveal_turn",
    "skip_case",
    "snooze_case",
    "uncover_turn",
]


def list_cases(
    records: RecordStore,
    *,
    actor: Actor,
    states: Collection[CaseState] | None = None,
    queue: QueueSettings | None = None,
    order: Order = "priority",
    limit: int = 50,
    offset: int = 0,
) -> list[CaseView]:
    """Cases without evidence, of all states and queues where none is named.

    Args:
        records: The decision store.
        actor: Who looks.
        states: States.
        queue: The queue.
        order: How they are sorted (`queues.order_by`).
        limit: Most cases.
        offset: Cases left out at the start.
    """
    actor.require(Role.VIEWER)
    query = select(Case).order_by(*order_by(order))
    if states is not None:
        query = query.where(col(Case.state).in_([state.value for state in states]))
    if queue is not None:
        query = query.where(*belongs_to(queue))
    with records.session() as session:
        rows = session.exec(query.limit(limit).offset(offset))
        return [build_view(session, case, with_evidence=False) for case in rows]


def list_escalated(records: RecordStore, *, actor: Actor, limit: int = 200) -> list[CaseView]:
    """Cases without evidence that were handed to a person, by the cascade or by a reviewer, and still wait; newest first."""
    actor.require(Role.VIEWER)
    handed_on_at = sa.func.coalesce(col(Case.escalated_at), col(Case.opened_at))
    by_cascade = sa.and_(col(Case.state) == CaseState.OPEN.value, col(Case.opened_by) == OpenedBy.ESCALATION.value)
    query = select(Case).where(sa.or_(col(Case.state) == CaseState.ESCALATED.value, by_cascade))
    with records.session() as session:
        rows = session.exec(query.order_by(handed_on_at.desc(), col(Case.case_id)).limit(limit))
        return [build_view(session, case, with_evidence=False) for case in rows]


def count_by_state(records: RecordStore, *, actor: Actor, queue: QueueSettings | None = None) -> dict[str, int]:
    """Number of cases in every state, 0 included; of one queue where it is named."""
    actor.require(Role.VIEWER)
    query = select(Case.state, sa.func.count()).group_by(Case.state)
    if queue is not None:
        query = query.where(*belongs_to(queue))
    with records.session() as session:
        counts = session.exec(query).all()
    return {state.value: 0 for state in CaseState} | dict(counts)


def get_case(records: RecordStore, case_id: str, *, actor: Actor) -> CaseView:
    """One case with its evidence; pages mask the texts until `reveal_turn` recorded who saw them.

    Raises:
        NotFoundError: There is none.
    """
    actor.require(Role.VIEWER)
    with records.session() as session:
        return build_view(session, get_row(session, case_id))


def find_case(records: RecordStore, request_id: str, *, actor: Actor) -> str | None:
    """The id of a turn's case; None when it has none."""
    actor.require(Role.VIEWER)
    with records.session() as session:
        return session.exec(select(Case.case_id).where(Case.request_id == request_id)).first()


def lease_next(
    records: RecordStore,
    *,
    actor: Actor,
    lease_s: int,
    skip: Collection[str] = (),
    queue: QueueSettings | None = None,
    soon: datetime | None = None,
    avoid: Collection[str] = (),
    at: datetime,
) -> CaseView | None:
    """Hands the actor the open case, without evidence, that comes next (`queues.find_next`, which explains the
    arguments); None when there is none.
    """
    actor.require(Role.REVIEWER)
    with change(records, actor=actor, at=at) as current:
        return lease_first(current, lease_s=lease_s, skip=skip, queue=queue, soon=soon, avoid=avoid)


def lease_first(
    current: Change,
    *,
    lease_s: int,
    skip: Collection[str],
    queue: QueueSettings | None,
    soon: datetime | None,
    avoid: Collection[str],
) -> CaseView | None:
    """`lease_next` as a part of a larger change."""
    session, at = current.session, current.at
    case = find_next(session, current.actor.name, queue=queue, skip=skip, avoid=avoid, soon=soon, at=at)
    if case is None:
        return None
    add_event(current, case, Action.LEASE, {"until": (at + timedelta(seconds=lease_s)).isoformat()})
    return build_view(session, case, with_evidence=False)


def lease_case(
    records: RecordStore,
    case_id: str,
    *,
    actor: Actor,
    lease_s: int,
    at: datetime,
    version: int | None = None,
) -> CaseView:
    """Takes one case, or prolongs the actor's hold on it.

    Raises:
        ConflictError: Someone else holds it, or it is no longer the given version.
        TransitionError: It is closed.
    """
    with change(records, actor=actor, at=at) as current:
        case = get_row(current.session, case_id, version=version)
        require_free(case, actor=actor.name, at=at)
        add_event(current, case, Action.LEASE, {"until": (at + timedelta(seconds=lease_s)).isoformat()})
        return build_view(current.session, case)


def release_case(records: RecordStore, case_id: str, *, actor: Actor, at: datetime) -> CaseView:
    """Gives a case back; does nothing when nobody holds it.

    Raises:
        ConflictError: Someone else holds it.
    """
    with change(records, actor=actor, at=at) as current:
        case = get_row(current.session, case_id)
        require_free(case, actor=actor.name, at=at)
        if case.leased_by == actor.name:
            add_event(current, case, Action.RELEASE, {})
        return build_view(current.session, case)


def skip_case(records: RecordStore, case_id: str, *, actor: Actor, at: datetime) -> CaseView:
    """Gives a case back and serves it to this person last from now on.

    Raises:
        ConflictError: Someone else holds it.
        TransitionError: It is decided or closed.
    """
    with change(records, actor=actor, at=at) as current:
        case = get_row(current.session, case_id)
        require_free(case, actor=actor.name, at=at)
        add_event(current, case, Action.SKIP, {})
        return build_view(current.session, case)


def snooze_case(records: RecordStore, case_id: str, *, actor: Actor, until: datetime, at: datetime) -> CaseView:
    """Gives a case back and serves it to nobody before `until`; its service level goes on.

    Raises:
        ConflictError: Someone else holds it.
        TransitionError: It is decided or closed.
        UsageError: The time is past, or more than `SNOOZE_LIMIT` ahead.
    """
    if not at < until <= at + SNOOZE_LIMIT:
        raise UsageError("Not a time to snooze until", isoformat(until), f"Choose one within {SNOOZE_LIMIT.days} days.")
    with change(records, actor=actor, at=at) as current:
        case = get_row(current.session, case_id)
        require_free(case, actor=actor.name, at=at)
        add_event(current, case, Action.SNOOZE, {"until": until.isoformat()})
        return build_view(current.session, case)


def hand_over_case(
    records: RecordStore, case_id: str, *, actor: Actor, to: str, note: str, until: datetime, at: datetime
) -> CaseView:
    """Keeps a case for a colleague, who is served it next; from `until` on it is anybody's again.

    Raises:
        ConflictError: Someone else holds it.
        TransitionError: It is decided or closed.
        UsageError: The colleague's name is none, or the actor's own.
    """
    if not to.strip() or to == actor.name or is_reserved(to):
        raise UsageError("Not a colleague", repr(to), "Name the person who should judge this case.")
    with change(records, actor=actor, at=at) as current:
        case = get_row(current.session, case_id)
        require_free(case, actor=actor.name, at=at)
        add_event(current, case, Action.HAND_OVER, {"to": to, "note": note, "until": until.isoformat()})
        return build_view(current.session, case)


def list_colleagues(records: RecordStore, *, actor: Actor, limit: int = 200) -> list[str]:
    """Everybody else who ever did something with a case, by name."""
    actor.require(Role.VIEWER)
    query = select(CaseEvent.actor).distinct().where(col(CaseEvent.actor).not_in([SYSTEM.name, actor.name]))
    with records.session() as session:
        return list(session.exec(query.order_by(CaseEvent.actor).limit(limit)))


def reveal_turn(records: RecordStore, case_id: str, *, actor: Actor, request_id: str, at: datetime) -> None:
    """Records that the actor saw the texts of one turn of a case's conversation.

    Raises:
        NotFoundError: The case has no such turn.
    """
    _record_sight(records, "case.reveal", case_id, actor=actor, request_id=request_id, at=at)


def uncover_turn(records: RecordStore, case_id: str, *, actor: Actor, request_id: str, at: datetime) -> None:
    """Records that the actor saw what was covered of a revealed turn (`judgement.cover`); its exposure counts once.

    Raises:
        NotFoundError: The case has no such turn.
    """
    _record_sight(records, "case.uncover", case_id, actor=actor, request_id=request_id, at=at)


def escalate_case(
    records: RecordStore,
    case_id: str,
    *,
    actor: Actor,
    reason: EscalationReason,
    note: str,
    at: datetime,
    version: int | None = None,
) -> CaseView:
    """Hands a case on to someone with more authority or knowledge; verdicts so far stay.

    Raises:
        ConflictError: Someone else holds it, or it is no longer the given version.
        TransitionError: It is escalated already, or closed.
    """
    with change(records, actor=actor, at=at) as current:
        case = get_row(current.session, case_id, version=version)
        require_free(case, actor=actor.name, at=at)
        add_event(current, case, Action.ESCALATE, {"reason": reason.value, "note": note})
        return build_view(current.session, case)


def escalation_times(
    records: RecordStore, *, since: datetime | None = None, until: datetime | None = None
) -> pl.DataFrame:
    """How long escalations waited for people.

    The clock starts when the case was opened for a turn that the cascade escalated, or when a person last
    escalated it: since then someone could act, which for logs loaded late is not the moment of the turn.

    Args:
        records: The decision store.
        since: Earliest time of the turn (inclusive).
        until: Latest time of the turn (exclusive).

    Returns:
        One row per escalated turn: request_id, category (people's; null until decided), acked_s (seconds
        until someone took it up; null = not yet), decided_s (until the first standing verdict; null = not yet).
    """
    query = select(Case).where(
        sa.or_(col(Case.opened_by) == OpenedBy.ESCALATION.value, col(Case.escalated_at).is_not(None))
    )
    if since is not None:
        query = query.where(col(Case.turn_at) >= since)
    if until is not None:
        query = query.where(col(Case.turn_at) < until)
    with records.session() as session:
        rows = [_measure(case) for case in session.exec(query.order_by(col(Case.request_id)))]
    schema = {"request_id": pl.String, "category": pl.String, "acked_s": pl.Float64, "decided_s": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def handling_times(
    records: RecordStore, *, since: datetime | None = None, until: datetime | None = None
) -> pl.DataFrame:
    """How long decided cases took, by the window of their turns.

    Returns:
        One row per decided case: request_id, category (people's), handled_s (seconds from opening to the verdict).
    """
    query = select(Case.request_id, Case.verdict_category, Case.opened_at, Case.decided_at).where(
        col(Case.decided_at).is_not(None)
    )
    if since is not None:
        query = query.where(col(Case.turn_at) >= since)
    if until is not None:
        query = query.where(col(Case.turn_at) < until)
    with records.session() as session:
        found = session.exec(query.order_by(col(Case.request_id))).all()
    rows = [(turn, category, (end - start).total_seconds()) for turn, category, start, end in found if end]
    schema = {"request_id": pl.String, "category": pl.String, "handled_s": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _measure(case: Case) -> tuple[str, str | None, float | None, float | None]:
    start = case.escalated_at or case.opened_at
    waited = [(end - start).total_seconds() if end else None for end in (case.acked_at, case.decided_at)]
    return (case.request_id, case.verdict_category, waited[0], waited[1])


def _record_sight(
    records: RecordStore, action: str, case_id: str, *, actor: Actor, request_id: str, at: datetime
) -> None:
    actor.require(Role.REVIEWER)
    with change(records, actor=actor, at=at) as current:
        view = build_view(current.session, get_row(current.session, case_id))
        shown = {view.request_id, *(turn["request_id"] for turn in view.evidence.get("turns", []))}
        if request_id not in shown:
            raise NotFoundError("The case has no such turn", repr(request_id))
        current.record(action, case_id, {"request_id": request_id})
