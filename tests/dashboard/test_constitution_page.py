"""The Constitution page: principles and their versions, stress tests, revisions before they train, blind ranking."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from hypothesis import given, strategies
from sqlmodel import select
from streamlit.testing.v1 import AppTest

from core.settings import load_settings
from dashboard.charts.stress import build_stress
from dashboard.components.constitution_principles import describe_difference, replace_principle
from dashboard.components.constitution_ranking import find_rank, place_next, take_back, tie_last
from dashboard.navigation import PAGES
from incidents.constitution.principles import Constitution, Principle, list_versions
from incidents.constitution.revisions import RevisionState, list_revisions
from incidents.models import AuditEntry
from incidents.ranking.ranks import list_standing
from service.home import Home, open_home, serve_home
from tests.dashboard.constitution_home import fill_constitution

MAIN = Path(__file__).parents[2] / "dashboard" / "shell" / "main.py"


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A served home with a constitution, two runs, proposals and rankings; each test takes what is next."""
    with open_home(load_settings(tmp_path_factory.mktemp("constitution") / "home")) as home:
        fill_constitution(home)
        serve_home(home)
        try:
            yield home
        finally:
            serve_home(None)


@pytest.fixture(autouse=True)
def fresh_cache(filled: Home) -> None:
    st.cache_data.clear()
    serve_home(filled)


def open_part(part: str) -> AppTest:
    app = AppTest.from_file(str(MAIN), default_timeout=120)
    app.query_params["part"] = part
    app.session_state["part"] = part
    app.run()
    app.switch_page(str(PAGES["constitution"].path)).run()
    assert not app.exception
    return app


def words(app: AppTest) -> str:
    kinds = (app.markdown, app.caption, app.text, app.subheader)
    return "\n".join(str(element.value) for elements in kinds for element in elements)


def actions(home: Home) -> list[str]:
    with home.records.session() as session:
        return list(session.exec(select(AuditEntry.action)))


def table(app: AppTest, column: str) -> Any:
    return next(element.value for element in app.dataframe if column in element.value.columns)


def test_coverage_says_what_is_missing(filled: Home) -> None:
    rows = table(open_part("Principles"), "Coverage")
    assert list(rows["Id"]) == [f"F-{number}" for number in range(1, 11)]
    assert set(rows["Tests"]) == {6}
    assert "✕ revisions wait for a person" in set(rows["Coverage"])


def test_a_lead_edits_a_principle_and_sees_the_difference(filled: Home) -> None:
    app = open_part("Principles")
    base = list_versions(filled.records)[0].number
    app.text_area(key=f"constitution_text_{base}_F-1").set_value("Explain; never pick **one** for them.")
    app.text_input(key=f"constitution_note_{base}_F-1").set_value("clearer")
    app.button(key="constitution_save").click().run()
    newest = list_versions(filled.records)[0]
    assert (newest.number, newest.author, newest.note, newest.changes) == (
        base + 1,
        "analyst",
        "clearer",
        "changed F-1",
    )
    assert list(table(app, "Changes")["Version"])[:2] == [base + 1, base]
    assert any("+F-1 text: Explain; never pick **one** for them." in element.value for element in app.code)
    assert "constitution.save" in actions(filled)


def test_stress_table_and_gaps_are_those_of_the_report(filled: Home) -> None:
    app = open_part("Stress tests")
    rows = table(app, "Change")
    assert list(rows["Principle"])[-1] == "all"
    assert rows["Before"].iloc[-1].startswith("77 %")
    assert rows["After"].iloc[-1].startswith("15 %")
    assert rows["p"].iloc[-1] == "< 0.001"
    gaps = table(app, "Gap")
    assert set(gaps["Gap"]) == {"principle still broken after revision"}
    assert "Off. Nothing leaves this host" in words(app)


def test_a_revision_is_decided_only_after_it_was_revealed(filled: Home) -> None:
    app = open_part("Revisions")
    (first, second, *_) = list_revisions(filled.records, state=RevisionState.PROPOSED)
    assert first.response not in words(app)
    assert app.button(key="revision_accept").disabled
    app.button(key="revision_reveal").click().run()
    assert first.response in words(app)
    assert "revision.reveal" in actions(filled)
    app.button(key="revision_edit").click().run()
    app.text_area(key=f"revision_edited_{first.revision_id}").set_value("Weigh it yourself, with these facts.").run()
    app.button(key="revision_save").click().run()
    decided = {item.revision_id: item for item in list_revisions(filled.records)}[first.revision_id]
    assert (decided.state, decided.final) == (RevisionState.EDITED, "Weigh it yourself, with these facts.")
    assert decided.decided_by == "analyst"
    assert second.response not in words(app)
    app.button(key="revision_reveal").click().run()
    app.button(key="revision_reject").click().run()
    states = {item.revision_id: item.state for item in list_revisions(filled.records)}
    assert states[second.revision_id] is RevisionState.REJECTED


def test_ranking_is_masked_blind_and_saved_with_ties(filled: Home) -> None:
    app = open_part("Ranking")
    assert "Three things" not in words(app)
    assert app.button(key="ranking_pick_1").disabled
    app.button(key="ranking_reveal").click().run()
    assert "masked" not in words(app)
    assert "aurora" not in words(app)
    count = sum(button.key.startswith("ranking_pick_") for button in app.button)
    for number in range(count, 0, -1):
        assert app.button(key="ranking_save").disabled
        app.button(key=f"ranking_pick_{number}").click().run()
    app.button(key="ranking_tie").click().run()
    (rationale,) = [area for area in app.text_area if area.key.startswith("ranking_rationale_")]
    rationale.set_value("The last two say the same.").run()
    app.button(key="ranking_save").click().run()
    (mine,) = [item for item in list_standing(filled.records, "money") if item.rater == "analyst"]
    assert sorted(mine.ranks.values()) == [*range(1, count), count - 1]
    assert mine.rationale == "The last two say the same."
    assert {"ranking.reveal", "ranking.cast"} <= set(actions(filled))
    assert "1 of 20 ranked by you" in words(app)


@given(strategies.lists(strategies.sampled_from(["place", "tie", "back"]), max_size=20))
def test_an_order_ranks_what_was_placed_and_back_undoes_the_last(steps: list[str]) -> None:
    order, placed = (), []
    for number, step in enumerate(steps):
        if step == "place":
            order, placed = place_next(order, str(number)), [*placed, str(number)]
        elif step == "tie":
            order = tie_last(order)
        else:
            order, placed = take_back(order), placed[:-1]
    assert [name for group in order for name in group] == placed
    assert all(order) or not order
    ranks = [find_rank(order, name) for name in placed]
    assert ranks == sorted(ranks)
    assert find_rank(order, "x") is None


def test_principles_are_replaced_added_and_removed_in_place() -> None:
    one, two, three = (Principle(f"P-{number}", f"text {number}") for number in (1, 2, 3))
    constitution = Constitution("t", (one, two))
    assert replace_principle(constitution, one, three).ids() == ["P-3", "P-2"]
    assert replace_principle(constitution, None, three).ids() == ["P-1", "P-2", "P-3"]
    after = replace_principle(constitution, one, None)
    assert after.ids() == ["P-2"]
    assert "-P-1 text: text 1" in describe_difference(constitution, after)


def test_chart_of_an_unjudged_run_says_so() -> None:
    rate = {"estimate": None, "low": None, "high": None, "n": 0}
    rows = [{"principle_id": "F-1", "before": rate, "after": None}]
    assert "no answer was judged" in build_stress(rows, before="before", after=None).to_dict()["description"]
