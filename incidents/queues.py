"""Queues: which waiting cases belong to one, how many are late, and which of them a person gets next.

The case of highest priority is next, so that the gravest wait least. Every `LATE_TURN`-th case served is the one
whose service level ended first, or ends soon: so no mild case waits for ever, however many grave ones come.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Literal

import sqlalchemy as sa
from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from core.errors import UsageError
from core.records import RecordStore
from core.settings import EVERYTHING, CaseSettings, QueueSettings, Settings
from incidents.enums import Action, CaseState, OpenedBy
from incidents.judgement.models import Assignment
from incidents.models import Case, CaseEvent, CaseFilter, Draw, Progress, Vote
from incidents.people import Actor, Role

Order = Literal["priority", "due", "opened"]

LATE_TURN = 5
"""Of so many cases served, one is the latest instead of the gravest."""

_SERVED = "served"
_TURN = sa.update(Progress).where(col(Progress.name) == _SERVED).values(position=Progress.position + 1)
_TURNS = select(Progress.position).where(Progress.name == _SERVED)
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


def fits(queue: QueueSettings | None) -> list[sa.ColumnElement[bool]]:
    """The conditions of a case that somebody who works on the queue, None = any, and is spared `:avoid` may be given."""
    avoid = sa.bindparam("avoid", type_=sa.String(), expanding=True)
    spared = sa.or_(col(Case.hazard).is_(None), col(Case.hazard).not_in(avoid))
    return [spared, *(belongs_to(queue) if queue else ())]


def is_awake(at: datetime | sa.BindParameter[datetime]) -> sa.ColumnElement[bool]:
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


def find_next(
    session: Session,
    reviewer: str,
    *,
    queue: QueueSettings | None,
    skip: Collection[str],
    avoid: Collection[str],
    soon: datetime | None,
    at: datetime,
) -> Case | None:
    """The open case that the reviewer gets; None when there is none.

    First what they hold already, so that a closed browser loses nothing; then what a colleague handed over; then the
    gravest, or in its turn the latest; what they skipped comes last. A case is served once its evidence has been
    copied, and never to somebody whom it was put before as something else than a first review, nor an appeal to who judged
    the turn before.

    Args:
        session: A change's session: the turn is counted.
        reviewer: Who will judge.
        queue: The queue; None = any.
        skip: Ids of cases not to serve.
        avoid: Categories behind cases that are not to be served, whether the reviewer would see the category or not.
        soon: Until when a service level counts as nearly over (`LATE_TURN`); None = none does.
        at: Now.
    """
    values = {"reviewer": reviewer, "skip": list(skip), "avoid": list(avoid), "soon": soon, "at": at}
    found = _build_queries(queue)
    queries = [found.held, found.handed, found.gravest, found.skipped]
    if soon is not None and _take_turn(session) % LATE_TURN == 0:
        queries.insert(2, found.latest)
    cases = (session.exec(query, params=values).first() for query in queries)
    return next((case for case in cases if case is not None), None)


@dataclass(frozen=True, slots=True)
class _Queries:
    """What `find_next` asks, in its order; each walks an index and stops at the first case that fits."""

    held: SelectOfScalar[Case]
    handed: SelectOfScalar[Case]
    latest: SelectOfScalar[Case]
    gravest: SelectOfScalar[Case]
    skipped: SelectOfScalar[Case]


# Building a query takes longer than running it.
@lru_cache(maxsize=100)
def _build_queries(queue: QueueSettings | None) -> _Queries:
    reviewer, at = sa.bindparam("reviewer", type_=sa.String()), sa.bindparam("at", type_=sa.DateTime())
    asked = sa.exists().where(col(Assignment.case_id) == Case.case_id, col(Assignment.reviewer) == reviewer)
    # Whoever judged a turn does not judge the appeal against it.
    judged = sa.and_(
        col(Case.opened_by) == OpenedBy.APPEAL.value,
        sa.exists().where(col(Vote.case_id) == Case.case_id, col(Vote.reviewer) == reviewer),
    )
    served = select(Case).where(
        Case.state == CaseState.OPEN.value,
        col(Case.evidence_ingest_id).is_not(None),
        col(Case.case_id).not_in(sa.bindparam("skip", expanding=True)),
        ~asked,
        ~judged,
        *fits(queue),
    )
    free = served.where(
        sa.or_(col(Case.leased_until).is_(None), col(Case.leased_until) <= at),
        is_awake(at),
    )
    is_kept = sa.and_(col(Case.assigned_until) > at, col(Case.assigned_to) != reviewer)
    anybodys = free.where(sa.or_(col(Case.assigned_until).is_(None), sa.not_(is_kept)))
    skipped = sa.exists().where(
        col(CaseEvent.case_id) == Case.case_id,
        col(CaseEvent.actor) == reviewer,
        col(CaseEvent.action) == Action.SKIP.value,
    )
    fresh = anybodys.where(~skipped)
    by_priority = order_by("priority")
    return _Queries(
        held=served.where(col(Case.leased_by) == reviewer, col(Case.leased_until) > at).limit(1),
        handed=free.where(col(Case.assigned_to) == reviewer, col(Case.assigned_until) > at)
        .order_by(*by_priority)
        .limit(1),
        latest=fresh.where(col(Case.due_at) <= sa.bindparam("soon", type_=sa.DateTime()))
        .order_by(*order_by("due"))
        .limit(1),
        gravest=fresh.order_by(*by_priority).limit(1),
        skipped=anybodys.order_by(*by_priority).limit(1),
    )


def _take_turn(session: Session) -> int:
    """The number of this turn, 1 first."""
    connection = session.connection()
    connection.execute(_TURN)
    return int(connection.execute(_TURNS).scalar_one())


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
