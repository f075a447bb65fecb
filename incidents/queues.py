"""Queues: which waiting cases belong to one, how many are late, and which of them a person gets next.

The case of highest priority is next, so that the gravest wait least. Every `LATE_TURN`-th case served is the one
whose service level ended first, or ends soon: so no mild case waits for ever, however many grave ones come.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, cast

import sqlalchemy as sa
from sqlmodel import Session, col, select

from core.errors import UsageError
from core.records import RecordStore
from core.settings import EVERYTHING, CaseSettings, QueueSettings, Settings
from incidents.enums import Action, CaseState, OpenedBy
from incidents.models import Case, CaseEvent, CaseFilter, Draw, Progress
from incidents.people import Actor, Role

Order = Literal["priority", "due", "opened"]

LATE_TURN = 5
"""Of so many cases served, one is the latest instead of the gravest."""

_SERVED = "served"
_ALL = QueueSettings.model_construct(name=EVERYTHING, title="Everything")
_USUAL_SEVERITY = 2


@dataclass(frozen=True, slots=True)
class QueueCount:
    """How one queue stands.

    Attributes:
        name: The queue.
        title: What people call it.
        waiting: Open cases that could be served now or are being judged.
        held: Those of them that somebody holds.
        near_breach: Those of them whose service level ends soon.
        breached: Those of them whose service level is over.
        snoozed: Open cases put off until later; not among the waiting.
    """

    name: str
    title: str
    waiting: int
    held: int
    near_breach: int
    breached: int
    snoozed: int


def list_queues(settings: Settings) -> tuple[QueueSettings, ...]:
    """All queues, that of everything first."""
    return (_ALL, *settings.queues)


def get_queue(settings: Settings, name: str) -> QueueSettings:
    """The queue of that name.

    Raises:
        UsageError: There is none.
    """
    queues = {queue.name: queue for queue in list_queues(settings)}
    if name not in queues:
        raise UsageError("No such queue", repr(name), f"Valid: {', '.join(queues)}.")
    return queues[name]


def belongs_to(queue: QueueSettings) -> list[sa.ColumnElement[bool]]:
    """The conditions that a case of the queue meets.

    A randomly drawn case is in no queue of a filter or a category: that would tell its reviewer what the filters said.
    """
    conditions: list[sa.ColumnElement[bool]] = []
    if queue.filter_name:
        fired = select(CaseFilter.case_id).where(col(CaseFilter.filter_name).in_(queue.filter_name))
        conditions.append(col(Case.case_id).in_(fired))
    if queue.filter_name or queue.category:
        conditions.append(col(Case.opened_by) != OpenedBy.SAMPLE.value)
    if queue.category:
        conditions.append(col(Case.category).in_(queue.category))
    if queue.language:
        tags = [
            sa.or_(
                sa.func.lower(Case.language) == tag.lower(),
                sa.func.lower(Case.language).startswith(f"{tag.lower()}-", autoescape=True),
            )
            for tag in queue.language
        ]
        conditions.append(sa.or_(*tags))
    if queue.stratum:
        # A draw's strata carry its id, s3/passed: a queue may name those of one draw, or of all.
        named = [
            sa.or_(col(Draw.stratum) == name, col(Draw.stratum).endswith(f"/{name}", autoescape=True))
            for name in queue.stratum
        ]
        drawn = select(Draw.case_id).where(sa.or_(*named))
        conditions.append(col(Case.case_id).in_(drawn))
    if queue.source:
        conditions.append(col(Case.source).in_(queue.source))
    if queue.selection:
        conditions.append(col(Case.opened_by).in_(queue.selection))
    return conditions


def is_awake(at: datetime) -> sa.ColumnElement[bool]:
    """Nobody put the case off beyond `at`."""
    return sa.or_(col(Case.snoozed_until).is_(None), col(Case.snoozed_until) <= at)


def order_by(order: Order) -> tuple[Any, ...]:
    """How a list is sorted: by priority, by time to breach, or oldest first."""
    by_priority = (col(Case.priority).desc(), col(Case.opened_at), col(Case.case_id))
    match order:
        case "priority":
            return by_priority
        case "due":
            return (sa.case((col(Case.due_at).is_(None), 1), else_=0), col(Case.due_at), *by_priority)
        case "opened":
            return (col(Case.opened_at), col(Case.case_id))


def find_soon(settings: CaseSettings, at: datetime) -> datetime:
    """Until when a service level counts as nearly over."""
    return at + timedelta(minutes=settings.near_breach_min)


def count_queues(records: RecordStore, settings: Settings, *, actor: Actor, at: datetime) -> list[QueueCount]:
    """How each queue stands at `at`, that of everything first."""
    actor.require(Role.VIEWER)
    soon = find_soon(settings.cases, at)
    awake = is_awake(at)
    columns = [
        sa.func.count().filter(awake),
        sa.func.count().filter(awake, col(Case.leased_until) > at),
        sa.func.count().filter(awake, col(Case.due_at) > at, col(Case.due_at) <= soon),
        sa.func.count().filter(awake, col(Case.due_at) <= at),
        sa.func.count().filter(sa.not_(awake)),
    ]
    counts = []
    with records.session() as session:
        for queue in list_queues(settings):
            query = sa.select(*columns).where(col(Case.state) == CaseState.OPEN.value, *belongs_to(queue))
            counts.append(QueueCount(queue.name, queue.title or queue.name, *session.execute(query).one()))
    return counts


def find_next(session: Session, served: Any, *, actor: Actor, soon: datetime | None, at: datetime) -> Case | None:
    """The case that the actor gets out of the open ones that the query `served` selects; None when there is none.

    First what the actor holds already, so that a closed browser loses nothing; then what a colleague handed over; then
    the gravest, or in its turn the latest; what the actor skipped comes last.

    Args:
        session: A change's session: the turn is counted.
        served: The open cases that may be served.
        actor: Who will judge.
        soon: Until when a service level counts as nearly over; None = none does.
        at: Now.
    """
    by_priority = order_by("priority")
    held = served.where(Case.leased_by == actor.name, col(Case.leased_until) > at)
    if (case := session.exec(held.limit(1)).first()) is not None:
        return cast("Case", case)
    free = served.where(sa.or_(col(Case.leased_until).is_(None), col(Case.leased_until) <= at), is_awake(at))
    handed = free.where(Case.assigned_to == actor.name, col(Case.assigned_until) > at).order_by(*by_priority)
    is_kept = sa.and_(col(Case.assigned_until) > at, col(Case.assigned_to) != actor.name)
    free = free.where(sa.or_(col(Case.assigned_until).is_(None), sa.not_(is_kept)))
    skipped = select(CaseEvent.case_id).where(CaseEvent.actor == actor.name, CaseEvent.action == Action.SKIP.value)
    fresh = free.where(col(Case.case_id).not_in(skipped))
    queries = [handed, fresh.order_by(*by_priority), free.order_by(*by_priority)]
    if soon is not None and _take_turn(session) % LATE_TURN == 0:
        queries.insert(1, fresh.where(col(Case.due_at) <= soon).order_by(*order_by("due")))
    found = (session.exec(query.limit(1)).first() for query in queries)
    return next((case for case in found if case is not None), None)


def _take_turn(session: Session) -> int:
    """The number of this turn, 1 first."""
    counter = session.exec(select(Progress).where(Progress.name == _SERVED)).one()
    counter.position += 1
    session.add(counter)
    return counter.position


def compute_due(settings: CaseSettings, *, opened_at: datetime, severity: int | None) -> datetime:
    """When a case of that severity should be judged, as far as its severity says."""
    return opened_at + timedelta(minutes=settings.sla_min[severity or _USUAL_SEVERITY])


def hasten(session: Session, queues: Collection[QueueSettings], case_ids: Collection[str]) -> None:
    """Moves the due time of those cases forward where a queue has a shorter service level."""
    for queue in queues:
        if queue.sla_min is None:
            continue
        limit = timedelta(minutes=queue.sla_min)
        query = select(Case).where(col(Case.case_id).in_(case_ids), *belongs_to(queue))
        for case in session.exec(query):
            case.due_at = min(filter(None, (case.due_at, case.opened_at + limit)))
            session.add(case)
    session.flush()
