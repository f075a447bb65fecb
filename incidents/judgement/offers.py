"""What waits for one person, second looks included: a queue that seemed empty, or a case that stood among the decided ones,
would give them away."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import col, select
from sqlmodel.sql.expression import SelectOfScalar

from core.records import RecordStore
from core.settings import QueueSettings, Settings
from incidents.audit import change
from incidents.cases import count_by_state
from incidents.enums import CaseState
from incidents.judgement.assigning import find_head
from incidents.judgement.disguise import disguise
from incidents.judgement.looks import find_waiting, plan_looks
from incidents.models import Case
from incidents.people import SYSTEM, Actor, Role
from incidents.queues import Order, QueueCount, belongs_to, count_queues, list_queues, order_by
from incidents.views import CaseView, build_view


def count_offers(records: RecordStore, settings: Settings, *, actor: Actor, at: datetime) -> list[QueueCount]:
    """`queues.count_queues`, the cases that the actor is to judge once more among the waiting."""
    counts = count_queues(records, settings, actor=actor, at=at)
    extra = []
    with records.session() as session:
        for queue in list_queues(settings):
            looks = _find_again(actor, queue).subquery()
            extra.append(session.execute(sa.select(sa.func.count()).select_from(looks), _name(actor, at)).scalar_one())
    return [replace(count, waiting=count.waiting + more) for count, more in zip(counts, extra, strict=True)]


def count_offered(
    records: RecordStore, *, actor: Actor, at: datetime, queue: QueueSettings | None = None
) -> dict[str, int]:
    """`cases.count_by_state`, the cases that the actor is to judge once more among the open ones."""
    counts = count_by_state(records, actor=actor, queue=queue)
    with records.session() as session:
        again = session.execute(
            sa.select(sa.func.count()).select_from(_find_again(actor, queue).subquery()), _name(actor, at)
        ).scalar_one()
    moved = {CaseState.OPEN.value: again, CaseState.DECIDED.value: -again}
    return {state: count + moved.get(state, 0) for state, count in counts.items()}


def list_offered(
    records: RecordStore,
    *,
    actor: Actor,
    state: CaseState,
    at: datetime,
    queue: QueueSettings | None = None,
    order: Order = "priority",
    limit: int = 50,
) -> list[CaseView]:
    """`cases.list_cases` as the actor is to see it: what waits for their second look stands among the open cases, and looks
    like them, not among the decided ones.
    """
    actor.require(Role.VIEWER)
    again = _find_again(actor, queue)
    conditions = [] if queue is None else belongs_to(queue)
    of_state = select(Case).where(Case.state == state.value, *conditions).limit(limit)
    if state is CaseState.DECIDED:
        of_state = of_state.where(col(Case.case_id).not_in(again))
    with records.session() as session:
        rows = session.exec(of_state.order_by(*order_by(order)), params=_name(actor, at))
        cases = [build_view(session, case, with_evidence=False) for case in rows]
        if state is not CaseState.OPEN:
            return cases
        hidden = select(Case).where(col(Case.case_id).in_(again)).order_by(*order_by("priority")).limit(limit)
        head = find_head(session, at=at)
        for case in session.exec(hidden, params=_name(actor, at)):
            view = build_view(session, case, with_evidence=False)
            cases.append(disguise(view, opened_at=head or view.opened_at))
    # By what is shown: the place of a case in the list must not tell more than its row.
    return sorted(cases, key=_KEYS[order])[:limit]


_KEYS: dict[Order, Callable[[CaseView], Any]] = {
    "priority": lambda case: (-case.priority, case.opened_at, case.case_id),
    "due": lambda case: (case.due_at is None, case.due_at or case.opened_at, -case.priority, case.case_id),
    "opened": lambda case: (case.opened_at, case.case_id),
}


def _find_again(actor: Actor, queue: QueueSettings | None) -> SelectOfScalar[str]:
    with_audits = actor.role in (Role.LEAD, Role.ADMIN)
    conditions = [] if queue is None else belongs_to(queue)
    return find_waiting(with_audits=with_audits, conditions=conditions).order_by(None)


def _name(actor: Actor, at: datetime) -> dict[str, Any]:
    return {"reviewer": actor.name, "at": at}


def plan_waiting(records: RecordStore, *, settings: Settings, at: datetime) -> int:
    """Chooses second looks among the newest verdicts; returns how many."""
    with change(records, actor=SYSTEM, at=at) as current:
        current.keep()
        return plan_looks(current.session, settings=settings.review, at=at)
