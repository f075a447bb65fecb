"""Charts are pure functions: words, units and counts are in the spec, and no data says why."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.charts.bars import build_counts, build_rates
from dashboard.charts.cascade import build_funnel, build_outcomes
from dashboard.charts.common import MAX_MARKS, AnyChart
from dashboard.charts.counts import build_trigger_counts
from dashboard.charts.frontier import build_frontier
from dashboard.charts.latency import build_latency
from dashboard.charts.rates import BUCKETS_S, MIN_POINTS, build_trigger_rate, choose_bucket
from dashboard.charts.scores import build_score_histogram
from dashboard.charts.spark import build_interval, build_spark
from dashboard.charts.verdicts import build_verdict_bars
from dashboard.theme import LAYER_COLOURS

BERLIN = ZoneInfo("Europe/Berlin")
START = datetime.fromisoformat("2026-10-24T22:00")
HOSTILE = "\u202e<script>alert(1)</script>"
RATE = {"estimate": 0.5, "low": 0.4, "high": 0.6, "numerator": 50.0, "denominator": 100.0, "method": "wilson", "n": 100}


def series(
    *, points: int = 24, layers: tuple[str, ...] = ("keyword", "classifier"), evaluated: int = 100
) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {
                "bucket": START + timedelta(hours=index),
                "layer": layer,
                "evaluated": evaluated,
                "triggered": 5,
                "errors": 0,
                "estimate": 0.05,
                "low": 0.02,
                "high": 0.11,
            }
            for layer in layers
            for index in range(points)
        ],
        schema_overrides={"bucket": pl.Datetime("us")},
    )


FUNNEL = pl.DataFrame(
    {
        "layer": ["keyword", HOSTILE],
        "reached": [100, 90],
        "triggered": [10, 5],
        "stopped": [10, 0],
        "unique_catches": [8, 3],
    }
)
OUTCOMES = pl.DataFrame({"outcome": ["pass", "refusal", None, HOSTILE], "turns": [90, 8, 1, 1]})
SCORES = pl.DataFrame(
    {
        "filter_name": ["f", "f"],
        "filter_version": ["1", "1"],
        "bin": [0, 18],
        "low": [0.0, 0.9],
        "high": [0.05, 0.95],
        "checks": [90, 10],
        "triggered": [0, 10],
        "harmful": [1, 5],
        "benign": [3, 1],
        "threshold": [0.8, 0.8],
    }
)
COUNTS = pl.DataFrame({"rule_id": ["a", HOSTILE, None], "triggered": [5, 3, 1]})
RATES = pl.DataFrame({"version": ["1", HOSTILE], "rate": [RATE, RATE]})
LATENCY = pl.DataFrame(
    {"hour": [START, START + timedelta(hours=1)], "p50_ms": [10.0, 12.0], "p95_ms": [40.0, 44.0], "measured": [10, 20]}
)

CHARTS = {
    "trigger rate": lambda frame: build_trigger_rate(frame, by="layer", bucket_s=3600, zone=BERLIN),
    "funnel": build_funnel,
    "outcomes": build_outcomes,
    "scores": lambda frame: build_score_histogram(frame, version="1"),
    "counts": lambda frame: build_counts(
        frame, by="rule_id", count="triggered", title="Rules", unit="triggers", reason="no rules"
    ),
    "rates": lambda frame: build_rates(
        frame, by="version", rate="rate", title="Versions", unit="triggered / evaluated", reason="no checks"
    ),
    "latency": lambda frame: build_latency(frame, period="hour", zone_name="Europe/Berlin"),
}
FRAMES = {
    "trigger rate": series(),
    "funnel": FUNNEL,
    "outcomes": OUTCOMES,
    "scores": SCORES,
    "counts": COUNTS,
    "rates": RATES,
    "latency": LATENCY,
}
UNITS = {
    "trigger rate": "1-hour points, 95 % band · n 4,800 checks · times in Europe/Berlin",
    "funnel": "turns in cascade order · n 100 turns",
    "outcomes": "share of turns · n 100",
    "scores": "checks per bin · n 100 · 10 % triggered · threshold 0.8",
    "counts": "triggers · n 9",
    "rates": "triggered / evaluated, 95 % interval",
    "latency": "milliseconds per hour · n 30 checks · times in Europe/Berlin",
}


def spec_of(chart: AnyChart) -> dict[str, object]:
    return dict(chart.to_dict())


def rows_of(chart: AnyChart) -> list[list[dict[str, object]]]:
    return list(spec_of(chart)["datasets"].values())  # type: ignore[attr-defined]  # a spec is plain JSON


@pytest.mark.parametrize("name", CHARTS)
def test_chart_states_title_units_and_count(name: str) -> None:
    spec = spec_of(CHARTS[name](FRAMES[name]))
    title = spec["title"]
    assert isinstance(title, dict)
    assert title["text"]
    assert title["subtitle"] == UNITS[name]
    assert str(spec["description"]).startswith(str(title["text"])[:6])


@pytest.mark.parametrize("name", CHARTS)
def test_chart_without_rows_says_why_in_the_same_place(name: str) -> None:
    spec = spec_of(CHARTS[name](FRAMES[name].clear()))
    title = spec["title"]
    assert isinstance(title, dict)
    assert title["text"]
    reasons = [row["reason"] for rows in rows_of(CHARTS[name](FRAMES[name].clear())) for row in rows]
    assert len(reasons) == 1
    assert len(str(reasons[0])) > 5


@pytest.mark.parametrize("name", CHARTS)
def test_chart_shows_no_deceiving_character(name: str) -> None:
    assert "\\u202e" not in json.dumps(spec_of(CHARTS[name](FRAMES[name])))


def test_rates_are_zero_based_and_layers_keep_their_colour() -> None:
    chart = build_trigger_rate(series(), by="layer", bucket_s=3600, zone=BERLIN)
    line = spec_of(chart)["layer"][1]  # type: ignore[index]  # a spec is plain JSON
    assert line["encoding"]["y"]["scale"]["domain"][0] == 0
    scale = line["encoding"]["color"]["scale"]
    assert dict(zip(scale["domain"], scale["range"], strict=True)) == {
        "keyword": LAYER_COLOURS["keyword"],
        "classifier": LAYER_COLOURS["classifier"],
    }


def test_a_gap_breaks_the_line_even_where_the_clock_is_put_back() -> None:
    whole = series(points=24, layers=("keyword",))
    frame = whole.filter(pl.int_range(pl.len()) != 10)
    chart = build_trigger_rate(frame, by="layer", bucket_s=3600, zone=BERLIN)
    drawn = max(rows_of(chart), key=len)
    assert len(drawn) == 24
    assert sum(row["estimate"] is None for row in drawn) == 1


def test_points_of_very_few_checks_are_left_out_and_that_is_said() -> None:
    frame = pl.concat([series(points=10), series(points=1, layers=("guard_llm",), evaluated=3)])
    spec = spec_of(build_trigger_rate(frame, by="layer", bucket_s=3600, zone=BERLIN))
    assert "1 point of fewer than 20 left out" in spec["title"]["subtitle"]  # type: ignore[index]  # plain JSON


def test_marks_stay_below_the_limit() -> None:
    frame = series(points=1500, layers=("keyword", "classifier", "guard_llm", "refinement", "regex"))
    chart = build_trigger_rate(frame, by="layer", bucket_s=3600, zone=BERLIN)
    assert max(len(rows) for rows in rows_of(chart)) <= MAX_MARKS


@given(st.timedeltas(min_value=timedelta(minutes=5), max_value=timedelta(days=400)), st.integers(0, 10**9))
def test_a_bucket_gives_a_sensible_number_of_points(length: timedelta, checks: int) -> None:
    bucket_s = choose_bucket(length, checks=checks)
    assert bucket_s in BUCKETS_S
    if length >= timedelta(minutes=MIN_POINTS):
        assert length.total_seconds() / bucket_s >= MIN_POINTS
    assert choose_bucket(length, checks=checks) <= choose_bucket(length * 2, checks=checks)


def test_tile_marks_describe_themselves() -> None:
    assert spec_of(build_spark([1.0, 2.0], words="turns"))["description"] == "Trend of turns"
    said = spec_of(build_interval(RATE, words="Wrong blocks"))["description"]
    assert said == "Wrong blocks: 50.0%, 95 % interval 40.0% to 60.0%"


def test_versions_are_marked_where_they_were_first_seen() -> None:
    versions = pl.DataFrame(
        {"filter_version": [HOSTILE], "first_at": [START]}, schema_overrides={"first_at": pl.Datetime("us")}
    )
    spec = json.dumps(build_trigger_counts(series(), bucket_s=3600, zone=BERLIN, versions=versions).to_dict())
    assert "version \\u27e8202E\\u27e9" in spec
    assert "2026-10-25T00:00:00" in spec  # the reader's wall clock


def test_verdict_bars_add_up_and_are_stacked_in_one_order() -> None:
    frame = pl.DataFrame(
        {
            "app": ["a", "a", "b", "b", None],
            "verdict": ["benign", "benign", "harmful", "benign", "not judged"],
            "turns": [2, 3, 4, 5, 1],
        }
    )
    spec = build_verdict_bars(frame, by="app", title="Apps", verdicts=("benign", "harmful", "not judged")).to_dict()
    assert spec["title"]["subtitle"] == "turns by verdict · n 15"
    assert spec["description"] == "Apps: b 9, a 5, not logged 1"
    rows = next(iter(spec["datasets"].values()))
    assert sorted((row["app"], row["turns"], row["rank"]) for row in rows) == [
        ("a", 5, 0),
        ("b", 4, 1),
        ("b", 5, 0),
        ("not logged", 1, 2),
    ]
    assert "no triggers" in json.dumps(build_verdict_bars(frame.clear(), by="app", title="Apps", verdicts=()).to_dict())


def test_the_frontier_says_how_many_points_are_on_it_and_shows_no_unknown_one() -> None:
    nothing = RATE | {"estimate": None}
    frame = pl.DataFrame(
        {
            "point": ["cascade", "threshold", "threshold", "arm"],
            "filter_name": [None, "f", "f", "f"],
            "filter_version": [None, None, "2", HOSTILE],
            "arm": [None, None, None, HOSTILE],
            "threshold": [None, 0.5, 0.6, None],
            "reviewed": [9, 9, 9, 9],
            "benign_blocked_rate": [RATE, RATE, nothing, RATE],
            "missed_harm_rate": [RATE, RATE, RATE, RATE],
            "on_frontier": [True, False, None, True],
        }
    )
    spec = build_frontier(frame, title="Trade").to_dict()
    assert "2 of 3 points" in spec["title"]["subtitle"]
    text = json.dumps(spec)
    assert "as logged from 0.5 on" in text
    assert "\\u202e" not in text
    assert "no point has enough reviews" in json.dumps(build_frontier(frame.clear(), title="Trade").to_dict())
