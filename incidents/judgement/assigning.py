"""Whether a person is given a first review or something that looks like one: a second look, a golden item, a round's item."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from math import ceil
from random import Random

import sqlalchemy as sa
from sqlalchemy.orm import Mapped
from sqlmodel import Session, col, select
from sqlmodel.sql.expression import Select, SelectOfScalar

from core.settings import QueueSettings, Settings
from incidents.audit import Change
from incidents.enums import CaseState
from incidents.judgement.enums import AssignmentState, Purpose
from incidents.judgement.looks import find_waiting
from incidents.judgement.models import Assignment, CalibrationItem, CalibrationRound, GoldenItem, SecondLook
from incidents.models import Case, Vote
from incidents.people import Role
from incidents.queues import fits, is_awake


@dataclass(frozen=True, slots=True)
class Waiting:
    """First reviews that wait.

    Attributes:
        count: How many anybody may take, counted as far as it matters.
        opened_at: When the one that would come next was opened; None without any.
    """

    count: int
    opened_at: datetime | None


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
    if golden and backlog:
        return _assign(current, chance.choice(golden), Purpose.GOLDEN, first)
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
    head: SelectOfScalar[datetime]


_ALL = 1_000_000_000
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
        head=select(Case.opened_at).where(*waits).order_by(col(Case.priority).desc(), col(Case.opened_at)).limit(1),
    )


def _count_first(session: Session, asked: _Queries, values: dict[str, object], *, most: int) -> Waiting:
    count = session.exec(asked.count, params={**values, "most": most}).one()
    return Waiting(count, session.exec(asked.head, params=values).first())


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
