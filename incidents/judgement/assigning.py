"""Whether a person is given a first review or something that looks like one: a second look, a golden item, a round's item."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from math import ceil
from random import Random
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped
from sqlmodel import Session, col, select
from sqlmodel.sql.expression import Select, SelectOfScalar

from core.settings import QueueSettings, Settings
from incidents.audit import Change
from incidents.enums import CaseState, OpenedBy
from incidents.judgement.disguise import disguise
from incidents.judgement.enums import AssignmentState, Purpose
from incidents.judgement.looks import find_waiting
from incidents.judgement.models import Assignment, CalibrationItem, CalibrationRound, GoldenItem, SecondLook
from incidents.models import Case, Vote
from incidents.people import Actor, Role
from incidents.queues import find_soon, fits, is_awake
from incidents.views import build_view


@dataclass(frozen=True, slots=True)
class Waiting:
    """First reviews that wait.

    Attributes:
        count: How many anybody may take, counted as far as it matters.
        opened_at: When the one that would come next was opened; None without any.
        priority: Its priority.
    """

    count: int
    opened_at: datetime | None
    priority: float


def choose_assignment(
    current: Change, settings: Settings, chance: Random, *, queue: QueueSettings | None, avoided: Collection[str]
) -> Assignment | None:
    """A new assignment for the actor, or None for a first review."""
    session = current.session
    asked = _build_queries(queue, with_audits=current.actor.role in (Role.LEAD, Role.ADMIN))
    values = {"reviewer": current.actor.name, "avoid": list(avoided), "at": current.at}
    if session.exec(_HELD, params=values).first() is not None:
        return None
    item = session.exec(asked.rounds, params=values).first()
    if item is not None:
        round_id, case_id = item
        first = _count_first(session, asked, values, most=1)
        return _assign(current, case_id, Purpose.CALIBRATION, first, round_id=round_id)
    looks = session.exec(asked.looks, params=values).all()
    is_golden = chance.random() < settings.review.golden_share
    golden = session.exec(asked.golden, params=values).all() if is_golden else ()
    if not looks and not golden:
        return None
    share = 2 * (settings.review.double_share + settings.review.audit_share)
    # More first reviews than this leave the chance of a second look at its least: they need not be counted.
    first = _count_first(session, asked, values, most=ceil(len(looks) / share) + 1 if share else _ALL)
    backlog = len(looks) + first.count
    if golden and first.count:
        values["soon"] = find_soon(settings.cases, current.at)
        hidden = _hide_golden(session, asked, values, chance.sample(golden, len(golden)), first)
        if hidden is not None:
            case_id, opened_at = hidden
            return _assign(current, case_id, Purpose.GOLDEN, replace(first, opened_at=opened_at))
    if looks and (not first.count or chance.random() < max(len(looks) / backlog, share)):
        look = session.get_one(SecondLook, looks[0])
        return _assign(current, looks[0], Purpose(look.purpose), first)
    return None


@dataclass(frozen=True, slots=True)
class _Queries:
    """What a choice asks about `:reviewer`, who is not given the categories `:avoid`, `:at` a moment."""

    rounds: Select[str, str]
    looks: SelectOfScalar[str]
    golden: SelectOfScalar[str]
    count: SelectOfScalar[int]
    head: Select[datetime, float]
    late: Any
    origins: SelectOfScalar[str]


_ALL = 1_000_000_000
_TRIED = 20
"""Golden items that are looked at for one that fits in; more would take longer than a person waits."""
_HELD = (
    select(Case.case_id)
    .where(
        Case.state == CaseState.OPEN.value,
        Case.leased_by == sa.bindparam("reviewer"),
        col(Case.leased_until) > sa.bindparam("at", type_=sa.DateTime()),
    )
    .limit(1)
)


# Building a query takes longer than running it.
@lru_cache(maxsize=200)
def _build_queries(queue: QueueSettings | None, *, with_audits: bool) -> _Queries:
    reviewer, at = sa.bindparam("reviewer", type_=sa.String()), sa.bindparam("at", type_=sa.DateTime())
    fitting = fits(queue)

    def is_servable(case_id: Mapped[str]) -> sa.ColumnElement[bool]:
        """A settled case that the person neither voted on nor was asked about."""
        voted = sa.exists().where(col(Vote.case_id) == case_id, col(Vote.reviewer) == reviewer)
        asked = sa.exists().where(col(Assignment.case_id) == case_id, col(Assignment.reviewer) == reviewer)
        is_settled = col(Case.state).in_([CaseState.DECIDED.value, CaseState.CLOSED.value])
        has_evidence = col(Case.evidence_ingest_id).is_not(None)
        return sa.and_(
            ~voted, ~asked, sa.exists().where(col(Case.case_id) == case_id, is_settled, has_evidence, *fitting)
        )

    waits = (
        col(Case.state) == CaseState.OPEN.value,
        col(Case.evidence_ingest_id).is_not(None),
        sa.or_(col(Case.leased_until).is_(None), col(Case.leased_until) <= at),
        is_awake(at),
        *fitting,
    )
    some = select(Case.case_id).where(*waits).limit(sa.bindparam("most", type_=sa.Integer()))
    return _Queries(
        rounds=select(CalibrationItem.round_id, CalibrationItem.case_id)
        .join(CalibrationRound, col(CalibrationRound.round_id) == CalibrationItem.round_id)
        .where(col(CalibrationRound.ended_at).is_(None), is_servable(col(CalibrationItem.case_id)))
        .order_by(col(CalibrationRound.started_at), col(CalibrationItem.case_id))
        .limit(1),
        looks=find_waiting(with_audits=with_audits, conditions=fitting),
        golden=select(GoldenItem.case_id)
        .where(
            col(GoldenItem.retired_at).is_(None),
            col(GoldenItem.pinned_by) != reviewer,
            is_servable(col(GoldenItem.case_id)),
        )
        .order_by(col(GoldenItem.case_id)),
        count=select(sa.func.count()).select_from(some.subquery()),
        head=select(Case.opened_at, Case.priority)
        .where(*waits)
        .order_by(col(Case.priority).desc(), col(Case.opened_at))
        .limit(1),
        late=select(Case.due_at)
        .where(*waits, col(Case.due_at) <= sa.bindparam("soon", type_=sa.DateTime()))
        .order_by(col(Case.due_at))
        .limit(1),
        origins=select(Case.opened_by).where(*waits).distinct(),
    )


def _count_first(session: Session, asked: _Queries, values: dict[str, object], *, most: int) -> Waiting:
    count = session.exec(asked.count, params={**values, "most": most}).one()
    return Waiting(count, *(session.exec(asked.head, params=values).first() or (None, 0.0)))


def _hide_golden(
    session: Session, asked: _Queries, values: dict[str, object], golden: Sequence[str], first: Waiting
) -> tuple[str, datetime] | None:
    """The first of some golden items that nobody can tell from the first reviews that wait, and when it seems to have
    been opened.

    Its origin must be one that waits, or it would be the only random sample where none is drawn. What comes next is the
    gravest case, or in its turn the latest: an item must be at least as grave, or seem as late.
    """
    origins = set(session.exec(asked.origins, params=values))
    late = session.exec(asked.late, params=values).first()
    for case_id in golden[:_TRIED]:
        case = build_view(session, session.get_one(Case, case_id))
        shown = disguise(case, opened_at=case.opened_at) if case.opened_by is OpenedBy.GOLDEN else case
        if shown.opened_by.value not in origins:
            continue
        if shown.priority >= first.priority:
            return case_id, first.opened_at or case.opened_at
        if late is not None and case.due_at is not None:
            return case_id, case.opened_at + (late - case.due_at)
    return None


def find_offer(session: Session, case_id: str, *, actor: Actor, at: datetime) -> SecondLook | None:
    """The second look at a case that waits for the actor among others; None when there is none."""
    values = {"reviewer": actor.name, "at": at}
    looks = find_waiting(with_audits=actor.role in (Role.LEAD, Role.ADMIN))
    found = session.exec(looks.where(SecondLook.case_id == case_id), params=values).first()
    return None if found is None else session.get(SecondLook, case_id)


def find_head(session: Session, *, at: datetime) -> datetime | None:
    """When the first review that would come next was opened; None when none waits."""
    head = session.exec(_build_queries(None, with_audits=False).head, params={"avoid": [], "at": at}).first()
    return head[0] if head else None


def assign_offer(current: Change, case_id: str) -> Assignment | None:
    """The second look that waits for the actor as their assignment; None when none does."""
    look = find_offer(current.session, case_id, actor=current.actor, at=current.at)
    if look is None:
        return None
    return _assign(current, case_id, Purpose(look.purpose), Waiting(0, find_head(current.session, at=current.at), 0.0))


def _assign(
    current: Change, case_id: str, purpose: Purpose, first: Waiting, *, round_id: str | None = None
) -> Assignment:
    assignment = Assignment(
        case_id=case_id,
        reviewer=current.actor.name,
        purpose=purpose.value,
        round_id=round_id,
        served_at=current.at,
        leased_until=current.at,
        # A case that seems to have waited longer or shorter than all others would give itself away.
        shown_opened_at=first.opened_at or current.session.get_one(Case, case_id).opened_at,
        state=AssignmentState.HELD.value,
    )
    current.session.add(assignment)
    return assignment
