"""Verdicts: append-only votes, their withdrawal, what they add up to, and their copy in the label log."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import sqlalchemy as sa
from sqlmodel import Session, col, select

from core.clock import isoformat, now
from core.errors import TransitionError, UsageError
from core.events import EventStore
from core.records import RecordStore
from core.settings import Settings
from incidents.audit import Change, change
from incidents.enums import Action, CaseState, VerdictReason
from incidents.judgement.disputes import note_dispute
from incidents.judgement.guidelines import find_guideline
from incidents.models import Case, CaseEvent, Draw, Progress, Vote
from incidents.opening import MIRROR_SOURCE
from incidents.people import SYSTEM, Actor, Role
from incidents.views import CaseView, add_event, build_view, get_row, require_free
from ingest.crosswalk import find_category
from ingest.load import load_records
from metrics.consensus import ADJUDICATION, WITHDRAWN

VoteKind = Literal["vote", "withdrawal", "restatement"]

TEXT_LIMIT = 100_000
_CURSOR = "mirror"
_OF_CASE = select(Vote).where(Vote.case_id == sa.bindparam("case")).order_by(col(Vote.vote_id))
_MIRROR_BATCH = 5000


@dataclass(frozen=True, slots=True)
class VoteCreate:
    """A verdict to be cast.

    Attributes:
        case_id: The case.
        harmful: Whether the turn is harmful under the policy; None = unsure.
        category: Canonical hazard.
        severity: 0 (none) to 4 (extreme).
        reason: Why.
        principle_id: Constitution principle cited.
        revision: The better response.
        critique: What is wrong with the response.
        note: For colleagues; leaves this store with no export.
        filter_name: The filter that the verdict is about; None = about the turn.
        version: Version of the case that was judged; None = whatever it is now.
        filters: Filters that were judged with the turn, and whether the turn is harmful as far as each is to tell: a
            filter that fired was right when it is. Each becomes a vote of its own, which goes before the turn's wherever
            that filter is measured.
    """

    case_id: str
    harmful: bool | None
    category: str | None = None
    severity: int | None = None
    reason: VerdictReason | None = None
    principle_id: str | None = None
    revision: str | None = None
    critique: str | None = None
    note: str | None = None
    filter_name: str | None = None
    version: int | None = None
    filters: tuple[tuple[str, bool], ...] = ()

    def __post_init__(self) -> None:
        """Raises UsageError naming the first field that cannot be stored."""
        if self.severity is not None and not 0 <= self.severity <= 4:
            raise UsageError("Not a severity", str(self.severity), "Use 0 (none) to 4 (extreme).")
        for name in ("category", "principle_id"):
            value = getattr(self, name)
            if value is not None and (not value or len(value) > 200 or not value.isprintable()):
                raise UsageError(f"Not a {name}", repr(value[:50]), "Use up to 200 printable characters.")
        texts = {name: getattr(self, name) or "" for name in ("revision", "critique", "note", "filter_name")}
        for name, value in [*texts.items(), *(("filters", name) for name, _ in self.filters)]:
            if len(value) > TEXT_LIMIT:
                raise UsageError("A text is too long", name, f"Keep it within {TEXT_LIMIT:,} characters.")
            # PostgreSQL stores no NUL, and no engine stores half of a surrogate pair.
            if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
                raise UsageError("A text cannot be stored", name, "Remove the broken or invisible characters.")


def cast_vote(records: RecordStore, vote: VoteCreate, *, actor: Actor, at: datetime) -> CaseView:
    """Adds the actor's verdict, and returns the case without evidence; an earlier one by the same person about the same
    thing counts no more.

    Raises:
        NotFoundError: There is no such case.
        ConflictError: Someone else holds it, or it is no longer the version that was judged.
        TransitionError: It is closed, or the actor adjudicated it.
    """
    with change(records, actor=actor, at=at) as current:
        return add_vote(current, vote)


def add_vote(
    current: Change,
    vote: VoteCreate,
    *,
    selection: Literal["adjudication"] | None = None,
    bulk_id: str | None = None,
) -> CaseView:
    """`cast_vote` as a part of a larger change.

    Args:
        current: The change; its actor votes.
        vote: The verdict.
        selection: "adjudication" when it settles the votes of others; None = as the case came to be judged.
        bulk_id: The decision over many cases that this is part of, which has the audit entry; None = none.
    """
    session, actor = current.session, current.actor
    case = get_row(session, vote.case_id, version=vote.version)
    require_free(case, actor=actor.name, at=current.at)
    votes = list_votes(session, case.case_id)
    if not selection and any(
        earlier.reviewer == actor.name and earlier.selection == ADJUDICATION for earlier in find_standing(votes)
    ):
        raise TransitionError("You adjudicated this case", case.case_id, "Withdraw the adjudication first.")
    draw = None if selection else session.get(Draw, case.request_id)
    row = Vote(
        case_id=case.case_id,
        request_id=case.request_id,
        conversation_id=case.conversation_id,
        filter_name=vote.filter_name,
        reviewer=actor.name,
        voted_at=_next_moment(votes, current.at),
        kind="vote",
        harmful=vote.harmful,
        category=find_category(vote.category),
        severity=vote.severity,
        reason=vote.reason.value if vote.reason else None,
        principle_id=vote.principle_id,
        revision=vote.revision,
        critique=vote.critique,
        note=vote.note,
        # `user_report` is for the claim; what a reviewer says about a reported turn is a verdict.
        selection=selection or ("sample" if draw else "priority"),
        stratum=draw.stratum if draw else None,
        inclusion_probability=draw.inclusion_probability if draw else None,
        guideline_version=find_guideline(session),
        bulk_id=bulk_id,
    )
    about_filters = [_about(row, name, harmful, step) for step, (name, harmful) in enumerate(vote.filters, start=1)]
    session.add_all([row, *about_filters])
    session.flush()
    _settle(session, case, [*votes, row], at=current.at)
    payload: dict[str, object] = {"vote_id": row.vote_id}
    if about_filters:
        payload["filters"] = [own.vote_id for own in about_filters]
    action = Action.ADJUDICATE if selection else Action.VOTE
    add_event(current, case, action, payload, is_part=bulk_id is not None)
    return build_view(session, case, with_evidence=False)


def undo_vote(records: RecordStore, case_id: str, *, actor: Actor, at: datetime) -> CaseView:
    """Withdraws the actor's last verdict on a case, with what it said of filters; nothing is deleted, and no earlier one of
    theirs comes back.

    Without any verdict left the case is open again, or escalated again if it had been.

    Raises:
        TransitionError: The actor has no verdict to withdraw here.
    """
    actor.require(Role.REVIEWER)
    with change(records, actor=actor, at=at) as current:
        session = current.session
        case = get_row(session, case_id)
        own = [vote for vote in find_standing(list_votes(session, case_id)) if vote.reviewer == actor.name]
        if not own:
            raise TransitionError("Nothing to withdraw", f"{actor.name} has no standing verdict on {case_id}")
        last = max(own, key=lambda vote: vote.voted_at)
        together = next((ids for ids in _list_together(session, case_id) if last.vote_id in ids), {last.vote_id})
        for vote in sorted(own, key=lambda vote: vote.voted_at, reverse=True):
            if vote.vote_id in together:
                withdraw_vote(current, case, vote)
        return build_view(session, case)


def withdraw_vote(current: Change, case: Case, vote: Vote, *, is_part: bool = False) -> None:
    """Withdraws a standing verdict as a part of a larger change, which has the audit entry if `is_part`."""
    session = current.session
    votes = list_votes(session, case.case_id)
    withdrawal = _follow(vote, "withdrawal", _next_moment(votes, current.at))
    session.add(withdrawal)
    session.flush()
    votes.append(withdrawal)
    _settle(session, case, votes, at=current.at)
    action = Action.WITHDRAW
    if case.state == CaseState.DECIDED.value and not find_standing(votes):
        action = Action.RETURN if case.escalated_at else Action.REOPEN
    add_event(current, case, action, {"vote_id": vote.vote_id}, is_part=is_part)


def restate_votes(session: Session, case: Case, draw: Draw, *, at: datetime) -> int:
    """Repeats the standing verdicts on a case with the probability of a later random draw of its turn.

    A draw from all turns may hit one that is judged already: its verdict is known and counts towards estimates from
    then on. The earlier rows stay as they are.
    """
    votes = list_votes(session, case.case_id)
    standing = find_standing(votes)
    for vote in standing:
        repeated = _follow(vote, "restatement", _next_moment(votes, at))
        repeated.selection, repeated.stratum = "sample", draw.stratum
        repeated.inclusion_probability = draw.inclusion_probability
        session.add(repeated)
        session.flush()
        votes.append(repeated)
    return len(standing)


def list_votes(session: Session, case_id: str) -> list[Vote]:
    """All votes on a case, oldest first, withdrawals and restatements included."""
    return list(session.exec(_OF_CASE, params={"case": case_id}))


def find_standing(votes: Iterable[Vote]) -> list[Vote]:
    """Of each reviewer's votes on one thing the last, unless it is a withdrawal."""
    latest = {(vote.reviewer, vote.filter_name): vote for vote in votes}
    return [vote for vote in latest.values() if vote.kind != "withdrawal"]


