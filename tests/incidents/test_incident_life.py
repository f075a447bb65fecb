"""Incidents: what is allowed, that an incident always equals the fold of its events, and how it comes back."""

from __future__ import annotations

import itertools
import json
import tempfile
from datetime import timedelta
from pathlib import Path

import pytest
from case_house import ANA, LEA, T0, House
from hypothesis import Phase
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlmodel import select

from core.errors import AccessError, AppError, ConflictError, NotFoundError, TransitionError
from incidents.audit import change, find_tampering
from incidents.enums import AlertState, GuidedEnum
from incidents.models import AlertEvent, AlertRow, AuditEntry
from incidents.people import SYSTEM, Actor, Role
from incidents.response import enums
from incidents.response.enums import Duty, IncidentAction, IncidentState, LinkKind, Section, Severity, Source
from incidents.response.life import fold, measure
from incidents.response.models import Incident
from incidents.response.recurrence import reopen_recurring
from incidents.response.states import FACTS, TRANSITIONS, find_rule, list_actions, list_steps
from incidents.response.work import (
    act,
    count_unacknowledged,
    find_linked,
    get_incident,
    list_incidents,
    open_from_alert,
    open_from_case,
    open_incident,
    project,
)
from tests.stores import open_records

VALID = {
    "severity": "high",
    "source": "hand",
    "started_at": "2026-03-02T08:00:00",
    "resolution": "rolled_back",
    "dismissal": "false_alarm",
    "section": "lessons",
    "link": "filter",
    "duty": "scribe",
    "due": "2026-04-01",
    "follow_up": "9",
    "aware_at": "2026-03-02T09:00:00",
    "report": "initial",
    "step": "1",
    "before_h": "24",
    "due_at": "2026-03-04T09:00:00",
}


def facts(action: IncidentAction, state: IncidentState | None) -> dict[str, str]:
    return {name: VALID.get(name, f"some {name}") for name in TRANSITIONS[state, action].requires}


@pytest.mark.parametrize(
    ("state", "action"),
    [pair for pair in itertools.product([None, *IncidentState], IncidentAction) if pair not in TRANSITIONS],
)
def test_what_is_not_listed_is_refused_and_the_legal_actions_are_named(
    state: IncidentState | None, action: IncidentAction
) -> None:
    with pytest.raises(TransitionError) as failure:
        find_rule(state, action, {})
    assert all(allowed.value in failure.value.hint for allowed in list_actions(state))


@pytest.mark.parametrize("pair", [pair for pair, found in TRANSITIONS.items() if found.requires])
def test_a_missing_fact_is_named(pair: tuple[IncidentState | None, IncidentAction]) -> None:
    with pytest.raises(TransitionError, match=TRANSITIONS[pair].requires[-1]):
        find_rule(*pair, {})


@pytest.mark.parametrize("name", [name for name, fact in FACTS.items() if fact.kind != "text"])
def test_an_invalid_fact_is_named_with_what_is_valid(name: str) -> None:
    pair = next((pair for pair, found in TRANSITIONS.items() if name in found.requires), (None, IncidentAction.OPEN))
    payload = facts(pair[1], pair[0]) | {name: "a\nb" * 200}
    with pytest.raises(TransitionError, match=name) as failure:
        find_rule(*pair, payload)
    assert all(choice.value in failure.value.hint for choice in FACTS[name].choices)


def test_every_fact_that_a_rule_asks_for_is_known_and_unknown_ones_are_refused() -> None:
    assert {name for found in TRANSITIONS.values() for name in found.requires} | {"started_at", "target"} == set(FACTS)
    with pytest.raises(TransitionError, match="prompt"):
        find_rule(IncidentState.NEW, IncidentAction.NOTE, {"text": "x", "prompt": "y"})


def test_every_state_is_reached_and_has_a_way_on() -> None:
    assert {found.to for found in TRANSITIONS.values()} == set(IncidentState)
    assert all(list_steps(state) for state in IncidentState)
    with pytest.raises(ValueError, match="opening"):
        fold([])


@pytest.mark.parametrize(
    "choices",
    [item for item in vars(enums).values() if isinstance(item, type) and issubclass(item, GuidedEnum) and list(item)],
)
def test_every_choice_has_a_title_and_a_sentence_of_guidance(choices: type[GuidedEnum]) -> None:
    assert all(member.title and member.guidance.endswith(".") for member in choices)
    assert len({member.title for member in choices}) == len(choices)


