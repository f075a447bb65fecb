"""Every section of the Quality page, on a day of traffic and on an empty store."""

from __future__ import annotations

import pytest
from page_rows import HOSTILE
from streamlit.testing.v1 import AppTest
from test_pages import open_page, words

from dashboard import state
from dashboard.navigation import PAGES
from incidents.people import Actor, Role
from incidents.sampling import count_drawn
from service.home import Home

SECTIONS = ("Error rates", "Over-blocking", "Thresholds", "Trade-off", "Shadow", "Experiments")


def open_section(section: str) -> AppTest:
    app = open_page(PAGES["quality"], section=section)
    assert not app.exception
    assert "could not be shown" not in words(app)
    return app


@pytest.mark.parametrize("section", SECTIONS)
def test_an_empty_section_says_what_is_missing(empty_home: Home, section: str) -> None:
    app = open_section(section)
    assert any(text in words(app) for text in ("Nothing was reviewed", "No ", "no "))


@pytest.mark.parametrize("section", SECTIONS)
def test_logged_text_is_never_markdown(sample_home: Home, section: str) -> None:
    app = open_section(section)
    said = "\n".join(str(element.value) for element in (*app.markdown, *app.subheader))
    assert "<img" not in said.replace("\\<", "")
    assert HOSTILE not in said


def test_error_rates_have_counts_and_intervals(sample_home: Home) -> None:
    table = open_section("Error rates").dataframe[0].value
    row = table[table["name"] == "toxicity"].iloc[0]
    assert row["reviewed"] == 600
    assert "(" in row["wrong_block_share"]
    assert row["missed_harm_rate"].startswith("0 %")


def test_raw_figures_stand_beside_the_estimates_and_are_called_biased(sample_home: Home) -> None:
    sample_home.events.write(
        lambda connection: connection.execute("UPDATE labels SET inclusion_probability = NULL WHERE harmful")
    )
    app = open_section("Error rates")
    row = app.dataframe[0].value.set_index("name").loc["toxicity"]
    # Harm was found by priority only: no estimate may use it, and the raw figure is off by all of it.
    assert row["wrong_block_share"].startswith("100 %")
    assert 0 < row["raw_wrong_block_share"] < 60
    said = words(app).replace("\\", "").replace("\u2060", "")
    assert "they describe the queue, not the traffic" in said
    assert "Coverage: 100 %" in said


def test_a_plan_is_drawn_into_triage_with_one_button(sample_home: Home) -> None:
    app = open_section("Error rates")
    assert "What more reviews would buy" in words(app)
    app.number_input(key="plan_n").set_value(40).run()
    app.selectbox(key="plan_target").set_value("missed_harm_rate").run()
    assert count_drawn(sample_home.records) == 0
    app.button(key="plan_draw").click().run()
    assert not app.exception
    assert count_drawn(sample_home.records) == 40
    assert app.success[0].value.startswith("Drew 40 turns as s1")


def test_who_may_not_draw_is_told_who_may(sample_home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "current_actor", lambda: Actor("rae", Role.REVIEWER))
    button = open_section("Error rates").button(key="plan_draw")
    assert button.disabled
    assert "leads" in button.help


def test_nothing_left_to_draw_is_said(sample_home: Home) -> None:
    app = open_section("Error rates")
    app.number_input(key="plan_n").set_value(5000).run()
    app.button(key="plan_draw").click().run()
    assert count_drawn(sample_home.records) == 600
    assert "Nothing to draw from" in words(app.run())


def test_error_rates_by_layer(sample_home: Home) -> None:
    app = open_section("Error rates")
    app.button_group(key="by").set_value("layer").run()
    assert set(app.dataframe[0].value["name"]) == {"keyword", "classifier"}


def test_rules_are_ranked_and_the_first_is_shown(sample_home: Home) -> None:
    app = open_section("Over-blocking")
    ranking = app.dataframe[0].value
    assert list(ranking["triggers"]) == [30]
    assert ranking["rule"].iloc[0].startswith("rule-1 · ")
    assert app.subheader[0].value.startswith("rule\\-1 · ")
    app.toggle(key="overblocking_filters").set_value(True).run()
    assert len(app.dataframe[0].value) == 2


def test_the_slider_moves_the_numbers(sample_home: Home) -> None:
    app = open_section("Thresholds")
    slider = app.select_slider[0]
    assert slider.value == 0.9  # the nearest of the logged scores to the threshold in force
    assert {metric.label: metric.value for metric in app.metric}["Triggers"] == "30"
    slider.set_value(0.1).run()
    numbers = {metric.label: metric for metric in app.metric}
    assert (numbers["Triggers"].value, numbers["Triggers"].delta) == ("600", "+570")
    assert numbers["Recall"].value == "100 %"


def test_the_turns_that_flip_are_listed(sample_home: Home) -> None:
    app = open_section("Thresholds")
    assert "No turn of this window would be decided otherwise." in words(app)
    app.select_slider[0].set_value(0.1).run()
    assert "0 turns would trigger no more, 570 newly; the first 200 of each are listed." in words(app)
    assert set(app.dataframe[0].value["direction"]) == {"newly triggers"}


def test_a_chosen_threshold_is_checked_and_recorded_as_a_proposal(sample_home: Home) -> None:
    app = open_section("Thresholds")
    app.select_slider[0].set_value(0.1).run()
    app.button(key="threshold_check").click().run()
    numbers = {metric.label: metric.value for metric in app.metric}
    assert (numbers["Newly triggered"], numbers["True positives lost"]) == ("570", "0")
    assert "It spares no turn" in words(app)
    app.text_input(key="workbench_reason").set_value("catch more")
    app.button(key="workbench_add").click().run()
    assert "Recorded as proposal 1" in app.success[0].value
    app.select_slider[0].set_value(0.9).run()
    assert not app.success


def test_the_slider_moves_to_the_smallest_threshold_within_the_budget(sample_home: Home) -> None:
    app = open_section("Thresholds")
    app.number_input(key="threshold_budget").set_value(4.0).run()
    app.select_slider[0].set_value(0.1).run()
    assert "0.9 is the smallest threshold" in words(app)
    app.button(key="threshold_to_budget").click().run()
    assert app.select_slider[0].value == 0.9
    app.number_input(key="threshold_budget").set_value(0.0).run()
    assert "No threshold is known to keep" in words(app)


def test_the_trade_off_of_a_filter_and_of_the_cascade(sample_home: Home) -> None:
    app = open_section("Trade-off")
    assert app.selectbox(key="frontier_filter").value == HOSTILE
    app.selectbox(key="frontier_filter").set_value("toxicity").run()
    (row,) = app.dataframe[0].value.to_dict("records")
    assert (row["name"], row["mode"], row["reviewed"]) == ("1", "enforce", 600)
    app.selectbox(key="frontier_filter").select_index(0).run()
    (row,) = app.dataframe[0].value.to_dict("records")
    assert (row["name"], row["on_frontier"]) == ("cascade", "yes")


def test_shadow_says_that_nothing_ran_beside(sample_home: Home) -> None:
    assert "No filter ran in shadow" in words(open_section("Shadow"))
