"""The section Incidents: the list, one incident from opening to postmortem, what people wrote stays text."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from page_rows import HOSTILE
from streamlit.testing.v1 import AppTest
from test_pages import open_page, words

from core.clock import now
from dashboard.components.incident_detail import KEYS
from dashboard.navigation import PAGES
from incidents.audit import change
from incidents.enums import OpenedBy
from incidents.filing import NewCase, add_cases, make_case_id
from incidents.people import SYSTEM, Actor, Role
from incidents.response.enums import IncidentAction, IncidentState, LinkKind, Severity, Source
from incidents.response.states import list_steps
from incidents.response.work import act, get_incident, open_incident
from service.home import Home

LEA = Actor("lea", Role.LEAD)
VISIBLE = HOSTILE.replace("\u202e", "")  # titles and names are refused when they hide characters


def open_section(**params: str) -> AppTest:
    return open_page(PAGES["incidents"], part="Incidents", **params)


def open_one(home: Home, *, title: str = VISIBLE, severity: Severity = Severity.HIGH) -> int:
    at = now() - timedelta(minutes=30)
    links = [(LinkKind.FILTER, HOSTILE)]
    return open_incident(home.records, actor=LEA, title=title, severity=severity, at=at, links=links).number


@pytest.mark.parametrize("state", IncidentState)
def test_no_two_steps_that_can_meet_share_a_key(state: IncidentState) -> None:
    keys = [KEYS[step] for step in (*list_steps(state), IncidentAction.NOTE, IncidentAction.ADD_FOLLOW_UP)]
    assert len(set(keys)) == len(keys)
    assert not set(keys) & {"C", "R", "Q"}


def test_an_empty_list_says_what_an_incident_is(empty_home: Home) -> None:
    app = open_section()
    assert not app.exception
    assert "No incident is open. There has been none." in words(app)


def test_the_list_says_what_is_open_and_filters_it(sample_home: Home) -> None:
    open_one(sample_home, title="one")
    open_one(sample_home, title="two", severity=Severity.LOW)
    app = open_section()
    assert "2 incidents are open, the gravest high; 2 not taken up yet." in words(app)
    (table,) = (table.value for table in app.dataframe if "clock" in table.value.columns)
    assert list(table["title"]) == ["one", "two"]
    app.button(key="incident_first").click().run()
    assert app.query_params["incident"] == "1"
    assert "nobody has taken it up" in words(app)


def test_one_is_opened_by_hand(sample_home: Home) -> None:
    app = open_section()
    app.button(key="incident_new").click().run()
    app.text_input(key="incident_open_title").set_value("Seen by hand")
    app.button(key="incident_open_save").click().run()
    assert not app.exception
    life = get_incident(sample_home.records, 1, actor=LEA).life
    assert (life.title, life.severity, life.source) == ("Seen by hand", Severity.MEDIUM, Source.HAND)
    assert app.query_params["incident"] == "1"


def test_one_is_opened_about_the_case_that_the_address_names(sample_home: Home) -> None:
    case_id = make_case_id("r1-0")
    with change(sample_home.records, actor=SYSTEM, at=now()) as current:
        add_cases(current, [NewCase("r1-0", "c0", now(), OpenedBy.ESCALATION)], seen=1)
        current.record("cases.open", "cases", {})
    app = open_section(case=case_id)
    app.text_input(key="incident_open_title").set_value("A pattern")
    app.button(key="incident_open_save").click().run()
    assert not app.exception
    life = get_incident(sample_home.records, 1, actor=LEA).life
    assert (life.source, life.linked(LinkKind.CASE)) == (Source.CASE, [case_id])


def test_an_incident_goes_through_its_steps_on_the_page(sample_home: Home) -> None:
    number = open_one(sample_home)
    app = open_section(incident=str(number))
    assert not app.exception
    app.button(key="incident_do_acknowledge").click().run()
    app.button(key="incident_do_triage").click().run()
    app.text_input(key="incident_triage_3__owner").set_value("ana")
    app.button(key="incident_triage_3__save").click().run()
    assert not app.exception
    life = get_incident(sample_home.records, number, actor=LEA).life
    assert (life.state, life.owner, life.severity) == (IncidentState.TRIAGED, "ana", Severity.HIGH)
    assert "Triaged for" in words(app)


def test_what_cannot_be_is_said_in_the_dialog_and_changes_nothing(sample_home: Home) -> None:
    number = open_one(sample_home)
    app = open_section(incident=str(number))
    app.button(key="incident_note").click().run()
    app.button(key="incident_note_2__save").click().run()
    assert "note needs text" in words(app)
    assert get_incident(sample_home.records, number, actor=LEA).life.version == 2


def test_the_page_shows_the_whole_incident_and_its_postmortem(sample_home: Home) -> None:
    number = open_one(sample_home)
    act(sample_home.records, number, IncidentAction.NOTE, {"text": HOSTILE}, actor=LEA, at=now())
    late = {"title": VISIBLE, "owner": "ben", "due": "2020-01-01"}
    act(sample_home.records, number, IncidentAction.ADD_FOLLOW_UP, late, actor=LEA, at=now())
    app = open_section(incident=str(number))
    assert not app.exception
    assert HOSTILE.replace("\u202e", "⟨202E⟩") in [element.value for element in app.text]
    assert "days late" in words(app)
    assert "Missing:" in words(app)
    rendered = "\n".join(re.sub(r"\\.", "", str(element.value)) for element in (*app.markdown, *app.caption))
    assert "<img" not in rendered
    assert "![" not in rendered


def test_a_number_that_is_no_incident_says_so(sample_home: Home) -> None:
    app = open_section(incident="77")
    assert "No such incident" in words(app)
    assert not open_section(incident="none").exception


def test_a_serious_incident_shows_its_clock_its_tasks_and_both_reports(sample_home: Home) -> None:
    number = open_one(sample_home)
    app = open_section(incident=str(number))
    app.button(key="incident_mark_serious").click().run()
    app.radio(key="incident_mark_serious_2__kind").set_value("death")
    app.button(key="incident_mark_serious_2__save").click().run()
    assert not app.exception
    assert get_incident(sample_home.records, number, actor=LEA).life.serious_kind == "death"
    assert "Death of a person" in words(app).replace("\\", "")
    assert "A deployer informs the provider immediately" in words(app)
    assert len(app.get("download_button")) == 6, "postmortem and two reports, each as HTML and Markdown"


def test_the_transparency_report_is_shown_and_can_be_taken_out(sample_home: Home) -> None:
    app = open_page(PAGES["incidents"], part="Transparency")
    assert not app.exception
    assert "Transparency report" in words(app)
    assert len(app.get("download_button")) == 3


def test_the_transparency_report_of_an_empty_home_says_why(empty_home: Home) -> None:
    app = open_page(PAGES["incidents"], part="Transparency")
    assert not app.exception
    assert "Nothing to report" in words(app)
