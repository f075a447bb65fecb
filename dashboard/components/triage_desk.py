"""A reviewer at the desk: which case lies open, what was revealed, and what each key does to the stores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import wraps
from typing import Any, Concatenate, ParamSpec
from zoneinfo import ZoneInfo

import streamlit as st
from sqlmodel import select

from core.clock import now, to_utc
from core.errors import AppError
from core.settings import EVERYTHING, QueueSettings
from dashboard import lists, state
from dashboard.components.triage_draft import Draft, Drafts, get_drafts
from dashboard.components.triage_filters import FilterSaid, judge_filters, list_said
from dashboard.components.triage_form import read_inputs
from incidents.alike import list_alike
from incidents.audit import count_actions
from incidents.bulk import Preview, Selection, apply_verdict, judge_selected, undo_bulk
from incidents.cases import CaseView, reveal_turn
from incidents.enums import CaseState, EscalationReason, OpenedBy, VerdictReason
from incidents.judgement.serving import (
    escalate_item,
    get_item,
    hand_over_item,
    judge_item,
    lease_item,
    release_item,
    skip_item,
    snooze_item,
    take_next,
    undo_item,
)
from incidents.judgement.wellness import Masking, read_wishes
from incidents.models import Case
from incidents.people import Actor, Role
from incidents.queues import list_queues
from incidents.reviews import VoteCreate
from service.home import Home

P = ParamSpec("P")

_REVEALED, _SKIPPED, _JUDGED, _NOTICE, _DIALOG = (
    f"triage.{name}" for name in ("revealed", "skipped", "judged", "notice", "dialog")
)


@dataclass(frozen=True, slots=True)
class Notice:
    """What the last key did, or why it could not."""

    text: str
    is_problem: bool = False


@dataclass(frozen=True, slots=True)
class Done:
    """One decision of this session, for its undo.

    Attributes:
        case_id: The case; "" when it was about a selection alone.
        draft: What was saved.
        bulk_id: The decision over many cases that it was, or was applied by; "" for none.
    """

    case_id: str
    draft: Draft
    bulk_id: str = ""


def _tells_problems(
    action: Callable[Concatenate[Desk, P], None],
) -> Callable[Concatenate[Desk, P], None]:
    """A callback whose expected failure becomes a notice: an exception there would hide the page."""

    @wraps(action)
    def guarded(desk: Desk, /, *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            action(desk, *args, **kwargs)
        except AppError as error:
            desk.tell(error.sentence(), is_problem=True)

    return guarded


@dataclass(frozen=True, slots=True)
class Desk:
    """One reviewer on one home. What changes lives in the session, the draft store and the address."""

    home: Home
    actor: Actor
    drafts: Drafts

    # What lies on the desk

    def is_revealed(self, case: CaseView, request_id: str) -> bool:
        """This session has revealed the turn."""
        return (case.case_id, request_id) in _session_set(_REVEALED)

    def draft(self, case: CaseView) -> Draft:
        """What the reviewer entered; at first the category that opened the case, unless it is blind."""
        kept = self.drafts.get(self.actor.name, case.case_id)
        hint = "" if is_blind(case) else case.category or ""
        return kept if kept is not None else Draft(category=hint)

    def notice(self) -> Notice:
        """What to tell the reviewer; stays until the next action."""
        notice = st.session_state.get(_NOTICE)
        return notice if isinstance(notice, Notice) else Notice("")

    def dialog(self) -> str:
        """The open dialog: "escalate", "snooze", "hand_over", "filters", "bulk", "keys", or ""."""
        return str(st.session_state.get(_DIALOG, ""))

    def alike(self, case: CaseView) -> list[CaseView]:
        """Open cases to which a verdict on this one may be applied; none for a case that is blind."""
        return [] if is_blind(case) else list_alike(self.home.records, case.case_id, actor=self.actor, at=now())

    def can_undo(self) -> bool:
        """This session has decided something."""
        return bool(_judged())

    def queue(self) -> QueueSettings:
        """The chosen queue; that of everything when the address names none, or one that is no more."""
        queues = {queue.name: queue for queue in list_queues(self.home.settings)}
        return queues.get(state.current_view().queue, queues[EVERYTHING])

    # What the keys do

    def tell(self, text: str, *, is_problem: bool = False) -> None:
        """Leaves a notice."""
        st.session_state[_NOTICE] = Notice(text, is_problem)

    def open_dialog(self, name: str) -> None:
        """Opens a dialog in the next run."""
        st.session_state[_DIALOG] = name

    def close_dialog(self) -> None:
        """Closes the open dialog."""
        st.session_state[_DIALOG] = ""

    def choose_queue(self, name: str) -> None:
        """Shows, and serves from, another queue."""
        state.choose(queue=None if name == EVERYTHING else name)

    def open(self, case_id: str | None) -> None:
        """Puts a case on the desk; None clears it."""
        self.close_dialog()
        state.choose(case=case_id, request=None)

    @_tells_problems
    def take_next(self, *, said: str = "") -> None:
        """Leases the next case of the chosen queue, or clears the desk when nothing waits there."""
        case = take_next(
            self.home.records,
            actor=self.actor,
            settings=self.home.settings,
            skip=tuple(_session_set(_SKIPPED)),
            queue=self.queue(),
            at=now(),
        )
        self.open(case.case_id if case else None)
        self.tell(" ".join(part for part in (said, "" if case else "Nothing more waits.") if part))

    def close(self, case_id: str) -> None:
        """Gives the case back and shows the queue; the draft is kept."""
        self.tell("")
        self.open(None)
        self._release(case_id)

    @_tells_problems
    def _release(self, case_id: str) -> None:
        case = get_item(self.home.records, case_id, actor=self.actor, at=now())
        self.keep(case, {})
        if case.is_held(now(), by=self.actor.name):
            release_item(self.home.records, case_id, actor=self.actor, at=now())

    @_tells_problems
    def reveal(self, case: CaseView, request_id: str) -> None:
        """Shows one turn's text, or that of all where the reviewer wishes so, after the audit entries are written."""
        with self.home.records.session() as session:
            masking = read_wishes(session, self.actor.name).masking
        turns = [request_id]
        if masking is Masking.CONVERSATION:
            others = (str(turn["request_id"]) for turn in case.evidence.get("turns", ()))
            turns += [other for other in others if other != request_id and not self.is_revealed(case, other)]
        for turn in turns:
            reveal_turn(self.home.records, case.case_id, actor=self.actor, request_id=turn, at=now())
            st.session_state[_REVEALED] = _session_set(_REVEALED) | {(case.case_id, turn)}

    def keep(self, case: CaseView, changes: Mapping[str, Any]) -> None:
        """Keeps what the form holds, with `changes`."""
        draft = replace(self.draft(case), **read_inputs(case.case_id), **changes)
        self.drafts.put(self.actor.name, case.case_id, draft)

    @_tells_problems
    def save(self, case: CaseView) -> None:
        """Casts the vote that the form holds and takes the next case."""
        draft = self._judge(case)
        if draft is not None:
            self.take_next(said=f"Saved as {draft.verdict}; Z undoes it.")

    @_tells_problems
    def save_alike(self, case: CaseView, case_ids: Sequence[str]) -> None:
        """Casts the vote that the form holds on the case and on those alike that were shown, and takes the next one."""
        draft = self._judge(case)
        if draft is None:
            return
        applied = apply_verdict(self.home.records, case.case_id, case_ids, actor=self.actor, at=now())
        *earlier, own = _judged()
        st.session_state[_JUDGED] = (*earlier, replace(own, bulk_id=applied.bulk_id))
        self.take_next(said=f"Saved as {draft.verdict} for {applied.count + 1:,} cases; Z undoes all of it.")

    @_tells_problems
    def decide_many(self, selection: Selection, seen: Preview, draft: Draft) -> None:
        """Casts one verdict on exactly what the preview showed."""
        self.close_dialog()
        vote = to_vote("", draft)
        applied = judge_selected(self.home.records, selection, vote, shown=seen.shown, actor=self.actor, at=now())
        st.session_state[_JUDGED] = (*_judged(), Done("", draft, applied.bulk_id))
        self.tell(f"Saved as {draft.verdict} for {applied.count:,} cases; Z undoes all of it.")

    def _judge(self, case: CaseView) -> Draft | None:
        self.keep(case, {})
        draft = self.draft(case)
        if not draft.verdict:
            self.tell("Choose harmful, benign or unsure first.", is_problem=True)
            return None
        vote = to_vote(case.case_id, draft, version=case.version, said=list_said(case.evidence))
        judge_item(self.home.records, vote, actor=self.actor, at=now())
        st.session_state[_JUDGED] = (*_judged(), Done(case.case_id, draft))
        self.drafts.drop(self.actor.name, case.case_id)
        return draft

    @_tells_problems
    def skip(self, case: CaseView) -> None:
        """Puts the case back for others and takes the next one."""
        skip_item(self.home.records, case.case_id, actor=self.actor, at=now())
        st.session_state[_SKIPPED] = _session_set(_SKIPPED) | {case.case_id}
        self.take_next(said="Skipped.")

    @_tells_problems
    def snooze(self, case: CaseView, until: datetime) -> None:
        """Puts the case off and takes the next one."""
        snooze_item(self.home.records, case.case_id, actor=self.actor, until=until, at=now())
        self.close_dialog()
        self.take_next(said="Put off.")

    @_tells_problems
    def hand_over(self, case: CaseView, to: str, note: str) -> None:
        """Keeps the case for a colleague and takes the next one."""
        until = now() + timedelta(hours=self.home.settings.cases.hand_over_h)
        hand_over_item(self.home.records, case.case_id, actor=self.actor, to=to, note=note, until=until, at=now())
        self.close_dialog()
        self.take_next(said=f"Handed over to {to}.")

    @_tells_problems
    def escalate(self, case: CaseView, reason: EscalationReason, note: str) -> None:
        """Hands the case to whoever takes escalations and takes the next one."""
        escalate_item(
            self.home.records,
            case.case_id,
            actor=self.actor,
            reason=reason,
            note=note,
            at=now(),
            version=case.version,
        )
        self.close_dialog()
        self.take_next(said="Escalated.")

    @_tells_problems
    def undo(self) -> None:
        """Withdraws this session's last verdict and opens its case again with the draft as it was."""
        *earlier, last = _judged()
        if last.bulk_id:
            undo_bulk(self.home.records, last.bulk_id, actor=self.actor, at=now())
        if last.case_id:
            self._withdraw(last.case_id)
            self.drafts.put(self.actor.name, last.case_id, last.draft)
            self.open(last.case_id)
        st.session_state[_JUDGED] = tuple(earlier)
        self.tell("Verdict withdrawn.")

    @_tells_problems
    def take_back(self, case_id: str) -> None:
        """Withdraws the reviewer's verdict on a case, given in this session or long ago."""
        self._withdraw(case_id)
        st.session_state[_JUDGED] = tuple(done for done in _judged() if done.case_id != case_id)
        self.tell("Verdict withdrawn; the case waits again if nobody else judged it.")

    @_tells_problems
    def take_back_all(self, bulk_id: str) -> None:
        """Withdraws every verdict of one decision over many cases."""
        count = undo_bulk(self.home.records, bulk_id, actor=self.actor, at=now())
        st.session_state[_JUDGED] = tuple(done for done in _judged() if done.bulk_id != bulk_id)
        self.tell(f"{count:,} verdicts withdrawn.")

    def _withdraw(self, case_id: str) -> None:
        lease_s = self.home.settings.cases.lease_s
        undo_item(self.home.records, case_id, actor=self.actor, lease_s=lease_s, at=now())

    def read_whole(self, request_id: str, role: str) -> str:
        """One text of a turn as stored, however long; "" when the event store no longer has it."""
        return lists.read_text(self.home.events, request_id, role)


