"""The duty to report: clocks by kind, tasks, and reports that name what is missing."""

from __future__ import annotations

from datetime import timedelta

import pytest
from case_house import ANA, LEA, T0, House

from core.errors import UsageError
from core.settings import Settings
from incidents.notify.outbox import collect_messages, list_deliveries
from incidents.response.document import write_html, write_markdown
from incidents.response.enums import IncidentAction, ReportKind, Section, Severity
from incidents.response.impact import measure_impact
from incidents.response.reminders import list_due_reports, remind_of_reports
from incidents.response.serious import SECTIONS, build_report, find_deadline, get_kind, list_tasks
from incidents.response.words import describe_clock, say_moment
from incidents.response.work import IncidentView, act, get_incident, open_incident

DAY = timedelta(days=1)


def mark(house: House, kind: str) -> IncidentView:
    number = open_incident(house.records, actor=ANA, title="<b>t</b>", severity=Severity.CRITICAL, at=T0).number
    facts = {"kind": kind, "aware_at": T0.isoformat()}
    return act(house.records, number, IncidentAction.MARK_SERIOUS, facts, actor=ANA, at=T0 + DAY)


def write(house: House, view: IncidentView, report: ReportKind) -> str:
    impact = measure_impact(house.events, view.life, settings=house.settings, at=T0 + DAY)
    document = build_report(view, report, [], impact, settings=house.settings, at=T0 + DAY)
    assert "<b>" not in write_html(document)
    return write_markdown(document).replace("\\", "")


@pytest.mark.parametrize(
    ("kind", "days"),
    [
        ("critical-infrastructure", 2),
        ("widespread-infringement", 2),
        ("death", 10),
        ("health", 15),
        ("fundamental-rights", 15),
        ("property-environment", 15),
    ],
)
def test_the_clock_runs_from_awareness_by_kind(house: House, kind: str, days: int) -> None:
    life = mark(house, kind).life
    deadline = find_deadline(life, get_kind(house.settings, kind))
    assert deadline == T0 + days * DAY
    assert describe_clock(deadline, at=T0) == f"{days} d left"
    assert describe_clock(deadline, at=deadline + timedelta(hours=2)) == "2 h late"


def test_kinds_and_clocks_are_settings_and_unknown_ones_are_named(house: House) -> None:
    own = Settings(home=house.settings.home, serious=({"name": "breach", "title": "Data breach", "days": 3},))
    assert get_kind(own, "breach").days == 3
    with pytest.raises(UsageError) as failure:
        get_kind(own, "death")
    assert failure.value.hint == "Valid: breach."


def test_tasks_are_done_once_records_say_so(house: House) -> None:
    view = mark(house, "death")
    kind = get_kind(house.settings, "death")
    assert [task.is_done for task in list_tasks(view, kind)] == [False] * 6
    assert {task.who for task in list_tasks(view, kind)} == {"nobody yet"}
    act(house.records, 1, IncidentAction.ASSIGN, {"duty": "owner", "person": "ana"}, actor=ANA, at=T0 + DAY)
    act(house.records, 1, IncidentAction.ASSIGN, {"duty": "comms", "person": "cleo"}, actor=ANA, at=T0 + DAY)
    for section in (Section.PROVIDER, Section.CAUSAL_LINK, Section.CORRECTIVE_ACTION):
        facts = {"section": section.value, "text": "known"}
        act(house.records, 1, IncidentAction.DESCRIBE, facts, actor=ANA, at=T0 + DAY)
    view = act(house.records, 1, IncidentAction.REPORT, {"report": "initial"}, actor=ANA, at=T0 + DAY)
    assert [task.is_done for task in list_tasks(view, kind)] == [True, True, True, True, True, False]
    assert {task.who for task in list_tasks(view, kind)} == {"ana", "cleo"}
    assert list_tasks(view, kind)[3].due_at == T0 + 10 * DAY
    again = {"kind": "death", "aware_at": T0.isoformat()}
    view = act(house.records, 1, IncidentAction.MARK_SERIOUS, again, actor=ANA, at=T0 + 2 * DAY)
    assert not list_tasks(view, kind)[3].is_done, "marked anew, reported anew"


def test_the_initial_report_holds_what_is_known_and_names_what_is_missing(house: House) -> None:
    view = mark(house, "health")
    text = write(house, view, ReportKind.INITIAL)
    assert text.count("**Missing:**") == 7
    assert "15 days after awareness (Article 73(2))" in text
    facts = {"section": "harm", "text": "Two users | were advised <wrongly>"}
    view = act(house.records, 1, IncidentAction.DESCRIBE, facts, actor=ANA, at=T0 + DAY)
    text = write(house, view, ReportKind.INITIAL)
    assert text.count("**Missing:**") == 6
    assert "Two users | were advised <wrongly>" in text
    assert write(house, view, ReportKind.FOLLOW_UP).count("**Missing:**") == len(SECTIONS) - 1


