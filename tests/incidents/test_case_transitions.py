"""The state machine: what is allowed, and that a case always equals the fold of its events."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from case_house import T0
from hypothesis import Phase
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from core.errors import AppError, ConflictError, TransitionError
from incidents.audit import change, find_tampering
from incidents.cases import (
    escalate_case,
    get_case,
    hand_over_case,
    lease_case,
    lease_next,
    release_case,
    skip_case,
    snooze_case,
)
from incidents.enums import Action, CaseState, EscalationReason, GuidedEnum, OpenedBy, VerdictReason
from incidents.filing import NewCase, add_cases, make_case_id
from incidents.models import Case
from incidents.people import SYSTEM, Actor, Role
from incidents.reviews import VoteCreate, cast_vote, find_standing, list_votes, undo_vote
from incidents.transitions import TRANSITIONS, Event, find_rule, fold, list_actions
from incidents.views import add_event, get_row, get_snapshot, list_events
from tests.stores import open_records

PEOPLE = [Actor(name, Role.LEAD) for name in ("ana", "ben", "eve")]
people = st.sampled_from(PEOPLE)


@pytest.mark.parametrize(
    ("state", "action"),
    [pair for pair in itertools.product([None, *CaseState], Action) if pair not in TRANSITIONS],
)
def test_what_is_not_listed_is_refused_and_the_allowed_actions_are_named(
    state: CaseState | None, action: Action
) -> None:
    with pytest.raises(TransitionError) as failure:
        find_rule(state, action, {})
    assert all(allowed.value in failure.value.hint for allowed in list_actions(state))


@pytest.mark.parametrize("pair", [pair for pair, found in TRANSITIONS.items() if found.requires])
def test_a_missing_fact_is_named(pair: tuple[CaseState | None, Action]) -> None:
    with pytest.raises(TransitionError, match=TRANSITIONS[pair].requires[0]):
        find_rule(*pair, {})


def test_every_state_is_reached_and_every_life_starts_by_opening() -> None:
    assert {found.to for found in TRANSITIONS.values()} == set(CaseState)
    assert list_actions(None) == [Action.OPEN]
    with pytest.raises(ValueError, match="opening"):
        fold([])
    with pytest.raises(TransitionError):
        fold([Event(Action.VOTE, "ana", T0, {"vote_id": 1})])


@pytest.mark.parametrize("choices", [CaseState, OpenedBy, VerdictReason, EscalationReason])
def test_every_choice_has_a_title_and_a_sentence_of_guidance(choices: type[GuidedEnum]) -> None:
    for member in choices:
        assert member.title
        assert member.guidance.endswith(".")
        assert choices(member.value) is member
    assert len({member.title for member in choices}) == len(choices)


class LifeOfACase(RuleBasedStateMachine):
    """Three people do anything to one case in any order, at any speed."""

    @initialize()
    def start(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.records = open_records(Path(self.folder.name))
        self.at = T0
        self.case_id = make_case_id("r1")
        with change(self.records, actor=SYSTEM, at=self.at) as current:
            add_cases(current, [NewCase("r1", "c1", T0, OpenedBy.ESCALATION)], seen=1)
            current.record("cases.open", "cases", {})

    @rule(seconds=st.integers(0, 90))
    def wait(self, seconds: int) -> None:
        self.at += timedelta(seconds=seconds)

    @rule(actor=people)
    def lease(self, actor: Actor) -> None:
        before = get_case(self.records, self.case_id, actor=actor)
        try:
            after = lease_case(self.records, self.case_id, actor=actor, lease_s=60, at=self.at)
        except ConflictError:
            assert before.is_held(self.at)
            assert not before.is_held(self.at, by=actor.name)
        except TransitionError:
            assert before.state is CaseState.CLOSED
        else:
            assert not before.is_held(self.at) or before.leased_by == actor.name
            assert after.is_held(self.at, by=actor.name)

    @rule(actor=people)
    def release(self, actor: Actor) -> None:
        self._try(lambda: release_case(self.records, self.case_id, actor=actor, at=self.at))

    @rule(actor=people)
    def skip(self, actor: Actor) -> None:
        self._try(lambda: skip_case(self.records, self.case_id, actor=actor, at=self.at))

    @rule(actor=people, minutes=st.integers(-1, 3))
    def snooze(self, actor: Actor, minutes: int) -> None:
        until = self.at + timedelta(minutes=minutes)
        self._try(lambda: snooze_case(self.records, self.case_id, actor=actor, until=until, at=self.at))

    @rule(actor=people, to=people)
    def hand_over(self, actor: Actor, to: Actor) -> None:
        until = self.at + timedelta(minutes=2)
        self._try(
            lambda: hand_over_case(
                self.records, self.case_id, actor=actor, to=to.name, note="", until=until, at=self.at
            )
        )

    @rule(actor=people)
    def take_next(self, actor: Actor) -> None:
        before = get_case(self.records, self.case_id, actor=actor)
        with self.records.session() as session:
            get_row(session, self.case_id).evidence_ingest_id = 1
        case = lease_next(self.records, actor=actor, lease_s=60, at=self.at)
        is_anothers = before.is_held(self.at) and before.leased_by != actor.name
        is_put_off = before.snoozed_until is not None and before.snoozed_until > self.at
        is_kept = bool(before.assigned_until and before.assigned_until > self.at and before.assigned_to != actor.name)
        is_mine = before.is_held(self.at, by=actor.name)
        is_free = is_mine or not (is_anothers or is_put_off or is_kept)
        assert (case is not None) == (before.state is CaseState.OPEN and is_free)

    @rule(
        actor=people,
        harmful=st.sampled_from([True, False, None]),
        filter_name=st.sampled_from([None, "guard"]),
    )
    def vote(self, actor: Actor, harmful: bool | None, filter_name: str | None) -> None:
        vote = VoteCreate(self.case_id, harmful, filter_name=filter_name)
        self._try(lambda: cast_vote(self.records, vote, actor=actor, at=self.at))

    @rule(actor=people)
    def undo(self, actor: Actor) -> None:
        self._try(lambda: undo_vote(self.records, self.case_id, actor=actor, at=self.at))

    @rule(actor=people)
    def escalate(self, actor: Actor) -> None:
        self._try(
            lambda: escalate_case(
                self.records, self.case_id, actor=actor, reason=EscalationReason.LEGAL, note="", at=self.at
            )
        )

    @rule(action=st.sampled_from([Action.CLOSE, Action.DRAW, Action.DRAW, Action.APPEAL, Action.REGRESS]))
    def close_draw_or_reopen(self, action: Action) -> None:
        def work() -> None:
            with change(self.records, actor=SYSTEM, at=self.at) as current:
                case = get_row(current.session, self.case_id)
                facts = {"reason": "imported", "sample_id": "s1", "claims": 1, "candidate": "guard@2"}
                add_event(current, case, action, facts)

        self._try(work)

    @invariant()
    def the_case_equals_the_fold_of_its_events(self) -> None:
        if not hasattr(self, "records"):
            return
        with self.records.session() as session:
            case = get_row(session, self.case_id)
            events = list_events(session, self.case_id)
            standing = find_standing(list_votes(session, self.case_id))
        assert get_snapshot(case) == fold(events)
        assert case.version == len(events)
        assert (case.decided_at is not None) == (case.state == CaseState.DECIDED)
        if case.state == CaseState.DECIDED:
            assert standing
        if case.state == CaseState.OPEN and not {Action.APPEAL, Action.REGRESS} & {event.action for event in events}:
            assert not standing

    def _try(self, action: Callable[[], object]) -> None:
        with self.records.session() as session:
            before = len(list_events(session, self.case_id))
        try:
            action()
        except AppError:
            with self.records.session() as session:
                assert len(list_events(session, self.case_id)) == before

    def teardown(self) -> None:
        if hasattr(self, "records"):
            assert find_tampering(self.records) is None
            self.records.close()
            self.folder.cleanup()


# Each step is a transaction on disk: shrinking a failure would take minutes and say little more.
LifeOfACase.TestCase.settings = hypothesis_settings(
    max_examples=20, stateful_step_count=25, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate]
)
TestLifeOfACase = LifeOfACase.TestCase


def test_a_case_row_that_was_tampered_with_no_longer_equals_its_fold(tmp_path: Path) -> None:
    records = open_records(tmp_path)
    with change(records, actor=SYSTEM, at=T0) as current:
        add_cases(current, [NewCase("r1", None, T0, OpenedBy.TRIGGER)], seen=1)
        current.record("cases.open", "cases", {})
    with records.session() as session:
        case = session.get(Case, make_case_id("r1"))
        assert case is not None
        case.state = CaseState.CLOSED.value
        assert get_snapshot(case) != fold(list_events(session, case.case_id))
    records.close()
