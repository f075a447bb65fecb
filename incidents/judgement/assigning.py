"""Whether a person is given a first review or something that looks like one: a second look, a golden item, a round's item."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from random import Random

import sqlalchemy as sa
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
from incidents.queues import belongs_to, is_awake


@dataclass(frozen=True, slots=True)
class Waiting:
    """First reviews that wait.

    Attributes:
        count: How many anybody may take.
        opened_at: When the one that would come next was opened; None without any.
    """

    count: int
    opened_at: datetime | None


def choose_assignment(
    current: Change, settings: Settings, chance: Random, *, queue: QueueSettings | None, avoided: Collection[str]
) -> Assignment | None:
    """A new assignment for the actor, or None for a first review."""
    session, name = current.session, current.actor.name
    if _holds_first_review(session, name, current.at):
        return None
    fitting = belongs_to(queue) if queue else []
    if avoided:
        spared = sa.or_(col(Case.hazard).is_(None), col(Case.hazard).not_in(list(avoided)))
        fitting = [*fitting, spared]
    item = session.exec(_query_rounds(name).where(*fitting).limit(1)).first()
    if item is not None:
        round_id, case_id = item
        return _assign(current, case_id, Purpose.CALIBRATION, _count_first(current, fitting), round_id=round_id)
    with_audits = current.actor.role in (Role.LEAD, Role.ADMIN)
    looks = list(session.exec(find_waiting(name, with_audits=with_audits, at=current.at).where(*fitting)))
    golden = list(session.exec(_query_golden(name).where(*fitting)))
    if not looks and not golden:
        return None
    first = _count_first(current, fitting)
    backlog = len(looks) + first.count
    if golden and backlog and chance.random() < settings.review.golden_share:
        return _assign(current, chance.choice(golden), Purpose.GOLDEN, first)
    share = 2 * (settings.review.double_share + settings.review.audit_share)
    if looks and (not first.count or chance.random() < max(len(looks) / backlog, share)):
        look = session.get_one(SecondLook, looks[0])
        return _assign(current, looks[0], Purpose(look.purpose), first)
    return None


def _servable(reviewer: str) -> sa.ColumnElement[bool]:
    """Settled cases that the person neither voted on nor was asked about."""
    known = sa.or_(
        sa.exists().where(col(Vote.case_id) == Case.case_id, col(Vote.reviewer) == reviewer),
        sa.exists().where(col(Assignment.case_id) == Case.case_id, col(Assignment.reviewer) == reviewer),
    )
    is_settled = col(Case.state).in_([CaseState.DECIDED.value, CaseState.CLOSED.value])
    return sa.and_(is_settled, col(Case.evidence_ingest_id).is_not(None), ~known)


def _query_golden(reviewer: str) -> SelectOfScalar[str]:
    return (
        select(Case.case_id)
        .join(GoldenItem, col(GoldenItem.case_id) == Case.case_id)
        .where(_servable(reviewer), col(GoldenItem.retired_at).is_(None), GoldenItem.pinned_by != reviewer)
        .order_by(col(Case.case_id))
    )


def _query_rounds(reviewer: str) -> Select[str, str]:
    return (
        select(CalibrationItem.round_id, Case.case_id)
        .join(Case, col(CalibrationItem.case_id) == Case.case_id)
        .join(CalibrationRound, col(CalibrationRound.round_id) == CalibrationItem.round_id)
        .where(_servable(reviewer), col(CalibrationRound.ended_at).is_(None))
        .order_by(col(CalibrationRound.started_at), col(Case.case_id))
    )


def _count_first(current: Change, fitting: Sequence[sa.ColumnElement[bool]]) -> Waiting:
    is_free = sa.or_(col(Case.leased_until).is_(None), col(Case.leased_until) <= current.at)
    waits = sa.and_(
        col(Case.state) == CaseState.OPEN.value,
        col(Case.evidence_ingest_id).is_not(None),
        is_free,
        is_awake(current.at),
        *fitting,
    )
    head = select(Case.opened_at).where(waits).order_by(col(Case.priority).desc(), col(Case.opened_at)).limit(1)
    count = current.session.exec(select(sa.func.count()).select_from(Case).where(waits)).one()
    return Waiting(count, current.session.exec(head).first())


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


def _holds_first_review(session: Session, reviewer: str, at: datetime) -> bool:
    held = select(Case.case_id).where(
        Case.state == CaseState.OPEN.value, Case.leased_by == reviewer, col(Case.leased_until) > at
    )
    return session.exec(held.limit(1)).first() is not None