class LifeOfAnIncident(RuleBasedStateMachine):
    """People and the system do anything to one incident in any order."""

    @initialize()
    def start(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.records = open_records(Path(self.folder.name))
        self.at = T0
        view = open_incident(self.records, actor=ANA, title="t", severity=Severity.LOW, at=self.at)
        self.number = view.number

    @rule(
        action=st.sampled_from([action for action in IncidentAction if action is not IncidentAction.OPEN]),
        actor=st.sampled_from([ANA, LEA, SYSTEM]),
        link=st.sampled_from(["filter", "rule"]),
        ref=st.sampled_from(["guard", "blocklist"]),
        severity=st.sampled_from(list(Severity)),
        follow_up=st.integers(2, 6),
        left_out=st.sampled_from([None, None, None, "reason", "severity", "text"]),
    )
    def do(self, action: IncidentAction, actor: Actor, left_out: str | None, **values: object) -> None:
        before = get_incident(self.records, self.number, actor=ANA)
        names = {name for (_, other), found in TRANSITIONS.items() if other is action for name in found.requires}
        chosen = {name: str(value) for name, value in values.items()}
        payload = {name: chosen.get(name, VALID.get(name, name)) for name in names - {left_out}}
        self.at += timedelta(seconds=7)
        try:
            after = act(self.records, self.number, action, payload, actor=actor, at=self.at)
        except AppError:
            assert get_incident(self.records, self.number, actor=ANA) == before
            return
        assert (before.life.state, action) in TRANSITIONS
        assert left_out not in names
        assert after.entries[:-1] == before.entries
        assert after.entries[-1].state is after.life.state

    @invariant()
    def the_row_equals_the_fold_of_the_events(self) -> None:
        if not hasattr(self, "records"):
            return
        view = get_incident(self.records, self.number, actor=ANA)
        life = fold(view.entries)
        assert life == view.life
        with self.records.session() as session:
            row = session.get(Incident, self.number)
            assert row is not None
            assert {name: getattr(row, name) for name in project(life)} == project(life)
        assert (life.closed_at is not None) == (life.state is IncidentState.CLOSED) == (life.ending is not None)
        assert life.version == len(view.entries)
        if life.state not in (IncidentState.NEW, IncidentState.CLOSED):
            assert life.owner
            assert life.acked_at
        if life.state is IncidentState.STABLE:
            assert life.mitigated_at

    def teardown(self) -> None:
        if hasattr(self, "records"):
            assert find_tampering(self.records) is None
            self.records.close()
            self.folder.cleanup()


# Each step is a transaction on disk: shrinking a failure would take minutes and say little more.
LifeOfAnIncident.TestCase.settings = hypothesis_settings(
    max_examples=8, stateful_step_count=25, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate]
)
TestLifeOfAnIncident = LifeOfAnIncident.TestCase


def add_alert(house: House, alert_id: str = "a1", *, rule_name: str = "rate-hour") -> None:
    with change(house.records, actor=SYSTEM, at=T0) as current:
        current.session.add(
            AlertRow(
                alert_id=alert_id,
                rule_name=rule_name,
                subject=alert_id,
                kind="rate_change",
                filter_name="guard",
                rule_id="kw-\x1b[31m113",
                state=AlertState.FIRING,
                since=T0,
                count=0,
                fired_at=T0 - timedelta(minutes=5),
                window_end=T0,
                sentence="triggered 90 times; 30 expected, 3.0x (n 400)",
                evidence="{}",
            )
        )
        current.keep()


def add_event(house: House, action: str, state: AlertState, at: object, *, alert_id: str = "a1") -> None:
    with change(house.records, actor=SYSTEM, at=T0) as current:
        event = AlertEvent(
            alert_id=alert_id,
            at=at,
            window_end=at,
            actor="system",
            action=action,
            state=state,
            sentence="",
            evidence="",
        )
        current.session.add(event)
        current.keep()


def go_through(house: House, number: int, *steps: IncidentAction, at: object = T0) -> None:
    for step in steps:
        state = get_incident(house.records, number, actor=ANA).life.state
        act(house.records, number, step, facts(step, state), actor=LEA, at=at)


