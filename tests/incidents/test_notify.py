"""Notifications: what is told to whom and when, delivered to a server of this host, failing, killed in the middle."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from case_house import ANA, LEA, T0, House
from sqlmodel import col, select
from test_incident_life import add_alert, facts

from core.errors import ConfigError, NotFoundError
from core.settings import Settings, load_settings
from core.settings_response import NotifyTarget
from incidents.alerts.watch import add_event as add_alert_event
from incidents.audit import change, find_tampering
from incidents.cases import escalate_case
from incidents.enums import EscalationReason
from incidents.models import AlertRow
from incidents.notify.messages import TOPICS
from incidents.notify.outbox import DeliveryState, add_test, collect_messages, end_quiet, list_deliveries
from incidents.notify.sending import GIVE_UP_AFTER, hide_secrets, pause_after, send_due, send_now
from incidents.people import SYSTEM
from incidents.response.enums import IncidentAction, IncidentState, Severity
from incidents.response.models import Delivery
from incidents.response.work import act, open_incident
from tests.web_sink import Sink, open_sink

TITLE = "Guard blocks <!channel> recipes"


@pytest.fixture
def sink() -> Iterator[Sink]:
    """A running sink."""
    with open_sink() as running:
        yield running


def configure(house: House, url: str, **facts: Any) -> Settings:
    target = {"name": "hook", "url": url} | facts
    return Settings(home=house.settings.home, notify=(target,), serve={"public_url": "https://weir.example/"})


def open_one(house: House, severity: Severity = Severity.HIGH) -> int:
    return open_incident(house.records, actor=ANA, title=TITLE, severity=severity, at=T0).number


def waiting(house: House) -> list[Delivery]:
    with house.records.session() as session:
        query = select(Delivery).where(Delivery.state == DeliveryState.WAITING).order_by(col(Delivery.delivery_id))
        return list(session.exec(query))


def test_an_opened_incident_reaches_the_hook_with_a_key_and_without_text(house: House, sink: Sink) -> None:
    settings = configure(house, sink.url)
    number = open_one(house)
    assert collect_messages(house.records, settings=settings, at=T0) == 1
    assert collect_messages(house.records, settings=settings, at=T0) == 0, "told once"
    assert send_due(house.records, settings=settings, at=T0).sent == 1
    assert send_due(house.records, settings=settings, at=T0 + timedelta(days=1)).sent == 0
    (body,) = sink.bodies
    assert body["title"] == "Weir: Incident 1 (high): Open, now new"
    assert f"https://weir.example/incidents?part=Incidents&incident={number}" in body["message"]
    assert f"Reference {sink.keys[0]}" in body["message"]
    assert "recipes" not in str(body)
    assert "github" not in str(body)
    (view,) = list_deliveries(house.records, actor=LEA)
    assert (view.state, view.attempts, view.error, view.sent_at) == (DeliveryState.SENT, 1, "", T0)
    assert find_tampering(house.records) is None


def test_titles_leave_only_where_they_are_asked_for(house: House, sink: Sink) -> None:
    settings = configure(house, sink.url, with_text=True)
    open_one(house)
    collect_messages(house.records, settings=settings, at=T0)
    send_due(house.records, settings=settings, at=T0)
    assert TITLE in sink.bodies[0]["message"]


def test_nothing_is_made_or_sent_unless_it_is_configured(house: House) -> None:
    open_one(house)
    assert collect_messages(house.records, settings=house.settings, at=T0) == 0
    settings = configure(house, "json://127.0.0.1:9/x")
    assert collect_messages(house.records, settings=settings, at=T0) == 0, "what happened before it was configured"
    assert list_deliveries(house.records, actor=LEA) == []


@pytest.mark.parametrize(
    ("asked", "severity", "made"),
    [
        ({}, Severity.LOW, 1),
        ({"min_severity": "high"}, Severity.MEDIUM, 0),
        ({"min_severity": "high"}, Severity.HIGH, 1),
        ({"events": ("alert",)}, Severity.CRITICAL, 0),
        ({"events": ("incident-opened", "incident-changed")}, Severity.LOW, 2),
    ],
)
def test_a_target_is_told_what_it_asks_for(house: House, asked: dict[str, Any], severity: Severity, made: int) -> None:
    number = open_one(house, severity)
    act(house.records, number, IncidentAction.ACKNOWLEDGE, {}, actor=ANA, at=T0)
    act(house.records, number, IncidentAction.NOTE, {"text": "no news"}, actor=ANA, at=T0)
    assert collect_messages(house.records, settings=configure(house, "json://h/", **asked), at=T0) == made


def test_alerts_of_one_filter_are_one_message_and_silenced_ones_none(house: House) -> None:
    for alert_id, rule, silenced in (("a1", "rate-hour", None), ("a2", "rate-day", None), ("a3", "silence", T0)):
        add_alert(house, alert_id, rule_name=rule)
        with change(house.records, actor=SYSTEM, at=T0) as current:
            row = current.session.get_one(AlertRow, alert_id)
            row.group_id = "g1" if silenced is None else "g2"
            row.silenced_until = silenced and silenced + timedelta(days=1)
            add_alert_event(current, row, "fire", {}, end=T0)
    settings = configure(house, "json://h/")
    assert collect_messages(house.records, settings=settings, at=T0) == 1
    (row,) = waiting(house)
    assert row.title == "Weir: Alert: Trigger rate moved (rule rate-hour)"
    assert "kw-" not in row.body


def test_an_escalated_case_is_as_grave_as_its_reason(house: House) -> None:
    case_id = house.add_cases(1)[0]
    reason = EscalationReason.CHILD_SAFETY
    escalate_case(house.records, case_id, actor=ANA, reason=reason, note="a secret", at=T0)
    settings = configure(house, "json://h/", min_severity="critical")
    assert collect_messages(house.records, settings=settings, at=T0) == 1
    (row,) = waiting(house)
    assert row.title == "Weir: Case escalated: Child safety"
    assert "secret" not in row.body


@pytest.mark.parametrize("action", sorted({action for topic in TOPICS.values() for action in topic.actions}))
def test_every_topic_names_actions_that_exist(action: str) -> None:
    group, _, name = action.partition(".")
    assert group in ("alert", "case", "incident")
    if group == "incident":
        assert name in list(IncidentAction)


def test_every_topic_can_be_asked_for() -> None:
    choices = NotifyTarget.model_fields["events"].annotation
    assert set(TOPICS) == set(choices.__args__[0].__args__)  # type: ignore[union-attr]  # tuple of a Literal


def test_a_failing_hook_is_tried_again_with_growing_pauses_and_recovers(house: House, sink: Sink) -> None:
    settings = configure(house, sink.url)
    open_one(house)
    collect_messages(house.records, settings=settings, at=T0)
    sink.answer = lambda: 500
    at = T0
    for attempts in (1, 2, 3):
        assert send_due(house.records, settings=settings, at=at).failed == 1
        (row,) = waiting(house)
        assert row.attempts == attempts
        assert row.due_at == at + pause_after(attempts)
        assert "error=500" in row.error
        assert "secret-path" not in row.error
        assert send_due(house.records, settings=settings, at=row.due_at - timedelta(seconds=1)).failed == 0
        at = row.due_at
    sink.answer = lambda: 204
    assert send_due(house.records, settings=settings, at=at).sent == 1
    assert len(set(sink.keys)) == 1
    assert len(sink.keys) == 4


def test_after_three_days_it_is_given_up_audited_and_still_in_the_log(house: House, sink: Sink) -> None:
    settings = configure(house, sink.url)
    open_one(house)
    collect_messages(house.records, settings=settings, at=T0)
    sink.answer = lambda: 503
    send_due(house.records, settings=settings, at=T0 + GIVE_UP_AFTER + timedelta(seconds=1))
    (view,) = list_deliveries(house.records, actor=LEA)
    assert view.state is DeliveryState.GIVEN_UP
    assert send_due(house.records, settings=settings, at=T0 + 2 * GIVE_UP_AFTER).failed == 0


def test_pauses_double_up_to_an_hour() -> None:
    pauses = [pause_after(attempts).total_seconds() for attempts in range(1, 20)]
    assert pauses[:5] == [30, 60, 120, 240, 480]
    assert max(pauses) == pauses[-1] == 3600


@pytest.mark.parametrize("killed_at", [1, 3])
def test_killed_in_the_middle_nothing_is_lost_and_repeats_have_the_same_key(
    house: House, sink: Sink, killed_at: int
) -> None:
    for _ in range(3):
        open_one(house)
    worker: list[subprocess.Popen[bytes]] = []

    def answer() -> int:
        if len(sink.keys) == killed_at:
            os.kill(worker[0].pid, signal.SIGKILL)
        return 200

    sink.answer = answer
    arguments = [sys.executable, str(Path(__file__).with_name("notify_worker.py")), str(house.settings.home), sink.url]
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(root), str(Path(__file__).parent)))}
    worker.append(subprocess.Popen(arguments, env=environment, cwd=root))
    assert worker[0].wait(timeout=60) == -signal.SIGKILL
    sink.answer = lambda: 200
    settings = configure(house, sink.url)
    assert collect_messages(house.records, settings=settings, at=T0) == 0, "they were kept before anything was sent"
    send_due(house.records, settings=settings, at=T0 + timedelta(hours=1))
    views = list_deliveries(house.records, actor=LEA)
    assert {view.state for view in views} == {DeliveryState.SENT}
    assert sorted(set(sink.keys)) == sorted(view.delivery_id for view in views)
    assert len(sink.keys) == 4, "the one in flight came twice, under one key"


@pytest.mark.parametrize(
    ("clock", "severity", "due"),
    [
        ("2026-03-02T20:59:00", Severity.HIGH, "2026-03-02T20:59:00"),
        ("2026-03-02T21:00:00", Severity.HIGH, "2026-03-03T06:00:00"),
        ("2026-03-03T05:59:00", Severity.HIGH, "2026-03-03T06:00:00"),
        ("2026-03-03T06:00:00", Severity.HIGH, "2026-03-03T06:00:00"),
        ("2026-03-03T02:00:00", Severity.CRITICAL, "2026-03-03T02:00:00"),
        ("2026-07-02T21:00:00", Severity.LOW, "2026-07-03T05:00:00"),
    ],
)
def test_quiet_hours_are_of_the_target_s_zone_and_do_not_hold_what_is_critical(
    clock: str, severity: Severity, due: str
) -> None:
    target = NotifyTarget(name="t", url="json://h/", quiet_from="22:00", quiet_until="07:00", zone="Europe/Berlin")
    assert end_quiet(target, severity, datetime.fromisoformat(clock)) == datetime.fromisoformat(due)


def test_a_test_goes_out_at_once_is_audited_and_says_what_failed(house: House, sink: Sink) -> None:
    settings = configure(house, sink.url, quiet_from="00:00", quiet_until="23:59")
    key = add_test(house.records, "hook", settings=settings, actor=LEA, at=T0)
    assert send_now(house.records, key, settings=settings, at=T0).state is DeliveryState.SENT
    assert sink.bodies[0]["title"] == "Weir: Test: Weir can reach you here"
    with pytest.raises(NotFoundError, match="nowhere"):
        add_test(house.records, "nowhere", settings=settings, actor=LEA, at=T0)
    unreadable = configure(house, "nonsense://secret-token/")
    key = add_test(house.records, "hook", settings=unreadable, actor=LEA, at=T0 + timedelta(seconds=1))
    assert "cannot be read" in send_now(house.records, key, settings=unreadable, at=T0).error


def test_a_target_that_was_taken_out_of_the_settings_is_given_up(house: House) -> None:
    open_one(house)
    collect_messages(house.records, settings=configure(house, "json://h/"), at=T0)
    send_due(house.records, settings=house.settings, at=T0)
    (view,) = list_deliveries(house.records, actor=LEA)
    assert (view.state, view.error) == (DeliveryState.GIVEN_UP, "no such [[notify]] entry any more")


def test_complaints_hold_no_part_of_the_address() -> None:
    said = "Cannot reach hooks.example with token-abcdef\nand pass-word1"
    assert hide_secrets(said, "json://user:pass-word1@hooks.example/token-abcdef/?+Key=zzz") == (
        "Cannot reach *** with *** and ***"
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[[notify]]\nname = "a"\nurl = "json://h/"\nquiet_from = "22:00"', "start and an end"),
        ('[[notify]]\nname = "a"\nurl = "json://h/"\nzone = "Mars"', "no such time zone"),
        ('[[notify]]\nname = "a"\nurl = "json://h/"\nevents = ["everything"]', "notify.0.events"),
        (
            '[[notify]]\nname = "a"\nurl = "json://h/"\n[[notify]]\nname = "a"\nurl = "json://h/"',
            "two of them have one name",
        ),
        ('[[escalation]]\nseverity = "high"\nsteps = [{who = "x", after_min = 5, notify = "b"}]', "does not exist: b"),
        (
            '[[escalation]]\nseverity = "high"\nsteps = [{who = "x", after_min = 5}, {who = "y", after_min = 5}]',
            "later",
        ),
    ],
)
def test_settings_that_do_not_fit_are_named(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "weir.toml").write_text(text)
    with pytest.raises(ConfigError) as failure:
        load_settings(tmp_path)
    assert says in failure.value.sentence()


def test_facts_of_every_told_action_build_a_message(house: House) -> None:
    number = open_one(house)
    for action in (IncidentAction.TRIAGE, IncidentAction.MARK_SERIOUS, IncidentAction.START, IncidentAction.STABILISE):
        state = IncidentState.NEW if action is IncidentAction.TRIAGE else None
        state = state or next(
            found.life.state
            for found in [act(house.records, number, IncidentAction.NOTE, {"text": "x"}, actor=ANA, at=T0)]
        )
        act(house.records, number, action, facts(action, state), actor=LEA, at=T0)
    events = ("incident-changed", "serious-incident")
    settings = configure(house, "json://h/", events=events)
    assert collect_messages(house.records, settings=settings, at=T0) == 4
