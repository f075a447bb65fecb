"""Markers of changes and alarms on charts over time, the expected band, and the table of a filter's changes."""

from __future__ import annotations

import json
from datetime import timedelta
from zoneinfo import ZoneInfo

import polars as pl
from test_charts import HOSTILE, START, series, spec_of

from dashboard.charts.markers import SCHEMA, build_markers
from dashboard.charts.rates import build_trigger_rate
from dashboard.components.filter_changes import build_changes_table
from metrics.alarms.expected import SCHEMA as EXPECTED

ZONE = ZoneInfo("UTC")
DAY = timedelta(days=1)
RATE = {"estimate": 0.5, "low": 0.4, "high": 0.6}


def mark(*rows: tuple[timedelta, str, str]) -> pl.DataFrame:
    return pl.DataFrame([(START + after, label, kind) for after, label, kind in rows], schema=SCHEMA, orient="row")


def say(markers: pl.DataFrame) -> list[str]:
    layers = build_markers(markers, start=START, end=START + DAY, zone=ZONE)
    return layers[0].data["label"].to_list() if layers else []


def test_only_what_lies_on_the_chart_is_marked() -> None:
    assert say(mark((-DAY, "before", "change"), (2 * DAY, "after", "change"))) == []
    assert say(mark((DAY / 2, "blocklist 41", "change"))) == ["◆ blocklist 41"]


def test_markers_that_would_write_over_each_other_become_one() -> None:
    hour = timedelta(hours=1)
    rows = mark((hour, "a", "change"), (2 * hour, "b", "alarm"), (3 * hour, "c", "change"), (10 * hour, "d", "change"))
    assert say(rows) == ["◆ a +2", "◆ d"]
    first, second = build_markers(rows, start=START, end=START + DAY, zone=ZONE)[0].data.to_dicts()
    assert (first["kind"], first["all"]) == ("alarm", "◆ a, ! b, ◆ c")
    assert first["line"] != second["line"]


def test_the_rate_chart_carries_markers_and_what_was_expected() -> None:
    frame = series(layers=("keyword",))
    expected = pl.DataFrame({"bucket": frame["bucket"], "expected": 0.04, "low": 0.01, "high": 0.08}, schema=EXPECTED)
    plain = spec_of(build_trigger_rate(frame, by="layer", bucket_s=3600, zone=ZONE))
    chart = build_trigger_rate(
        frame,
        by="layer",
        bucket_s=3600,
        zone=ZONE,
        markers=mark((timedelta(hours=3), HOSTILE, "change")),
        expected=expected,
    )
    spec = spec_of(chart)
    assert len(spec["layer"]) == len(plain["layer"]) + 5  # type: ignore[arg-type]  # a spec is plain JSON
    assert "expected from four weeks before" in spec["title"]["subtitle"]  # type: ignore[index]  # likewise
    assert "\\u202e" not in json.dumps(spec)


def test_a_change_is_told_with_the_rates_before_and_after() -> None:
    none = dict.fromkeys(RATE)
    frame = pl.DataFrame(
        [
            {"at": START, "what": "filter version", "name": "f", "from": "1", "to": HOSTILE}
            | {"rate_before": RATE, "rate_after": RATE, "difference": {"estimate": 0.1, "low": 0.05, "high": 0.2}},
            {"at": START, "what": "registered", "name": "=cleaned", "from": None, "to": None}
            | {"rate_before": none, "rate_after": RATE, "difference": none},
        ]
    )
    first, second = build_changes_table(frame).to_dicts()
    assert first["name"].startswith("1 → ⟨202E⟩")
    assert (first["before"], first["difference"]) == ("50 % (40–60)", "+10.0 pp (+5.0 pp to +20.0 pp)")
    assert (second["name"], second["before"], second["difference"]) == ("'=cleaned", "–", "–")