def mirror_votes(records: RecordStore, events: EventStore, *, settings: Settings) -> int:
    """Copies votes that are new since the last call into the event store's labels; returns how many.

    The cursor moves after the copy: a crash in between repeats rows that the event store knows by their content
    and does not store again. A withdrawal becomes a row without verdict whose reason is `withdrawn`.
    """
    count = 0
    while True:
        with records.session() as session:
            position = session.exec(select(Progress.position).where(Progress.name == _CURSOR)).one()
            votes = session.exec(
                select(Vote).where(col(Vote.vote_id) > position).order_by(col(Vote.vote_id)).limit(_MIRROR_BATCH)
            ).all()
        if not votes:
            return count
        load_records(
            events,
            "label_log",
            [build_label(vote) for vote in votes],
            source=MIRROR_SOURCE,
            settings=settings,
        )
        with change(records, actor=SYSTEM, at=now()) as current:
            current.session.get_one(Progress, _CURSOR).position = votes[-1].vote_id or position
            current.keep()
        count += len(votes)


def build_label(vote: Vote) -> dict[str, object]:
    """A vote as a `label_log` record; the same vote always gives the same record."""
    return {
        "ts": isoformat(vote.voted_at),
        "request_id": vote.request_id,
        "conversation_id": vote.conversation_id,
        "filter_name": vote.filter_name,
        "reviewer": vote.reviewer,
        "harmful": vote.harmful,
        "category": vote.category,
        "severity": vote.severity,
        "reason": vote.reason,
        "principle_id": vote.principle_id,
        "revision": vote.revision,
        "critique": vote.critique,
        "selection": vote.selection,
        "stratum": vote.stratum,
        "inclusion_probability": vote.inclusion_probability,
        "guideline_version": vote.guideline_version,
        # An unknown key of the format: kept as it is, so that a vote given for many turns can be told from one look.
        **({"bulk_id": vote.bulk_id} if vote.bulk_id else {}),
    }


