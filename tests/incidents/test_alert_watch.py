"""Evaluating rules on schedule: every window once, grouped, whatever happens in between."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from alert_traffic import HOUR, START, put_hours
from case_house import ANA, LEA, House

from core.errors import AccessError, NotFoundError, UsageError
from core.settings import AlertRule
from incidents.alerts import desk
from incidents.alerts.watch import GRACE, Firing, evaluate_alerts, list_firings
from incidents.audit import find_tampering
from incidents.enums import AlertState
from incidents.people import SYSTEM, Actor, Role

ERRORS = AlertRule(name="errors", kind="error_share", windows=1, recover_windows=1)
SILENCE = AlertRule(name="silence", kind="silence", windows=1, recover_windows=1)


def evaluate(house: House, at: datetime, *rules: AlertRule) -> list[Firing]:
    settings = house.settings.model_copy(update={"alerts": rules})
    return evaluate_alerts(house.records, house.events, settings=settings, at=at + GRACE)


def fire(house: House, *rules: AlertRule) -> datetime:
    """Three hours, the last with half of the checks failing; returns its end."""
    put_hours(house.events, [10, 10])
    end = put_hours(house.events, [10], errors=1000, start=START + 2 * HOUR)
    evaluate(house, end, *(rules or (ERRORS,)))
    return end


def count_firing(house: House, at: datetime) -> int:
    return sum(view.state is AlertState.FIRING for view in desk.list_alerts(house.records, actor=ANA, at=at))


def test_a_breach_fires_once_with_its_numbers(house: House) -> None:
    put_hours(house.events, [10, 10])
    end = put_hours(house.events, [10], errors=1000, start=START + 2 * HOUR)
    (firing,) = evaluate(house, end, ERRORS)
    assert (firing.rule_name, firing.kind, firing.filter_name, firing.rule_id) == (
        "errors",
        "error_share",
        "guard",
        None,
    )
    assert (firing.end, firing.is_silenced) == (end, False)
    assert firing.sentence == "failed in 50.0% of 2,000; the limit is 2.0%"
    assert evaluate(house, end, ERRORS) == []
    assert evaluate(house, end + timedelta(minutes=30), ERRORS) == []


def test_a_window_is_judged_only_when_late_logs_have_had_their_time(house: House) -> None:
    end = put_hours(house.events, [10], errors=1000)
    settings = house.settings.model_copy(update={"alerts": (ERRORS,)})
    early = end + GRACE - timedelta(seconds=1)
    assert evaluate_alerts(house.records, house.events, settings=settings, at=early) == []
    assert len(evaluate(house, end, ERRORS)) == 1


def test_an_alarm_that_is_over_already_is_history_and_no_news(house: House) -> None:
    put_hours(house.events, [10], errors=1000)
    end = put_hours(house.events, [10, 10], start=START + HOUR)
    assert evaluate(house, end, ERRORS) == []
    (view,) = desk.list_alerts(house.records, actor=ANA, at=end, with_ok=True)
    assert (view.state, view.fired_at) == (AlertState.OK, START + HOUR)
    events = desk.list_alert_events(house.records, view.alert_id, actor=ANA)
    assert [(event.action, event.state) for event in events] == [("window", "ok"), ("fire", "firing")]


def test_a_subscriber_that_was_killed_hears_of_every_alarm_once(house: House) -> None:
    end = fire(house)
    # The process died before it told anybody: the same news is there after the restart.
    (firing,) = list_firings(house.records, after=0, at=end)
    assert list_firings(house.records, after=firing.event_id, at=end) == []
    evaluate(house, put_hours(house.events, [10], start=end), ERRORS)
    assert list_firings(house.records, after=0, at=end) == []


def test_alerts_of_one_filter_at_one_time_are_one_group(house: House) -> None:
    put_hours(house.events, [10] * 48)
    put_hours(house.events, [10] * 48, filter_name="other")
    quiet = put_hours(house.events, [0], errors=1000, start=START + 48 * HOUR)
    put_hours(house.events, [0], errors=1000, filter_name="other", start=START + 48 * HOUR)
    first = evaluate(house, quiet, ERRORS)
    assert {firing.filter_name for firing in first} == {"guard", "other"}
    end = put_hours(house.events, [0, 0], errors=1000, start=quiet)
    second = evaluate(house, end, ERRORS, SILENCE)
    joined = [firing for firing in second if firing.filter_name == "guard"]
    assert [firing.rule_name for firing in joined] == ["silence"]
    groups = {firing.filter_name: firing.group_id for firing in first}
    assert joined[0].group_id == groups["guard"] != groups["other"]


def test_the_next_alarm_of_a_filter_is_a_new_group(house: House) -> None:
    end = fire(house)
    (first,) = list_firings(house.records, after=0, at=end)
    end = put_hours(house.events, [10], start=end)
    assert evaluate(house, end, ERRORS) == []
    end = put_hours(house.events, [10], errors=1000, start=end)
    (second,) = evaluate(house, end, ERRORS)
    assert second.alert_id == first.alert_id
    assert second.group_id != first.group_id


def test_an_alert_of_a_rule_that_is_switched_off_ends(house: House) -> None:
    end = fire(house)
    evaluate(house, end + HOUR, ERRORS.model_copy(update={"is_on": False}))
    (view,) = desk.list_alerts(house.records, actor=ANA, at=end, with_ok=True)
    assert view.state is AlertState.OK
    assert desk.list_alert_events(house.records, view.alert_id, actor=ANA)[0].action == "retire"


def test_an_alert_about_a_filter_that_was_removed_ends_after_two_days(house: House) -> None:
    end = fire(house)
    evaluate(house, end + 48 * HOUR, ERRORS)
    assert count_firing(house, end) == 1
    evaluate(house, end + 49 * HOUR, ERRORS)
    assert count_firing(house, end) == 0


def test_people_take_up_and_silence_and_the_audit_knows(house: House) -> None:
    end = fire(house)
    (view,) = desk.list_alerts(house.records, actor=ANA, at=end)
    desk.acknowledge_alert(house.records, view.alert_id, actor=ANA, at=end)
    until = end + timedelta(days=1)
    desk.silence_alert(house.records, view.alert_id, actor=LEA, until=until, reason=" known ", at=end)
    view = desk.get_alert(house.records, view.alert_id, actor=ANA, at=end)
    assert (view.state, view.acked_by, view.silenced_by, view.silence_reason) == (
        AlertState.SILENCED,
        "ana",
        "lea",
        "known",
    )
    assert count_firing(house, end) == 0
    # A silence does not stop the clock, and it ends by itself.
    assert desk.get_alert(house.records, view.alert_id, actor=ANA, at=until).state is AlertState.FIRING
    desk.silence_alert(house.records, view.alert_id, actor=LEA, until=None, reason="", at=end)
    assert count_firing(house, end) == 1
    actions = [event.action for event in desk.list_alert_events(house.records, view.alert_id, actor=ANA)]
    assert actions == ["unsilence", "silence", "acknowledge", "fire"]
    assert find_tampering(house.records) is None


def test_a_silenced_alarm_says_so_when_it_fires(house: House) -> None:
    end = fire(house)
    (view,) = desk.list_alerts(house.records, actor=ANA, at=end)
    desk.silence_alert(house.records, view.alert_id, actor=LEA, until=end + 9 * HOUR, reason="known", at=end)
    end = put_hours(house.events, [10], start=end)
    evaluate(house, end, ERRORS)
    end = put_hours(house.events, [10], errors=1000, start=end)
    (firing,) = evaluate(house, end, ERRORS)
    assert firing.is_silenced


def test_what_is_refused(house: House) -> None:
    end = fire(house)
    (view,) = desk.list_alerts(house.records, actor=ANA, at=end)
    viewer = Actor("vic", Role.VIEWER)
    with pytest.raises(AccessError):
        desk.acknowledge_alert(house.records, view.alert_id, actor=viewer, at=end)
    with pytest.raises(AccessError):
        desk.silence_alert(house.records, view.alert_id, actor=ANA, until=end + HOUR, reason="x", at=end)
    for until, reason in ((end, "x"), (end + timedelta(days=31), "x"), (end + HOUR, " ")):
        with pytest.raises(UsageError):
            desk.silence_alert(house.records, view.alert_id, actor=LEA, until=until, reason=reason, at=end)
    with pytest.raises(NotFoundError):
        desk.acknowledge_alert(house.records, "nosuch", actor=ANA, at=end)
    evaluate(house, put_hours(house.events, [10], start=end), ERRORS)
    with pytest.raises(UsageError):
        desk.acknowledge_alert(house.records, view.alert_id, actor=SYSTEM, at=end)
