"""Escalation: who, when, then whom; taking it up stops the clock, coming back starts it anew."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from case_house import ANA, LEA, T0, House
from sqlmodel import select
from test_incident_life import TO_CLOSED, go_through

from core.settings import Settings
from dashboard.components.escalations import build_escalation_table
from dashboard.theme import get_zone
from incidents.cases import escalate_case, get_case, lease_case
from incidents.enums import EscalationReason
from incidents.models import AuditEntry
from incidents.notify.outbox import collect_messages, list_deliveries
from incidents.response.enums import IncidentAction, Severity
from incidents.response.escalation import (
    advance_escalations,
    count_case_steps,
    find_policy,
    list_case_turns,
    list_turns,
)
from incidents.response.models import CaseStep
from incidents.response.work import act, get_incident, open_incident

MINUTE = timedelta(minutes=1)
STEPS = (
    {"who": "on call", "after_min": 0, "notify": "hook"},
    {"who": "lead", "after_min": 15},
    {"who": "director", "after_min": 60, "notify": "hook"},
)


def configure(house: House, subject: str, severity: str, **facts: Any) -> Settings:
    policy = {"subject": subject, "severity": severity, "steps": STEPS}
    target = {"name": "hook", "url": "json://127.0.0.1:9/", "events": ()}
    return Settings(home=house.settings.home, notify=(target,), escalation=(policy,), **facts)


def told(house: House, number: int) -> list[str]:
    entries = get_incident(house.records, number, actor=ANA).entries
    return [entry.payload["who"] for entry in entries if entry.action is IncidentAction.ESCALATE]


def test_each_step_is_taken_once_when_its_time_comes(house: House) -> None:
    settings = configure(house, "incident", "high")
    number = open_incident(house.records, actor=ANA, title="t", severity=Severity.HIGH, at=T0).number
    open_incident(house.records, actor=ANA, title="t", severity=Severity.LOW, at=T0)
    for minutes, names in ((0, ["on call"]), (14, ["on call"]), (15, ["on call", "lead"]), (15, ["on call", "lead"])):
        advance_escalations(house.records, settings=settings, at=T0 + minutes * MINUTE)
        assert told(house, number) == names
    advance_escalations(house.records, settings=settings, at=T0 + 600 * MINUTE)
    assert told(house, number) == ["on call", "lead", "director"]
    assert told(house, 2) == []


def test_a_server_that_slept_takes_the_missed_steps_in_order(house: House) -> None:
    settings = configure(house, "incident", "high")
    number = open_incident(house.records, actor=ANA, title="t", severity=Severity.HIGH, at=T0).number
    assert advance_escalations(house.records, settings=settings, at=T0 + 20 * MINUTE) == 2
    assert told(house, number) == ["on call", "lead"]


@pytest.mark.parametrize("action", [IncidentAction.ACKNOWLEDGE, IncidentAction.TRIAGE])
def test_taking_it_up_stops_the_clock_and_coming_back_starts_it_anew(house: House, action: IncidentAction) -> None:
    settings = configure(house, "incident", "high")
    number = open_incident(house.records, actor=ANA, title="t", severity=Severity.HIGH, at=T0).number
    advance_escalations(house.records, settings=settings, at=T0)
    go_through(house, number, action, at=T0 + MINUTE)
    advance_escalations(house.records, settings=settings, at=T0 + 100 * MINUTE)
    assert told(house, number) == ["on call"]
    steps = TO_CLOSED if action is IncidentAction.ACKNOWLEDGE else TO_CLOSED[1:]
    go_through(house, number, *steps, IncidentAction.REGRESS, at=T0 + 200 * MINUTE)
    advance_escalations(house.records, settings=settings, at=T0 + 215 * MINUTE)
    assert told(house, number) == ["on call", "on call", "lead"]


def test_an_escalated_case_goes_through_its_own_policy(house: House) -> None:
    settings = configure(house, "case", "high")  # hate, the category of these cases, is usually of severity 3
    first, second = house.add_cases(2)
    for case_id in (first, second):
        escalate_case(house.records, case_id, actor=ANA, reason=EscalationReason.LEGAL, note="", at=T0)
    assert advance_escalations(house.records, settings=settings, at=T0 + 20 * MINUTE) == 4
    assert advance_escalations(house.records, settings=settings, at=T0 + 20 * MINUTE) == 0
    lease_case(house.records, first, actor=LEA, lease_s=60, at=T0 + 30 * MINUTE)
    assert advance_escalations(house.records, settings=settings, at=T0 + 90 * MINUTE) == 1
    with house.records.session() as session:
        assert [(row.case_id, row.who) for row in session.exec(select(CaseStep).where(CaseStep.step == 3))] == [
            (second, "director")
        ]
        entries = [entry for entry in session.exec(select(AuditEntry)) if entry.action == "case.wait"]
    assert len(entries) == 5


def test_a_step_tells_its_target_whatever_the_target_asks_for(house: House) -> None:
    settings = configure(house, "incident", "high")
    open_incident(house.records, actor=ANA, title="t", severity=Severity.HIGH, at=T0)
    advance_escalations(house.records, settings=settings, at=T0 + 20 * MINUTE)
    assert collect_messages(house.records, settings=settings, at=T0) == 1
    (view,) = list_deliveries(house.records, actor=LEA)
    assert view.title == "Weir: Incident 1 (high): nobody took it up, step 1: on call"


def test_turns_say_who_was_told_who_is_next_and_where_it_stopped(house: House) -> None:
    policy = find_policy(configure(house, "incident", "high"), "incident", Severity.HIGH)
    assert policy is not None
    running = list_turns(policy, clock_at=T0, acked_at=None, told=2)
    assert [(turn.who, turn.place) for turn in running] == [("on call", "told"), ("lead", "told"), ("director", "next")]
    stopped = list_turns(policy, clock_at=T0, acked_at=T0 + MINUTE, told=1)
    assert [turn.place for turn in stopped] == ["told", "stopped", "stopped"]
    early = list_turns(policy, clock_at=T0, acked_at=None, told=0)
    assert [turn.place for turn in early] == ["next", "later", "later"], "due or not: nobody was told yet"


def test_a_case_shows_the_steps_that_were_recorded_since_its_clock_started(house: House) -> None:
    settings = configure(house, "case", "high")
    (case_id,) = house.add_cases(1)
    escalate_case(house.records, case_id, actor=ANA, reason=EscalationReason.LEGAL, note="", at=T0)
    case = get_case(house.records, case_id, actor=LEA)
    assert count_case_steps(house.records, [case]) == {case_id: 0}, "a server that is down tells nobody"
    advance_escalations(house.records, settings=settings, at=T0 + 20 * MINUTE)
    told = count_case_steps(house.records, [case])[case_id]
    turns = list_case_turns(case, settings=settings, told=told)
    assert [turn.place for turn in turns] == ["told", "told", "next"]
    at = T0 + 20 * MINUTE
    (row,) = build_escalation_table(
        [case], steps={case_id: told}, settings=settings, zone=get_zone("UTC"), at=at
    ).to_dicts()
    assert row["steps"] == "lead told; next director, 10:00:00"
    (bare,) = build_escalation_table(
        [case], steps={case_id: 0}, settings=house.settings, zone=get_zone("UTC"), at=at
    ).to_dicts()
    assert bare["steps"] is None


def test_without_a_policy_nothing_happens(house: House) -> None:
    number = open_incident(house.records, actor=ANA, title="t", severity=Severity.HIGH, at=T0).number
    assert advance_escalations(house.records, settings=house.settings, at=T0 + 100 * MINUTE) == 0
    act(house.records, number, IncidentAction.NOTE, {"text": "x"}, actor=ANA, at=T0)
    assert told(house, number) == []