TO_CLOSED = (IncidentAction.TRIAGE, IncidentAction.START, IncidentAction.STABILISE, IncidentAction.CLOSE)


def test_an_alert_brings_title_links_and_beginning_and_only_one_open_incident(house: House) -> None:
    add_alert(house)
    view = open_from_alert(house.records, "a1", actor=ANA, severity=Severity.HIGH, at=T0)
    assert view.life.source is Source.ALERT
    assert view.life.title == "guard / kw- [31m113 triggered 90 times; 30 expected, 3.0x (n 400)"
    assert view.life.started_at == T0 - timedelta(minutes=5)
    assert measure(view.life)["detect_s"] == 300
    assert view.life.linked(LinkKind.FILTER) == ["guard"]
    with pytest.raises(ConflictError, match="incident 1"):
        open_from_alert(house.records, "a1", actor=ANA, severity=Severity.HIGH, at=T0)
    assert [found.number for found in find_linked(house.records, LinkKind.ALERT, "a1", actor=ANA)] == [1]
    with pytest.raises(NotFoundError):
        open_from_alert(house.records, "nope", actor=ANA, severity=Severity.HIGH, at=T0)


def test_a_case_brings_its_turn_and_a_missing_case_cannot_be_linked(house: House) -> None:
    case_id = house.add_cases(1)[0]
    view = open_from_case(
        house.records, case_id, actor=ANA, title="Pattern", severity=Severity.LOW, at=T0 + timedelta(hours=1)
    )
    assert view.life.linked(LinkKind.CASE) == [case_id]
    assert view.life.started_at == T0
    with pytest.raises(NotFoundError):
        act(house.records, view.number, IncidentAction.LINK, {"link": "case", "ref": "no"}, actor=ANA, at=T0)


def test_times_run_from_opening_to_acknowledged_mitigated_resolved(house: House) -> None:
    number = open_incident(house.records, actor=ANA, title="t", severity=Severity.LOW, at=T0).number
    for minutes, step in enumerate(TO_CLOSED, start=1):
        go_through(house, number, step, at=T0 + timedelta(minutes=minutes))
    life = get_incident(house.records, number, actor=ANA).life
    assert measure(life) == {"detect_s": 0, "acknowledge_s": 60, "mitigate_s": 180, "resolve_s": 240}
    assert life.owner == "some owner"
    assert life.sections[Section.CAUSE] == "some cause"
    assert life.ending == "rolled_back"


def test_a_closed_incident_whose_alert_fires_again_comes_back(house: House) -> None:
    add_alert(house)
    number = open_from_alert(house.records, "a1", actor=ANA, severity=Severity.HIGH, at=T0).number
    add_event(house, "fire", AlertState.FIRING, T0)
    assert reopen_recurring(house.records, at=T0) == []
    go_through(house, number, *TO_CLOSED, at=T0 + timedelta(hours=1))
    add_event(house, "window", AlertState.RECOVERING, T0 + timedelta(hours=2))
    add_event(house, "window", AlertState.FIRING, T0 + timedelta(hours=3))
    assert reopen_recurring(house.records, at=T0 + timedelta(hours=3)) == [], "the alarm had not ended"
    add_event(house, "window", AlertState.OK, T0 + timedelta(hours=4))
    add_event(house, "fire", AlertState.FIRING, T0 + timedelta(hours=6))
    at = T0 + timedelta(hours=6, seconds=5)
    assert reopen_recurring(house.records, at=at) == [number]
    assert reopen_recurring(house.records, at=at) == []
    life = get_incident(house.records, number, actor=ANA).life
    assert (life.state, life.regressions, life.regressed_at) == (IncidentState.NEW, 1, at)
    assert (life.acked_at, life.mitigated_at, life.closed_at, life.ending) == (None, None, None, None)
    assert life.people[Duty.OWNER] == "some owner"


