"""The cascade on the page Filters: its numbers, and the turns behind each of them."""

from __future__ import annotations

import polars as pl
import pytest
from page_rows import HOSTILE
from streamlit.testing.v1 import AppTest
from test_pages import open_page, words

from dashboard.charts.overlap import build_added_time, build_overlap
from dashboard.navigation import PAGES
from dashboard.turn_lists import LayerNumber, list_layer_turns, list_outcome_turns, list_pair_turns
from metrics.query import Query
from service.home import Home

FAIL_TEN = """UPDATE checks SET status = 'error', triggered = NULL, decision = 'error'
WHERE layer = 'classifier' AND request_id IN (
    SELECT request_id FROM turns ORDER BY outcome = 'pass' DESC, request_id LIMIT 7)
OR layer = 'classifier' AND request_id IN (SELECT request_id FROM turns WHERE outcome = 'refusal' ORDER BY request_id LIMIT 3)"""


def open_cascade() -> AppTest:
    app = open_page(PAGES["filters"], part="Cascade")
    assert not app.exception
    assert "could not be shown" not in words(app)
    return app


def test_an_empty_cascade_says_what_is_missing(empty_home: Home) -> None:
    assert "No checks in this window" in words(open_cascade())


def test_layers_have_their_counts_and_what_their_failures_let_through(sample_home: Home) -> None:
    sample_home.events.write(lambda connection: connection.execute(FAIL_TEN))
    rows = open_cascade().dataframe[0].value.set_index("layer")
    assert list(rows.index) == ["keyword", "classifier"]
    assert list(rows.loc["keyword", ["reached", "triggered", "unique_catches", "stopped"]]) == [600, 30, 3, 30]
    assert list(rows.loc["classifier", ["failed", "failed_open", "failed_closed"]]) == [10, 7, 3]
    assert rows.loc["keyword", "failed"] == 0
    assert rows.loc["keyword", "added_p50_ms"] == 12


@pytest.mark.parametrize(
    ("layer", "number", "turns"),
    [
        ("keyword", "triggered", 30),
        ("keyword", "stopped", 30),
        ("keyword", "unique_catches", 3),
        ("classifier", "unique_catches", 0),
        ("classifier", "failed", 10),
        ("classifier", "failed_open", 7),
        ("classifier", "failed_closed", 3),
        ("keyword", "reached", 50),
        (None, "reached", 0),
    ],
)
def test_every_number_leads_to_its_turns(sample_home: Home, layer: str | None, number: LayerNumber, turns: int) -> None:
    sample_home.events.write(lambda connection: connection.execute(FAIL_TEN))
    rows = list_layer_turns(sample_home.events, Query(), layer=layer, number=number)
    assert rows.columns == ["ts", "request_id", "outcome"]
    assert rows["request_id"].n_unique() == rows.height == turns
    assert rows["ts"].is_sorted(descending=True)


def test_a_catch_is_unique_among_layers_that_the_filters_leave_out(sample_home: Home) -> None:
    query = Query(filters=(("layer", "keyword"),))
    assert list_layer_turns(sample_home.events, query, layer="keyword", number="unique_catches").is_empty()


def test_pairs_and_endings_lead_to_their_turns(sample_home: Home) -> None:
    assert list_pair_turns(sample_home.events, Query(), first=HOSTILE, second="toxicity").height == 30
    assert set(list_outcome_turns(sample_home.events, Query(), outcome="refusal")["outcome"]) == {"refusal"}
    app = open_cascade()
    app.button_group(key="cascade_outcome").set_value(1).run()
    assert not app.exception
    assert "Newest, newest 30 turns" in words(app).replace("\\", "")


def test_charts_of_nothing_say_why() -> None:
    schema = dict.fromkeys(("first", "second"), pl.String) | dict.fromkeys(
        ("evaluated", "first_triggered", "second_triggered", "both"), pl.Int64
    )
    assert "no two filters" in str(build_overlap(pl.DataFrame(schema=schema)).to_dict())
    times = {"layer": pl.String, "turns": pl.Int64, "added_p50_ms": pl.Float64, "added_p95_ms": pl.Float64}
    assert "no check logged its time" in str(build_added_time(pl.DataFrame(schema=times)).to_dict())