def open_desk(home: Home, actor: Actor) -> Desk:
    """The desk of `actor` in this session."""
    return Desk(home, actor, get_drafts())


def resume_lease(desk: Desk, case_id: str) -> CaseView:
    """The case, held by this reviewer if nobody else holds it and it can still be judged.

    A refresh or a link opens a case by its id; the lease is renewed when it has run half its time, so that a
    reviewer who reads long keeps it and one who left loses it.

    Raises:
        NotFoundError: There is no such case.
    """
    case = get_item(desk.home.records, case_id, actor=desk.actor, at=now())
    moment = now()
    lease_s = desk.home.settings.cases.lease_s
    waits = case.state in (CaseState.OPEN, CaseState.ESCALATED)
    is_anothers = case.is_held(moment) and not case.is_held(moment, by=desk.actor.name)
    if not waits or is_anothers or case.is_held(moment + timedelta(seconds=lease_s / 2), by=desk.actor.name):
        return case
    return lease_item(desk.home.records, case_id, actor=desk.actor, lease_s=lease_s, at=moment)


def find_case_id(desk: Desk, request_id: str) -> str | None:
    """The case of a turn; None when no case was opened for it or no turn is named."""
    if not request_id:
        return None
    desk.actor.require(Role.VIEWER)
    with desk.home.records.session() as session:
        return session.exec(select(Case.case_id).where(Case.request_id == request_id)).first()