def _settle(session: Session, case: Case, votes: Sequence[Vote], *, at: datetime) -> None:
    """Writes what the standing verdicts about the turn, of all `votes`, add up to into the case, and notes where they differ.

    An adjudication decides; without one the majority does, None for a tie.
    """
    about_turn = [vote for vote in find_standing(votes) if vote.filter_name is None]
    note_dispute(session, case.case_id, about_turn, at=at)
    deciding = [vote for vote in about_turn if vote.selection == ADJUDICATION][-1:] or about_turn
    harmful = sum(vote.harmful is True for vote in deciding)
    benign = sum(vote.harmful is False for vote in deciding)
    case.harmful = None if harmful == benign else harmful > benign
    agreeing = [vote.category for vote in deciding if vote.category and vote.harmful == case.harmful]
    case.verdict_category = Counter(agreeing).most_common(1)[0][0] if agreeing else None


def _about(vote: Vote, filter_name: str, harmful: bool, step: int) -> Vote:
    """The vote about a filter that was given with a vote about the turn."""
    values = vote.model_dump(exclude={"vote_id", "revision", "critique", "note", "principle_id", "severity"})
    values |= {"filter_name": filter_name, "harmful": harmful, "voted_at": vote.voted_at + timedelta(microseconds=step)}
    return Vote(**values | {"category": vote.category if harmful else None})


def _list_together(session: Session, case_id: str) -> list[set[int]]:
    """The ids of votes that were cast together, newest first."""
    query = select(CaseEvent.payload).where(CaseEvent.case_id == case_id, CaseEvent.action == Action.VOTE.value)
    payloads = map(json.loads, session.exec(query.order_by(col(CaseEvent.seq).desc())))
    return [{payload["vote_id"], *payload.get("filters", ())} for payload in payloads]


def _follow(vote: Vote, kind: VoteKind, at: datetime) -> Vote:
    """A new row that withdraws or repeats `vote`."""
    is_repeated = kind == "restatement"
    return Vote(
        case_id=vote.case_id,
        request_id=vote.request_id,
        conversation_id=vote.conversation_id,
        filter_name=vote.filter_name,
        reviewer=vote.reviewer,
        voted_at=at,
        kind=kind,
        refers_to=vote.vote_id,
        harmful=vote.harmful if is_repeated else None,
        category=vote.category if is_repeated else None,
        severity=vote.severity if is_repeated else None,
        reason=vote.reason if is_repeated else WITHDRAWN,
        principle_id=vote.principle_id if is_repeated else None,
        revision=vote.revision if is_repeated else None,
        critique=vote.critique if is_repeated else None,
        note=vote.note if is_repeated else None,
        selection=vote.selection,
        stratum=vote.stratum,
        inclusion_probability=vote.inclusion_probability,
        guideline_version=vote.guideline_version,
        bulk_id=vote.bulk_id if is_repeated else None,
    )


def _next_moment(votes: Sequence[Vote], at: datetime) -> datetime:
    """`at`, or just after the last of a case's votes: their order must survive equal or corrected clocks."""
    return max([at, *(vote.voted_at + timedelta(microseconds=1) for vote in votes)])
