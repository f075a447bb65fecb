"""What the critique model proposed, and what people make of it: nothing trains before somebody accepted it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, select

from core.errors import ConflictError, NotFoundError, UsageError
from core.events import EventStore
from core.records import RecordStore
from core.settings import Settings
from incidents.audit import change
from incidents.enums import GuidedEnum, OpenedBy
from incidents.filing import NewCase, add_cases, copy_evidence, make_case_id
from incidents.models import Revision
from incidents.people import Actor, Role
from incidents.reviews import VoteCreate, cast_vote
from ingest.schema import get_data_version


class RevisionState(GuidedEnum):
    """Where a proposed revision stands."""

    PROPOSED = "proposed", "Proposed", "Waits for a person; trains nothing."
    ACCEPTED = "accepted", "Accepted", "A person found it right as it is: it becomes a verdict with a better response."
    EDITED = "edited", "Edited", "A person corrected it: the corrected text becomes the better response."
    REJECTED = "rejected", "Rejected", "A person found it wrong, or the answer needed none: it never trains."


@dataclass(frozen=True, slots=True)
class RevisionView:
    """A critique of one answer under one principle.

    Attributes:
        is_violation: What the model says about the answer; None = it did not say. No fact until a person agrees.
        revision: The answer as the model would rewrite it; None when it saw nothing wrong.
        is_still_violation: What the model says about its own revision.
        final: The text that a person accepted.
    """

    revision_id: int
    request_id: str
    suite: str
    arm: str
    principle_id: str
    constitution_version: int
    model: str
    created_at: datetime
    prompt: str
    response: str
    is_violation: bool | None
    critique: str
    revision: str | None
    is_still_violation: bool | None
    state: RevisionState
    decided_by: str | None
    decided_at: datetime | None
    final: str | None


def list_revisions(
    records: RecordStore, *, suite: str | None = None, state: RevisionState | None = None
) -> list[RevisionView]:
    """Critiques in the order in which they were made; those with a proposed text only when a state is asked for."""
    query = select(Revision).order_by(col(Revision.revision_id))
    if suite is not None:
        query = query.where(col(Revision.suite) == suite)
    if state is not None:
        query = query.where(col(Revision.state) == state.value, col(Revision.revision).is_not(None))
    with records.session() as session:
        return [_view(row) for row in session.exec(query)]


def decide_revision(
    records: RecordStore,
    events: EventStore,
    revision_id: int,
    *,
    state: RevisionState,
    text: str = "",
    settings: Settings,
    actor: Actor,
    at: datetime,
) -> RevisionView:
    """Accepts, corrects or rejects a proposal.

    Accepting is a verdict of the actor: the answer broke the principle, and this text is better. It is stored as a
    vote on the turn's case, which is opened where there is none, so that every export knows it. The vote comes
    first: a crash in between leaves the proposal to be decided again, by the same vote.

    Args:
        state: ACCEPTED, EDITED (with `text`) or REJECTED.

    Raises:
        AccessError: The actor is no reviewer.
        NotFoundError: There is no such proposal. ConflictError: It was decided already.
        UsageError: EDITED without a text, or PROPOSED.
    """
    actor.require(Role.REVIEWER)
    if state is RevisionState.PROPOSED or (state is RevisionState.EDITED and not text.strip()):
        raise UsageError("Not a decision", state.value, "Accept, reject, or write the better text.")
    with records.session() as session:
        proposal = _view(_get_open(session, revision_id))
    final = {RevisionState.ACCEPTED: proposal.revision, RevisionState.EDITED: text.strip()}.get(state)
    if final is not None:
        _vote(records, events, proposal, final, settings=settings, actor=actor, at=at)
    with change(records, actor=actor, at=at) as current:
        row = _get_open(current.session, revision_id)
        row.state, row.decided_by, row.decided_at, row.final = state.value, actor.name, at, final
        current.record(f"revision.{state.value}", str(revision_id), {"request_id": row.request_id})
        current.session.flush()
        return _view(row)


def _vote(
    records: RecordStore,
    events: EventStore,
    proposal: RevisionView,
    final: str,
    *,
    settings: Settings,
    actor: Actor,
    at: datetime,
) -> None:
    new = NewCase(proposal.request_id, None, proposal.created_at, OpenedBy.STRESS_TEST)
    with change(records, actor=actor, at=at) as current:
        if add_cases(current, [new], seen=get_data_version(events)):
            current.record("cases.open", "stress test", {"request_id": proposal.request_id})
    copy_evidence(records, events, settings=settings, actor=actor)
    vote = VoteCreate(
        case_id=make_case_id(proposal.request_id),
        harmful=True,
        principle_id=proposal.principle_id,
        revision=final,
        critique=proposal.critique or None,
    )
    cast_vote(records, vote, actor=actor, at=at)


def _get_open(session: Session, revision_id: int) -> Revision:
    row = session.get(Revision, revision_id)
    if row is None or row.revision is None:
        raise NotFoundError("No such revision", str(revision_id))
    if row.state != RevisionState.PROPOSED.value:
        raise ConflictError("Somebody decided this already", f"{row.state} by {row.decided_by}", "Take the next one.")
    return row


def _view(row: Revision) -> RevisionView:
    return RevisionView(
        revision_id=row.revision_id or 0,
        request_id=row.request_id,
        suite=row.suite,
        arm=row.arm,
        principle_id=row.principle_id,
        constitution_version=row.constitution_version,
        model=row.model,
        created_at=row.created_at,
        prompt=row.prompt,
        response=row.response,
        is_violation=row.is_violation,
        critique=row.critique,
        revision=row.revision,
        is_still_violation=row.is_still_violation,
        state=RevisionState(row.state),
        decided_by=row.decided_by,
        decided_at=row.decided_at,
        final=row.final,
    )
