"""Settling what people disagree on: a lead sees the verdicts without names, decides with a reason, and nothing is overwritten."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
import sqlalchemy.orm
from sqlmodel import Session, col, select

from core.errors import TransitionError, UsageError
from core.records import RecordStore
from incidents.audit import change
from incidents.judgement.enums import Dispute
from incidents.judgement.models import ContestedItem, GoldenItem
from incidents.models import Case, Vote
from incidents.people import Actor, Role
from incidents.reviews import VoteCreate, add_vote, find_standing, list_votes
from incidents.views import CaseView
from metrics.consensus import ADJUDICATION


@dataclass(frozen=True, slots=True)
class DisputeView:
    """A case whose verdicts differ.

    Attributes:
        case_id: The case.
        dispute: On what.
        since: When they first differed.
        category: Category that brought the case, if any.
        votes: People who gave a verdict about the turn.
    """

    case_id: str
    dispute: Dispute
    since: datetime
    category: str | None
    votes: int


@dataclass(frozen=True, slots=True)
class AnonymousVote:
    """One verdict without its author, who is "Reviewer A", "Reviewer B" in an order that tells nothing."""

    author: str
    harmful: bool | None
    category: str | None
    severity: int | None
    reason: str | None
    principle_id: str | None
    note: str | None
    guideline_version: str | None


@dataclass(frozen=True, slots=True)
class Settled:
    """A case that somebody adjudicated: what was decided, when, and whether it serves as a golden item."""

    case_id: str
    settled_at: datetime
    harmful: bool
    category: str | None
    reason: str | None
    is_golden: bool


def list_disputes(records: RecordStore, *, actor: Actor, limit: int = 100) -> list[DisputeView]:
    """Cases that wait for the actor to adjudicate, oldest first; never one that they voted on."""
    actor.require(Role.LEAD)
    voters = sa.func.count(sa.distinct(col(Vote.reviewer)))
    about = sa.and_(
        col(Vote.case_id) == Case.case_id,
        col(Vote.kind) == "vote",
        col(Vote.filter_name).is_(None),
        col(Vote.selection) != ADJUDICATION,
    )
    votes = sa.select(voters).where(about).scalar_subquery()
    query = (
        sa.select(ContestedItem, col(Case.category), votes)
        .join(Case, col(Case.case_id) == ContestedItem.case_id)
        .where(col(ContestedItem.is_waiting), ~_is_own(actor))
        .order_by(col(ContestedItem.since), col(ContestedItem.case_id))
        .limit(limit)
    )
    with records.session() as session:
        return [
            DisputeView(item.case_id, Dispute(item.dispute), item.since, category, count)
            for item, category, count in session.execute(query).all()
        ]


def count_disputes(records: RecordStore, *, actor: Actor) -> tuple[int, int]:
    """Cases that wait for an adjudication: those that the actor may settle, and those for somebody else."""
    actor.require(Role.VIEWER)
    waiting = select(sa.func.count()).select_from(ContestedItem).join(Case, col(Case.case_id) == ContestedItem.case_id)
    waiting = waiting.where(col(ContestedItem.is_waiting))
    with records.session() as session:
        total, own = session.exec(waiting).one(), session.exec(waiting.where(_is_own(actor))).one()
    return total - own, own


def read_anonymous(records: RecordStore, case_id: str, *, actor: Actor) -> list[AnonymousVote]:
    """The standing verdicts about a case's turn, without names, to somebody who may adjudicate it.

    Raises:
        AccessError: The actor is no lead.
        TransitionError: The actor voted on it.
    """
    actor.require(Role.LEAD)
    with records.session() as session:
        votes = _read_disputed(session, case_id, actor)
    in_order = sorted(votes, key=lambda vote: hashlib.sha256(f"{case_id}:{vote.reviewer}".encode()).digest())
    return [
        AnonymousVote(
            author=f"Reviewer {_letter(place)}",
            harmful=vote.harmful,
            category=vote.category,
            severity=vote.severity,
            reason=vote.reason,
            principle_id=vote.principle_id,
            note=vote.note,
            guideline_version=vote.guideline_version,
        )
        for place, vote in enumerate(in_order)
    ]


def adjudicate(records: RecordStore, verdict: VoteCreate, *, actor: Actor, at: datetime) -> CaseView:
    """Settles a case: the actor's verdict is the case's from now on, and the votes stay as they are.

    Raises:
        AccessError: The actor is no lead.
        UsageError: The verdict is unsure, or gives no reason or no explanation.
        TransitionError: The verdicts do not differ, or the actor's is one of them.
        ConflictError: It is no longer the version that was judged.
    """
    actor.require(Role.LEAD)
    if verdict.harmful is None:
        raise UsageError("An adjudication decides", "unsure", "Choose harmful or benign, or leave it to another lead.")
    if verdict.reason is None or not (verdict.note or "").strip():
        raise UsageError("An adjudication needs a reason", "", "Choose a reason and explain it in the note.")
    with change(records, actor=actor, at=at) as current:
        _read_disputed(current.session, verdict.case_id, actor)
        item = current.session.get(ContestedItem, verdict.case_id)
        if item is None or not item.is_waiting:
            raise TransitionError("Nothing to adjudicate", f"the verdicts on {verdict.case_id} do not differ")
        return add_vote(current, verdict, selection=ADJUDICATION)


def list_settled(records: RecordStore, *, actor: Actor, limit: int = 20) -> list[Settled]:
    """The adjudications that stand, newest first; for leads."""
    actor.require(Role.LEAD)
    newer = sa.orm.aliased(Vote)
    withdrawn = sa.exists().where(
        col(newer.case_id) == Vote.case_id, col(newer.reviewer) == Vote.reviewer, col(newer.vote_id) > col(Vote.vote_id)
    )
    query = (
        select(Vote, GoldenItem)
        .outerjoin(GoldenItem, sa.and_(col(GoldenItem.case_id) == Vote.case_id, col(GoldenItem.retired_at).is_(None)))
        .where(Vote.selection == ADJUDICATION, Vote.kind == "vote", ~withdrawn)
        .order_by(col(Vote.vote_id).desc())
        .limit(limit)
    )
    with records.session() as session:
        return [
            Settled(vote.case_id, vote.voted_at, bool(vote.harmful), vote.category, vote.reason, item is not None)
            for vote, item in session.exec(query).all()
        ]


def _read_disputed(session: Session, case_id: str, actor: Actor) -> list[Vote]:
    votes = [
        vote
        for vote in find_standing(list_votes(session, case_id))
        if vote.filter_name is None and vote.selection != ADJUDICATION
    ]
    if any(vote.reviewer == actor.name for vote in votes):
        raise TransitionError("You voted on this case", case_id, "Somebody who did not must settle it.")
    return votes


def _is_own(actor: Actor) -> sa.ColumnElement[bool]:
    return sa.exists().where(
        col(Vote.case_id) == Case.case_id, col(Vote.reviewer) == actor.name, col(Vote.selection) != ADJUDICATION
    )


def _letter(place: int) -> str:
    """A, B, ... Z, then by number: more people than letters never disagree on one case."""
    return chr(ord("A") + place) if place < 26 else str(place + 1)
