"""Which decided cases are judged once more: a set share by somebody else, another share by a lead.

The choice is a hash of the turn with a secret of the store: nobody can tell, before or after, which verdict will be looked at
again, the same turn is always chosen or never, and a larger share keeps what a smaller one chose.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection
from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from core.settings import ReviewSettings
from incidents.enums import CaseState
from incidents.judgement.enums import AssignmentState, Purpose
from incidents.judgement.models import Assignment, Salt, SecondLook
from incidents.models import Case, Progress, Vote
from incidents.reviews import find_standing, list_votes

_CURSOR = "second_looks"
_SALT = "second_looks"
_SCALE = float(1 << 64)
_FRESH = (
    select(Vote.vote_id, Vote.case_id, Vote.request_id)
    .where(
        col(Vote.vote_id) > select(Progress.position).where(Progress.name == _CURSOR).scalar_subquery(),
        col(Vote.filter_name).is_(None),
    )
    .order_by(col(Vote.vote_id))
)
_MOVE = sa.update(Progress).where(col(Progress.name) == _CURSOR).values(position=sa.bindparam("newest"))


def choose_purpose(request_id: str, *, salt: str, settings: ReviewSettings) -> Purpose | None:
    """Why a turn, once decided, is judged again; None for most."""
    digest = hashlib.blake2b(request_id.encode("utf-8", "surrogatepass"), digest_size=8, key=salt.encode()).digest()
    place = int.from_bytes(digest, "big") / _SCALE
    if place < settings.double_share:
        return Purpose.SECOND
    # From the other end, so that changing one share does not move the cases of the other.
    return Purpose.AUDIT if place >= 1 - settings.audit_share else None


def plan_looks(session: Session, *, settings: ReviewSettings, at: datetime) -> int:
    """Chooses among the cases that were judged since the last call, and notes which were judged again meanwhile.

    Returns:
        Number of cases that were chosen.
    """
    fresh = session.connection().execute(_FRESH).all()
    if not fresh:
        return 0
    salt = _get_salt(session)
    added = 0
    for case_id, request_id in {case_id: request_id for _, case_id, request_id in fresh}.items():
        look = session.get(SecondLook, case_id)
        purpose = None if look else choose_purpose(request_id, salt=salt, settings=settings)
        if purpose is not None:
            look = SecondLook(case_id=case_id, purpose=purpose.value, chosen_at=at)
            added += 1
        if look is not None:
            look.is_done = len({vote.reviewer for vote in find_standing(list_votes(session, case_id))}) > 1
            session.add(look)
    session.connection().execute(_MOVE, {"newest": fresh[-1][0]})
    session.flush()
    return added


def find_waiting(*, with_audits: bool, conditions: Collection[sa.ColumnElement[bool]] = ()) -> SelectOfScalar[str]:
    """The ids of cases that meet `conditions` and that `:reviewer` may be asked to judge again `:at` a moment, oldest
    choice first.

    Never one that they voted on or were asked about before, and none that somebody else has at hand.
    """
    reviewer = sa.bindparam("reviewer", type_=sa.String())
    purposes = [Purpose.SECOND.value, *([Purpose.AUDIT.value] if with_audits else [])]
    taken = sa.exists().where(
        col(Assignment.case_id) == SecondLook.case_id,
        sa.or_(
            col(Assignment.reviewer) == reviewer,
            sa.and_(
                col(Assignment.state) == AssignmentState.HELD.value,
                col(Assignment.leased_until) > sa.bindparam("at", type_=sa.DateTime()),
                col(Assignment.purpose).in_([Purpose.SECOND.value, Purpose.AUDIT.value]),
            ),
        ),
    )
    own = sa.exists().where(col(Vote.case_id) == SecondLook.case_id, col(Vote.reviewer) == reviewer)
    # As a subquery, so that the few that wait are asked for their cases, not all decided cases whether they wait.
    is_decided = sa.exists().where(
        col(Case.case_id) == col(SecondLook.case_id), col(Case.state) == CaseState.DECIDED.value, *conditions
    )
    return (
        select(SecondLook.case_id)
        .where(col(SecondLook.is_done).is_(False), col(SecondLook.purpose).in_(purposes), ~taken, ~own, is_decided)
        .order_by(col(SecondLook.chosen_at), col(SecondLook.case_id))
    )


def count_waiting(session: Session) -> dict[Purpose, int]:
    """Cases that wait for a second person or for a lead."""
    rows = session.exec(
        select(SecondLook.purpose, sa.func.count())
        .where(col(SecondLook.is_done).is_(False))
        .group_by(SecondLook.purpose)
    ).all()
    counts = {Purpose(purpose): count for purpose, count in rows}
    return {purpose: counts.get(purpose, 0) for purpose in (Purpose.SECOND, Purpose.AUDIT)}


def _get_salt(session: Session) -> str:
    salt = session.get(Salt, _SALT)
    if salt is None:
        salt = Salt(name=_SALT, value=secrets.token_hex(32))
        session.add(salt)
        session.flush()
    return salt.value
