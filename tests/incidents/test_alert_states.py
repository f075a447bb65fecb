"""The states of an alert: counted in windows, told once, the same after a restart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest
from alert_traffic import HOUR, START
from case_house import House
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlmodel import select

from core.records import RecordStore
from core.settings import AlertRule
from incidents.alerts import watch
from incidents.alerts.judgement import Judgement
from incidents.alerts.states import ALARMED, Alert, advance
from incidents.alerts.watch import GRACE, evaluate_alerts
from incidents.enums import AlertState
from incidents.models import AlertEvent, AlertRow

Windows = list[bool | None]
WINDOWS = st.lists(st.sampled_from([True, True, False, None]), max_size=40)
RULES = st.builds(
    lambda windows, recover: AlertRule(name="r", kind="silence", windows=windows, recover_windows=recover),
    st.integers(1, 3),
    st.integers(1, 3),
)
SLOW = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def run(windows: Windows, rule: AlertRule) -> Iterator[tuple[Alert, Alert]]:
    """The alert before and after each window."""
    alert = Alert()
    for place, is_breached in enumerate(windows):
        before = alert
        alert = advance(alert, end=START + place * HOUR, is_breached=is_breached, rule=rule)
        yield before, alert


def list_fired(windows: Windows, rule: AlertRule) -> list[int]:
    """Numbers of the windows in which it began to fire."""
    steps = enumerate(run(windows, rule))
    return [
        place for place, (before, after) in steps if after.state is AlertState.FIRING and before.state not in ALARMED
    ]


@pytest.mark.parametrize(
    ("windows", "states"),
    [
        ("+", "P"),
        ("++", "PF"),
        ("+-+", "POP"),
        ("++-", "PFR"),
        ("++--", "PFRO"),
        ("++-+", "PFRF"),
        ("++-+--", "PFRFRO"),
        ("+?+", "PPF"),
        ("++?-?-", "PFFRRO"),
        ("--", "OO"),
    ],
)
def test_the_life_of_an_alert(windows: str, states: str) -> None:
    rule = AlertRule(name="r", kind="silence", windows=2, recover_windows=2)
    told: Windows = [{"+": True, "-": False, "?": None}[letter] for letter in windows]
    assert "".join(after.state.value[0].upper() for _, after in run(told, rule)) == states


@given(WINDOWS, RULES)
def test_it_fires_only_after_enough_windows_in_a_row_and_once_until_it_is_over(
    windows: Windows, rule: AlertRule
) -> None:
    fired = list_fired(windows, rule)
    for place in fired:
        told = [window for window in windows[: place + 1] if window is not None]
        assert told[-rule.windows :] == [True] * rule.windows
    for first, second in pairwise(fired):
        quiet = [window for window in windows[first + 1 : second + 1] if window is not None]
        runs = "".join("+" if window else "-" for window in quiet)
        assert "-" * rule.recover_windows in runs


@given(WINDOWS, RULES)
def test_a_window_that_comes_again_changes_nothing(windows: Windows, rule: AlertRule) -> None:
    for before, after in run(windows, rule):
        again = advance(after, end=after.window_end or START, is_breached=True, rule=rule)
        assert again == after
        if before.window_end is not None:
            assert advance(after, end=before.window_end, is_breached=False, rule=rule) == after


@given(WINDOWS, RULES)
def test_since_is_the_window_of_the_last_change_of_state(windows: Windows, rule: AlertRule) -> None:
    for before, after in run(windows, rule):
        assert (after.state is before.state) == (after.since == before.since) or after.count == 0
        assert after.state in ALARMED or after.fired_at == before.fired_at
        if after.state is AlertState.OK:
            assert after.count == 0


def test_an_alarm_about_what_can_no_longer_be_judged_ends() -> None:
    rule = AlertRule(name="r", kind="silence", windows=1)
    alert = advance(Alert(), end=START, is_breached=True, rule=rule)
    for hours in range(1, 49):
        alert = advance(alert, end=START + hours * HOUR, is_breached=None, rule=rule)
        assert alert.state is AlertState.FIRING
    assert advance(alert, end=START + 49 * HOUR, is_breached=None, rule=rule).state is AlertState.OK


class Script:
    """Stands for the judging of a rule: says of each window what it is told to."""

    def __init__(self, windows: dict[str, Windows]) -> None:
        self.windows = windows

    def judge(self, _events: object, _records: object, rule: AlertRule, ends: Sequence[datetime]) -> list[Judgement]:
        told = self.windows[rule.name]
        places = [(end, round((end - START) / HOUR) - 1) for end in ends]
        return [
            Judgement(end, "guard", None, None, told[place], 1.0, 2.0, 3.0, None)
            for place_end in [places]
            for end, place in place_end
            if 0 <= place < len(told)
        ]


def read(records: RecordStore, name: str) -> list[dict[str, Any]]:
    """The alerts of a rule and their histories, without what differs by rule or by when they were judged."""
    left_out = {"alert_id", "rule_name", "event_id", "at", "group_id"}
    with records.session() as session:
        rows = list(session.exec(select(AlertRow).where(AlertRow.rule_name == name)))
        ids = [row.alert_id for row in rows]
        events = [event for event in session.exec(select(AlertEvent)) if event.alert_id in ids]
        return [row.model_dump(exclude=left_out) for row in (*rows, *events)]


@SLOW
@given(windows=WINDOWS, rule=RULES, cuts=st.sets(st.integers(1, 39), max_size=5), data=st.data())
def test_a_run_with_restarts_equals_an_uninterrupted_one(
    house: House, windows: Windows, rule: AlertRule, cuts: set[int], data: st.DataObject
) -> None:
    tag = data.draw(st.integers(0, 10**12))
    whole, parts = (rule.model_copy(update={"name": f"{letter}{tag}"}) for letter in "wp")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(watch, "judge_rule", Script({whole.name: windows, parts.name: windows}).judge)
        last = START + len(windows) * HOUR
        fired = 0
        for hours in (*sorted(cut for cut in cuts if cut < len(windows)), len(windows)):
            # Each part runs on a newly opened store, and twice, as after a crash.
            records = RecordStore(house.settings.records_url)
            chosen = house.settings.model_copy(update={"alerts": (parts,)})
            at = START + hours * HOUR + GRACE
            fired += len(evaluate_alerts(records, house.events, settings=chosen, at=at))
            assert evaluate_alerts(records, house.events, settings=chosen, at=at) == []
            records.close()
        of_parts = read(house.records, parts.name)
        chosen = house.settings.model_copy(update={"alerts": (whole,)})
        evaluate_alerts(house.records, house.events, settings=chosen, at=last + GRACE)
    assert of_parts == read(house.records, whole.name)
    assert fired <= len(list_fired(windows, rule))


def test_a_process_killed_while_it_stores_a_window_leaves_nothing_half_done(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = AlertRule(name="r", kind="silence", windows=1, recover_windows=1)
    monkeypatch.setattr(watch, "judge_rule", Script({"r": [True, False, True]}).judge)
    chosen = house.settings.model_copy(update={"alerts": (rule,)})
    at = START + 3 * HOUR + GRACE
    told = []

    def die_at_the_last(rule: AlertRule, found: Judgement) -> str:
        told.append(found.end)
        if len(told) == 2:
            raise KeyboardInterrupt
        return "is silent"

    monkeypatch.setattr(watch, "say", die_at_the_last)
    with pytest.raises(KeyboardInterrupt):
        evaluate_alerts(house.records, house.events, settings=chosen, at=at)
    assert read(house.records, "r") == []
    (firing,) = evaluate_alerts(house.records, house.events, settings=chosen, at=at)
    assert firing.end == START + 3 * HOUR
    assert replace(firing, event_id=0) == replace(watch.list_firings(house.records, after=0, at=at)[0], event_id=0)
