"""The calibration and guideline parts of the Reviewers page."""

from __future__ import annotations

from test_pages import words
from test_reviewers_adjudication import LEAD, YAN, ZOE, disputed
from test_reviewers_wellness import open_page

from core.clock import now
from incidents.enums import VerdictReason
from incidents.judgement.adjudication import adjudicate
from incidents.judgement.calibration import list_rounds
from incidents.judgement.guidelines import list_versions
from incidents.reviews import VoteCreate
from service.home import Home

__all__ = ["disputed"]


def test_parts_say_what_they_are_for_while_there_is_nothing(empty_home: Home) -> None:
    assert "No round yet" in words(open_page("reviewers", part="Calibration"))
    assert "Nothing is contested" in words(open_page("reviewers", part="Guidelines"))
    assert not list_versions(empty_home.records, actor=LEAD)


def test_a_round_that_cannot_begin_says_why(empty_home: Home, disputed: str) -> None:
    page = open_page("reviewers", part="Calibration")
    page.text_input(key="calibration_title").input("Quotations").run()
    page.button(key="calibration_start").click().run()
    assert "Too few settled cases" in words(page)
    assert list_rounds(empty_home.records, actor=LEAD) == []


def test_a_version_is_declared_and_makes_a_dispute_clear(empty_home: Home, disputed: str) -> None:
    verdict = VoteCreate(disputed, harmful=False, reason=VerdictReason.QUOTED, note="section 3")
    adjudicate(empty_home.records, verdict, actor=LEAD, at=now())
    page = open_page("reviewers", part="Guidelines")
    assert page.dataframe[0].value.iloc[0].to_list() == ["Hate", "Verdict", "Quoted or fictional", 1, 0]
    assert not {ZOE.name, YAN.name} & set(words(page).split())
    page.text_input(key="guidelines_name").input("2026-04")
    page.multiselect(key="guidelines_changed").select("hate").run()
    page.button(key="guidelines_declare").click().run()
    assert "makes 1 contested cases clear" in words(page)
    assert [item.name for item in list_versions(empty_home.records, actor=LEAD)] == ["2026-04"]
    assert "Nothing is contested" in words(page)
