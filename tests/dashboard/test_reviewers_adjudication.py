"""The adjudication part of the Reviewers page: for leads, without names, settled with a reason."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest
from test_pages import words

from core.clock import isoformat, now
from dashboard.components.triage_draft import get_drafts
from dashboard.components.triage_form import _input_key
from incidents.cases import get_case, list_cases, open_cases
from incidents.judgement.golden import list_items
from incidents.people import SYSTEM, Actor, Role
from incidents.reviews import VoteCreate, cast_vote
from ingest.load import load_records
from service.home import Home

PAGE = Path(__file__).parents[2] / "dashboard" / "pages" / "reviewers.py"
ZOE, YAN, LEAD = Actor("zoe", Role.REVIEWER), Actor("yan", Role.REVIEWER), Actor("analyst", Role.LEAD)


@pytest.fixture
def disputed(empty_home: Home) -> str:
    get_drafts.clear()
    ids = {"ts": isoformat(now()), "request_id": "r1", "conversation_id": "c1"}
    turn = {**ids, "prompt": "a song about a fight", "response": "la la", "outcome": "refusal"}
    check = {**ids, "filter_name": "clf", "triggered": True, "decision": "block", "enforced": True, "category": "hate"}
    load_records(empty_home.events, "model_log", [turn], source="test", settings=empty_home.settings)
    load_records(empty_home.events, "filter_log", [check], source="test", settings=empty_home.settings)
    open_cases(empty_home.records, empty_home.events, settings=empty_home.settings, actor=SYSTEM)
    case_id = list_cases(empty_home.records, actor=LEAD, limit=1)[0].case_id
    cast_vote(empty_home.records, VoteCreate(case_id, harmful=True, category="hate"), actor=ZOE, at=now())
    cast_vote(empty_home.records, VoteCreate(case_id, harmful=False, note="a quotation"), actor=YAN, at=now())
    return case_id


def open_part(**params: str) -> AppTest:
    page = AppTest.from_file(str(PAGE), default_timeout=60)
    for name, value in {"part": "Adjudication", **params}.items():
        page.query_params[name] = value
    page.run()
    assert [item.message for item in page.exception] == []
    return page


def press(page: AppTest, key: str) -> AppTest:
    page.button(key=key).click()
    page.run()
    assert [item.message for item in page.exception] == []
    return page


def test_nothing_to_settle(empty_home: Home) -> None:
    assert "Nothing to settle" in words(open_part())


def test_a_dispute_is_listed_and_settled_with_a_reason(empty_home: Home, disputed: str) -> None:
    listed = open_part()
    assert listed.dataframe[0].value["Differ on"].to_list() == ["Verdict"]
    page = open_part(case=disputed)
    shown = page.dataframe[0].value
    assert set(shown["Verdict"]) == {"harmful", "benign"}
    assert set(shown["By"]) == {"Reviewer A", "Reviewer B"}
    assert not {"zoe", "yan"} & set(words(page).split())
    press(page, "triage_benign")
    press(page, "adjudication_settle")
    assert "needs a reason" in words(page)
    page.selectbox(key=_input_key("reason", disputed)).select("quoted")
    page.text_area(key=_input_key("note", disputed)).input("Section 3: quotations.")
    press(page, "adjudication_settle")
    assert "Nothing more waits" in words(page)
    assert get_case(empty_home.records, disputed, actor=LEAD).harmful is False
    settled = open_part()
    assert settled.dataframe[0].value["Verdict"].to_list() == ["benign"]
    assert list_items(empty_home.records, actor=LEAD) == []
