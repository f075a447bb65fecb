"""The wellbeing part of the Reviewers page, and the rest prompt of the Triage page."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from streamlit.testing.v1 import AppTest
from test_pages import words

from core.clock import isoformat, now
from dashboard.components.reviewer_wellness import tabulate_exposure
from incidents.audit import change
from incidents.cases import list_cases, open_cases, reveal_turn
from incidents.judgement.profiles import Declaration, declare, read_own
from incidents.judgement.wellness import Exposure, Masking, read_wishes
from incidents.people import SYSTEM, Actor, Role
from ingest.load import load_records
from metrics.estimate import MIN_CELL
from service.home import Home

FOLDER = Path(__file__).parents[2] / "dashboard" / "pages"
ME = Actor("analyst", Role.LEAD)


def open_page(name: str, **params: str) -> AppTest:
    page = AppTest.from_file(str(FOLDER / f"{name}.py"), default_timeout=60)
    for key, value in params.items():
        page.query_params[key] = value
    page.run()
    assert [item.message for item in page.exception] == []
    return page


def test_a_person_sees_their_exposure_and_keeps_wishes(empty_home: Home) -> None:
    ids = {"ts": isoformat(now()), "request_id": "r1"}
    check = {**ids, "filter_name": "clf", "triggered": True, "decision": "block", "enforced": True, "category": "hate"}
    load_records(empty_home.events, "filter_log", [check], source="test", settings=empty_home.settings)
    open_cases(empty_home.records, empty_home.events, settings=empty_home.settings, actor=SYSTEM)
    (case,) = list_cases(empty_home.records, actor=ME)
    reveal_turn(empty_home.records, case.case_id, actor=ME, request_id="r1", at=now())
    page = open_page("reviewers", part="Wellbeing")
    assert page.dataframe[0].value.to_dict("list") == {"Category": ["Hate"], "Points": [3], "Budget": [3 / 60]}
    assert f"Fewer than {MIN_CELL} people worked" in words(page)
    page.multiselect(key="wellness_opt_outs").select("hate")
    page.radio(key="wellness_masking").set_value(Masking.CONVERSATION)
    page.text_input(key="profile_languages").input("en, cy")
    page.run()
    page.button(key="wellness_save").click().run()
    page.button(key="profile_save").click().run()
    with empty_home.records.session() as session:
        wishes = read_wishes(session, ME.name)
    assert (wishes.masking, wishes.opt_outs) == (Masking.CONVERSATION, {"hate"})
    assert read_own(empty_home.records, actor=ME).languages == ("cy", "en")


def test_what_few_declared_is_not_shown(empty_home: Home) -> None:
    for number in range(MIN_CELL):
        person = Actor(f"p{number}", Role.REVIEWER)
        declare(empty_home.records, Declaration(languages=("en", f"x{number}")), actor=person, at=now())
    page = open_page("reviewers", part="Wellbeing")
    assert [table.value.to_dict("list") for table in page.dataframe] == [
        {"Declared": ["Languages"], "Value": ["en"], "People": [MIN_CELL]}
    ]


def test_a_long_shift_is_told_to_rest(empty_home: Home) -> None:
    for ago in range(0, 46, 5):
        with change(empty_home.records, actor=ME, at=now() - timedelta(minutes=ago)) as current:
            current.record("case.vote", "somewhere")
    assert "rest in 5 min" in words(open_page("triage"))
    for ago in range(50, 60, 5):
        with change(empty_home.records, actor=ME, at=now() - timedelta(minutes=ago)) as current:
            current.record("case.vote", "somewhere")
    assert "time to rest" in words(open_page("triage"))


def test_exposure_is_listed_by_what_weighs_most() -> None:
    table = tabulate_exposure(Exposure({"spam": 1, "hate": 30, "none": 2}, category_budget=60, total_budget=200))
    assert table.rows() == [("Hate", 30, 0.5), ("No category", 2, 2 / 60), ("Spam", 1, 1 / 60)]