def count_judged_today(desk: Desk, *, zone: ZoneInfo) -> int:
    """Verdicts that the reviewer has given since midnight in `zone`."""
    midnight = datetime.now(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    return count_actions(desk.home.records, actor=desk.actor.name, action="case.vote", since=to_utc(midnight))


def to_vote(case_id: str, draft: Draft, *, version: int | None = None, said: Sequence[FilterSaid] = ()) -> VoteCreate:
    """The vote that a draft stands for; a benign turn has no category and severity 0.

    Args:
        case_id: The case; "" where there are many.
        draft: The draft.
        version: Version of the case that was judged.
        said: What the filters said of the turn, of which the draft may say whether they were right.
    """
    is_benign = draft.verdict == "benign"
    return VoteCreate(
        case_id=case_id,
        harmful=draft.harmful,
        category=None if is_benign else draft.category or None,
        severity=0 if is_benign else draft.severity,
        reason=VerdictReason(draft.reason) if draft.reason else None,
        principle_id=draft.principle_id.strip() or None,
        revision=draft.revision.strip() or None,
        critique=draft.critique.strip() or None,
        note=draft.note.strip() or None,
        version=version,
        filters=judge_filters(said, dict(draft.filters)),
    )


def is_blind(case: CaseView) -> bool:
    """The verdict measures the filters, so the reviewer must not see what they said."""
    return case.opened_by == OpenedBy.SAMPLE


def _session_set(key: str) -> frozenset[Any]:
    value = st.session_state.get(key, frozenset())
    return value if isinstance(value, frozenset) else frozenset()


def _judged() -> tuple[Done, ...]:
    return tuple(st.session_state.get(_JUDGED, ()))