def test_there_is_no_report_of_what_is_not_marked(house: House) -> None:
    mark(house, "health")
    view = act(house.records, 1, IncidentAction.UNMARK_SERIOUS, {"reason": "no harm"}, actor=ANA, at=T0 + DAY)
    assert get_incident(house.records, 1, actor=ANA).life.serious_kind is None
    with pytest.raises(UsageError, match="not marked"):
        write(house, view, ReportKind.INITIAL)
    with pytest.raises(ValueError, match="not marked"):
        find_deadline(view.life, get_kind(house.settings, "health"))


def remind(house: House, after: timedelta) -> int:
    return remind_of_reports(house.records, settings=house.settings, at=T0 + after)


def test_reminders_come_before_the_clock_ends_and_when_it_has(house: House) -> None:
    mark(house, "death")
    hour = timedelta(hours=1)
    assert [remind(house, 10 * DAY - left * hour) for left in (73, 72, 71, 24, 4, 4, 0, -30)] == [
        0,
        1,
        0,
        1,
        1,
        0,
        1,
        0,
    ]
    entries = [entry for entry in get_incident(house.records, 1, actor=ANA).entries if entry.action == "remind"]
    assert [entry.payload["before_h"] for entry in entries] == ["72", "24", "4", "0"]


def test_a_period_shorter_than_a_reminder_begins_with_the_next(house: House) -> None:
    mark(house, "critical-infrastructure")
    assert remind(house, timedelta(hours=23)) == 0, "72 hours before the end lie before awareness"
    assert remind(house, timedelta(hours=47)) == 1, "one reminder for what a sleeping server missed"
    entry = get_incident(house.records, 1, actor=ANA).entries[-1]
    assert (entry.payload["before_h"], entry.payload["due_at"]) == ("4", (T0 + 2 * DAY).isoformat())


@pytest.mark.parametrize("ending", ["report", "unmark_serious"])
def test_nobody_is_reminded_of_what_is_done(house: House, ending: str) -> None:
    view = mark(house, "death")
    assert [report.who for report in list_due_reports([view], settings=house.settings)] == ["nobody yet"]
    facts = {"report": "initial"} if ending == "report" else {"reason": "no harm"}
    view = act(house.records, 1, IncidentAction(ending), facts, actor=ANA, at=T0 + DAY)
    assert remind(house, 11 * DAY) == 0
    assert list_due_reports([view], settings=house.settings) == []
    again = {"kind": "death", "aware_at": (T0 + 9 * DAY).isoformat()}
    act(house.records, 1, IncidentAction.MARK_SERIOUS, again, actor=ANA, at=T0 + 9 * DAY)
    assert remind(house, 16 * DAY) == 1, "a new clock reminds anew"


def test_a_reminder_leaves_through_the_outbox_whatever_the_hour(house: House) -> None:
    target = {"name": "hook", "url": "json://127.0.0.1:9/", "events": ("serious-incident",), "min_severity": "critical"}
    quiet = {"quiet_from": "00:00", "quiet_until": "23:59"}
    settings = Settings(home=house.settings.home, notify=(target | quiet,))
    number = open_incident(house.records, actor=ANA, title="Secret words", severity=Severity.LOW, at=T0).number
    facts = {"kind": "death", "aware_at": T0.isoformat()}
    act(house.records, number, IncidentAction.MARK_SERIOUS, facts, actor=ANA, at=T0)
    act(house.records, number, IncidentAction.ASSIGN, {"duty": "comms", "person": "cleo"}, actor=ANA, at=T0)
    at = T0 + 10 * DAY - timedelta(hours=3)
    assert remind_of_reports(house.records, settings=settings, at=at) == 1
    assert collect_messages(house.records, settings=settings, at=at) == 1
    (view,) = list_deliveries(house.records, actor=LEA)
    assert view.due_at == at
    due = say_moment(T0 + 10 * DAY)
    assert view.title == f"Weir: Incident 1 (critical): its report is not made, 3 h left, due by {due}: cleo"
    assert "Secret words" not in view.title


def test_reminders_are_settings(house: House) -> None:
    kind = {"name": "death", "title": "Death", "days": 10, "remind_h": (12,)}
    own = Settings(home=house.settings.home, serious=(kind,))
    mark(house, "death")
    assert remind_of_reports(house.records, settings=own, at=T0 + 9 * DAY) == 0
    assert remind_of_reports(house.records, settings=own, at=T0 + 9.5 * DAY) == 1
    with pytest.raises(ValueError, match="0 or more"):
        Settings(home=house.settings.home, serious=(kind | {"remind_h": (-1,)},))
