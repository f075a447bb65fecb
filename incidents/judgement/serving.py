"""What a person is given next, and what becomes of it: first reviews, and others that look exactly like them.

A second look, a golden item and an item of a calibration round are *assignments*: put before one person once, under a lease of
their own, shown as a first review would be. A page calls the functions here instead of those of `incidents.cases` and
`incidents.reviews`; they do the same for a first review, and the right thing for an assignment.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from random import Random

import sqlalchemy as sa
from sqlmodel import Session, col, select

from core.errors import ConflictError
from core.records import RecordStore
from core.settings import QueueSettings, Settings
from incidents.audit import Change, change
from incidents.cases import (
    escalate_case,
    get_case,
    hand_over_case,
    lease_case,
    lease_first,
    release_case,
    skip_case,
    snooze_case,
)
from incidents.enums import Action, CaseState, EscalationReason
from incidents.judgement.answers import add_answer, withdraw_answer
from incidents.judgement.assigning import assign_offer, choose_assignment, find_head, find_offer
from incidents.judgement.disguise import disguise
from incidents.judgement.enums import AssignmentState, Purpose
from incidents.judgement.looks import plan_looks
from incidents.judgement.models import Assignment, SecondLook
from incidents.judgement.wellness import is_due_for_mild, list_avoided, list_grave
from incidents.models import Case
from incidents.people import Actor, Role
from incidents.queues import find_soon
from incidents.reviews import VoteCreate, add_vote, undo_vote
from incidents.views import CaseView, add_event, build_view, get_row

ANSWERED = (Purpose.GOLDEN, Purpose.CALIBRATION)
"""Purposes whose verdict is an answer about the reviewer, never a label."""

_OF_CASE = select(Assignment).where(
    Assignment.case_id == sa.bindparam("case"),
    Assignment.reviewer == sa.bindparam("reviewer"),
    Assignment.state == sa.bindparam("state"),
)
_HELD = (
    select(Assignment)
    .where(Assignment.reviewer == sa.bindparam("reviewer"), Assignment.state == AssignmentState.HELD.value)
    .order_by(col(Assignment.served_at))
)


def take_next(
    records: RecordStore,
    *,
    actor: Actor,
    settings: Settings,
    at: datetime,
    skip: Collection[str] = (),
    queue: QueueSettings | None = None,
    random: Random | None = None,
) -> CaseView | None:
    """Gives the actor what to judge next, without evidence; None when nothing waits.

    What they hold comes first, so that a closed browser loses nothing. Items of a running calibration round follow.
    Nothing of a category comes that the actor opted out of or has met enough of; after many grave cases a milder one does.
    Otherwise a golden item comes at the rate of `review.golden_share`, a second look as often as both queues are emptied
    together and at least twice as often as new ones arise, and a first review (`queues.find_next`) in all other cases.

    Args:
        records: The decision store.
        actor: Who will judge.
        settings: Shares, and the length of a lease.
        at: Now.
        skip: Ids of cases that are not to be served as a first review.
        queue: The queue that the actor works on, to which what looks like a first review belongs too; None = any.
        random: Source of chance; the system's by default, so that nobody can foretell it.
    """
    actor.require(Role.REVIEWER)
    chance = random or secrets.SystemRandom()
    with change(records, actor=actor, at=at) as current:
        session = current.session
        plan_looks(session, settings=settings.review, at=at)
        current.keep()
        avoided = list_avoided(session, actor.name, settings=settings.wellness, at=at)
        found = _find_held(session, actor.name, at) or choose_assignment(
            current, settings, chance, queue=queue, avoided=avoided
        )
        if found is not None:
            return replace(_lease(current, found, settings.cases.lease_s), evidence={})
        first = partial(
            lease_first,
            current,
            lease_s=settings.cases.lease_s,
            skip=skip,
            queue=queue,
            soon=find_soon(settings.cases, at),
        )
        is_mild_due = is_due_for_mild(session, actor.name, settings=settings.wellness, at=at)
        return (first(avoid=avoided | list_grave()) if is_mild_due else None) or first(avoid=avoided)


def get_item(records: RecordStore, case_id: str, *, actor: Actor, at: datetime) -> CaseView:
    """A case as the actor is to see it: one that is theirs to judge again looks as if nobody had judged it.

    Raises:
        NotFoundError: There is no such case.
    """
    assignment = _find_assignment(records, case_id, actor.name)
    case = get_case(records, case_id, actor=actor)
    if assignment is not None:
        return _disguise(case, assignment)
    with records.session() as session:
        is_offered = find_offer(session, case_id, actor=actor, at=at) is not None
        return disguise(case, opened_at=find_head(session, at=at) or case.opened_at) if is_offered else case


def lease_item(records: RecordStore, case_id: str, *, actor: Actor, lease_s: int, at: datetime) -> CaseView:
    """Prolongs the actor's hold on what lies before them, or takes a case: as a second look, if it waits for theirs.

    Raises:
        ConflictError: Somebody else has it.
        TransitionError: It is closed.
    """
    assignment = _find_assignment(records, case_id, actor.name)
    if assignment is None:
        with change(records, actor=actor, at=at) as current:
            offered = assign_offer(current, case_id)
            if offered is not None:
                return _lease(current, offered, lease_s)
        return lease_case(records, case_id, actor=actor, lease_s=lease_s, at=at)
    with change(records, actor=actor, at=at) as current:
        return _lease(current, _get_held(current.session, case_id, actor.name), lease_s)


def judge_item(records: RecordStore, vote: VoteCreate, *, actor: Actor, at: datetime) -> CaseView:
    """Takes the actor's verdict: as a vote, or as an answer where the verdict is known or compared.

    Raises:
        ConflictError, TransitionError: As `incidents.reviews.cast_vote`.
    """
    with change(records, actor=actor, at=at) as current:
        assignment = _query(current.session, vote.case_id, actor.name, AssignmentState.HELD)
        if assignment is None:
            return add_vote(current, vote)
        if not _is_wanted(current.session, assignment, at):
            raise ConflictError("Your time for this case ran out and somebody else took it", "", "Take the next one.")
        _end(current, assignment, AssignmentState.DONE)
        if Purpose(assignment.purpose) in ANSWERED:
            add_answer(current, assignment, vote)
            # Under the name of any other verdict: what a person may count must not tell the two apart.
            current.record("case.vote", vote.case_id, {"state": CaseState.DECIDED.value})
        else:
            # A case that looked untouched may have changed: its version is not the reviewer's to know.
            add_vote(current, replace(vote, version=None))
        return _show(current, assignment)


def undo_item(records: RecordStore, case_id: str, *, actor: Actor, lease_s: int, at: datetime) -> CaseView:
    """Withdraws the actor's last verdict or answer on a case; an assignment lies before them again.

    Raises:
        TransitionError: There is none to withdraw.
    """
    assignment = _find_assignment(records, case_id, actor.name, state=AssignmentState.DONE)
    if assignment is not None and Purpose(assignment.purpose) in ANSWERED:
        with change(records, actor=actor, at=at) as current:
            withdraw_answer(current, case_id)
            current.record("case.withdraw", case_id, {"state": CaseState.DECIDED.value})
            return _reopen(current, case_id, lease_s)
    case = undo_vote(records, case_id, actor=actor, at=at)
    if assignment is None or case.state is not CaseState.DECIDED:
        return case
    with change(records, actor=actor, at=at) as current:
        current.keep()
        return _reopen(current, case_id, lease_s)


def release_item(records: RecordStore, case_id: str, *, actor: Actor, at: datetime) -> None:
    """Gives back what the actor holds; an assignment stays theirs and comes first when they go on.

    Raises:
        ConflictError: Somebody else holds the case.
    """
    if _find_assignment(records, case_id, actor.name) is None:
        release_case(records, case_id, actor=actor, at=at)


def skip_item(records: RecordStore, case_id: str, *, actor: Actor, at: datetime) -> CaseView:
    """Gives back what the actor holds and does not serve it to them again; a first review comes last for them.

    Raises:
        ConflictError, TransitionError: As `incidents.cases.skip_case`.
    """
    if _find_assignment(records, case_id, actor.name) is None:
        return skip_case(records, case_id, actor=actor, at=at)
    return _pass_on(records, case_id, Action.SKIP, actor=actor, at=at)


def snooze_item(records: RecordStore, case_id: str, *, actor: Actor, until: datetime, at: datetime) -> CaseView:
    """Puts a case off; an assignment is passed on, because somebody else can judge it now.

    Raises:
        ConflictError, TransitionError, UsageError: As `incidents.cases.snooze_case`.
    """
    if _find_assignment(records, case_id, actor.name) is None:
        return snooze_case(records, case_id, actor=actor, until=until, at=at)
    return _pass_on(records, case_id, Action.SNOOZE, actor=actor, at=at)


def hand_over_item(
    records: RecordStore, case_id: str, *, actor: Actor, to: str, note: str, until: datetime, at: datetime
) -> CaseView:
    """Keeps a case for a colleague; an assignment is passed on to whoever comes next, lest it tells that it is one.

    Raises:
        ConflictError, TransitionError, UsageError: As `incidents.cases.hand_over_case`.
    """
    if _find_assignment(records, case_id, actor.name) is None:
        return hand_over_case(records, case_id, actor=actor, to=to, note=note, until=until, at=at)
    return _pass_on(records, case_id, Action.HAND_OVER, actor=actor, at=at)


def escalate_item(
    records: RecordStore,
    case_id: str,
    *,
    actor: Actor,
    reason: EscalationReason,
    note: str,
    at: datetime,
    version: int | None = None,
) -> CaseView:
    """Hands a case on to someone with more authority or knowledge; one whose verdict is known goes nowhere.

    Raises:
        ConflictError, TransitionError: As `incidents.cases.escalate_case`.
    """
    if _find_assignment(records, case_id, actor.name) is None:
        return escalate_case(records, case_id, actor=actor, reason=reason, note=note, at=at, version=version)
    with change(records, actor=actor, at=at) as current:
        assignment = _get_held(current.session, case_id, actor.name)
        _end(current, assignment, AssignmentState.PASSED)
        if Purpose(assignment.purpose) in ANSWERED:
            current.record("case.escalate", case_id, {"state": CaseState.ESCALATED.value})
        else:
            case = get_row(current.session, case_id)
            add_event(current, case, Action.ESCALATE, {"reason": reason.value, "note": note})
        return _show(current, assignment)


def _lease(current: Change, assignment: Assignment, lease_s: int) -> CaseView:
    assignment.leased_until = current.at + timedelta(seconds=lease_s)
    current.session.add(assignment)
    current.session.flush()
    current.record("case.lease", assignment.case_id, {"state": CaseState.OPEN.value})
    return _show(current, assignment)


def _show(current: Change, assignment: Assignment) -> CaseView:
    return _disguise(build_view(current.session, get_row(current.session, assignment.case_id)), assignment)


def _end(current: Change, assignment: Assignment, state: AssignmentState) -> None:
    assignment.state, assignment.done_at = state.value, current.at
    current.session.add(assignment)


def _pass_on(records: RecordStore, case_id: str, action: Action, *, actor: Actor, at: datetime) -> CaseView:
    with change(records, actor=actor, at=at) as current:
        assignment = _get_held(current.session, case_id, actor.name)
        _end(current, assignment, AssignmentState.PASSED)
        current.record(f"case.{action.value}", case_id, {"state": CaseState.OPEN.value})
        return _show(current, assignment)


def _reopen(current: Change, case_id: str, lease_s: int) -> CaseView:
    assignment = _query(current.session, case_id, current.actor.name, AssignmentState.DONE)
    if assignment is None:
        raise ConflictError("The case changed meanwhile", case_id, "Take the next one.")
    assignment.state, assignment.done_at = AssignmentState.HELD.value, None
    return _lease(current, assignment, lease_s)


def _find_held(session: Session, reviewer: str, at: datetime) -> Assignment | None:
    """What the person was given and has not finished, if it still wants an answer."""
    held = session.exec(_HELD, params={"reviewer": reviewer}).all()
    return next((assignment for assignment in held if _is_wanted(session, assignment, at)), None)


def _is_wanted(session: Session, assignment: Assignment, at: datetime) -> bool:
    if assignment.leased_until > at:
        return True
    case = session.get_one(Case, assignment.case_id)
    if Purpose(assignment.purpose) in ANSWERED:
        return case.state in (CaseState.DECIDED.value, CaseState.CLOSED.value)
    look = session.get_one(SecondLook, assignment.case_id)
    others = select(Assignment.assignment_id).where(
        Assignment.case_id == assignment.case_id,
        Assignment.reviewer != assignment.reviewer,
        Assignment.state == AssignmentState.HELD.value,
        col(Assignment.leased_until) > at,
    )
    return case.state == CaseState.DECIDED.value and not look.is_done and session.exec(others).first() is None


def _query(session: Session, case_id: str, reviewer: str, state: AssignmentState) -> Assignment | None:
    values = {"case": case_id, "reviewer": reviewer, "state": state.value}
    return session.exec(_OF_CASE, params=values).first()


def _find_assignment(
    records: RecordStore, case_id: str, reviewer: str, *, state: AssignmentState = AssignmentState.HELD
) -> Assignment | None:
    with records.session() as session:
        return _query(session, case_id, reviewer, state)


def _get_held(session: Session, case_id: str, reviewer: str) -> Assignment:
    assignment = _query(session, case_id, reviewer, AssignmentState.HELD)
    if assignment is None:
        raise ConflictError("You have finished this case already", case_id, "Take the next one.")
    return assignment


def _disguise(case: CaseView, assignment: Assignment) -> CaseView:
    return disguise(
        case,
        opened_at=assignment.shown_opened_at,
        reviewer=assignment.reviewer,
        leased_until=assignment.leased_until,
    )