def test_a_duplicate_stays_closed_and_what_happened_before_closing_reopens_nothing(house: House) -> None:
    add_alert(house)
    number = open_from_alert(house.records, "a1", actor=ANA, severity=Severity.HIGH, at=T0).number
    add_event(house, "fire", AlertState.FIRING, T0 + timedelta(minutes=1))
    go_through(house, number, *TO_CLOSED, at=T0 + timedelta(minutes=2))
    assert reopen_recurring(house.records, at=T0 + timedelta(minutes=3)) == []
    go_through(house, number, IncidentAction.REGRESS, at=T0 + timedelta(minutes=4))
    act(
        house.records,
        number,
        IncidentAction.DISMISS,
        {"dismissal": "duplicate", "reason": "of 7"},
        actor=LEA,
        at=T0 + timedelta(minutes=5),
    )
    add_event(house, "window", AlertState.OK, T0 + timedelta(minutes=6))
    add_event(house, "fire", AlertState.FIRING, T0 + timedelta(minutes=7))
    assert reopen_recurring(house.records, at=T0 + timedelta(minutes=8)) == []


def test_follow_ups_are_numbered_and_finished_once(house: House) -> None:
    number = open_incident(house.records, actor=ANA, title="t", severity=Severity.LOW, at=T0).number
    payload = {"title": "Add recipes", "owner": "ben", "due": "2026-04-01"}
    view = act(house.records, number, IncidentAction.ADD_FOLLOW_UP, payload, actor=ANA, at=T0)
    (added,) = view.life.follow_ups
    assert (added.number, added.owner, added.done_at) == (2, "ben", None)
    view = act(house.records, number, IncidentAction.FINISH_FOLLOW_UP, {"follow_up": "2"}, actor=ANA, at=T0)
    assert view.life.follow_ups[0].done_by == "ana"
    with pytest.raises(TransitionError, match="No such follow-up"):
        act(house.records, number, IncidentAction.FINISH_FOLLOW_UP, {"follow_up": "2"}, actor=ANA, at=T0)


def test_roles_versions_and_the_list(house: House) -> None:
    low = open_incident(house.records, actor=ANA, title="low", severity=Severity.LOW, at=T0).number
    high = open_incident(house.records, actor=ANA, title="high", severity=Severity.HIGH, at=T0).number
    with pytest.raises(AccessError):
        act(
            house.records,
            low,
            IncidentAction.DISMISS,
            facts(IncidentAction.DISMISS, IncidentState.NEW),
            actor=ANA,
            at=T0,
        )
    with pytest.raises(AccessError):
        open_incident(house.records, actor=Actor("vic", Role.VIEWER), title="t", severity=Severity.LOW, at=T0)
    with pytest.raises(ConflictError):
        act(house.records, low, IncidentAction.NOTE, {"text": "x"}, actor=ANA, at=T0, version=7)
    assert count_unacknowledged(house.records, actor=ANA) == 2
    go_through(house, low, IncidentAction.TRIAGE)
    assert count_unacknowledged(house.records, actor=ANA) == 1
    assert [view.number for view in list_incidents(house.records, actor=ANA)] == [high, low]
    assert [view.number for view in list_incidents(house.records, actor=ANA, owner="some owner")] == [low]
    assert [view.number for view in list_incidents(house.records, actor=ANA, states=[IncidentState.NEW])] == [high]
    go_through(house, high, IncidentAction.DISMISS)
    assert [view.number for view in list_incidents(house.records, actor=ANA)] == [low, high]
    assert list_incidents(house.records, actor=ANA, least=Severity.CRITICAL) == []
    assert count_unacknowledged(house.records, actor=ANA) == 0


def test_the_audit_names_the_act_and_holds_no_text(house: House) -> None:
    number = open_incident(house.records, actor=ANA, title="secret title", severity=Severity.LOW, at=T0).number
    act(house.records, number, IncidentAction.NOTE, {"text": "secret note"}, actor=ANA, at=T0)
    with house.records.session() as session:
        entries = [entry for entry in session.exec(select(AuditEntry)) if entry.action.startswith("incident.")]
    assert [(entry.actor, entry.action, entry.subject) for entry in entries] == [
        ("ana", "incident.open", "1"),
        ("ana", "incident.note", "1"),
    ]
    assert "secret" not in "".join(entry.detail for entry in entries)
    assert json.loads(entries[-1].detail) == {"severity": "low", "state": "new", "version": 2}
    assert get_incident(house.records, number, actor=ANA).entries[-1].payload == {"text": "secret note"}
