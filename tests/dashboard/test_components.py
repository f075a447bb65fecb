"""What components say, without a browser: freshness, tiles, findings, tables."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from dashboard.components.coverage import format_coverage
from dashboard.components.filter_table import build_filter_table
from dashboard.components.freshness import describe_freshness, list_lagging
from dashboard.components.headline import format_finding
from dashboard.components.movers import build_movers_table
from dashboard.components.tiles import describe_rate
from dashboard.data import Window, is_comparable
from incidents.audit_log import list_audit
from incidents.people import Actor, Role
from metrics.headline import Finding, Kind, Name
from service.home import Home

AT = datetime.fromisoformat("2026-03-02T09:14:30")
NO_SOURCES = pl.DataFrame(schema={"source": pl.String, "last_event_at": pl.Datetime("us")})


def sources(**ages: timedelta) -> pl.DataFrame:
    return pl.DataFrame(
        {"source": list(ages), "last_event_at": [AT - age for age in ages.values()]}, schema=NO_SOURCES.schema
    )


def say(newest: datetime | None, flowing: pl.DataFrame = NO_SOURCES, *, is_demo: bool = False) -> tuple[str, str]:
    said = describe_freshness(newest, flowing, at=AT, zone_name="UTC", is_demo=is_demo)
    return said.colour, said.label.replace("\\", "").replace("\u2060", "")


def test_fresh_data_is_green_and_names_its_second() -> None:
    assert say(AT - timedelta(seconds=2)) == ("green", "data to 09:14:28 (2 s ago)")


def test_a_lagging_source_turns_the_badge_amber_and_is_named() -> None:
    colour, label = say(AT - timedelta(seconds=2), sources(live=timedelta(seconds=2), edge=timedelta(minutes=9)))
    assert colour == "orange"
    assert label.endswith("edge lags")


def test_a_hostile_source_name_stays_text() -> None:
    flowing = pl.DataFrame(
        {"source": ["![a](x)"], "last_event_at": [AT - timedelta(hours=1)]}, schema=NO_SOURCES.schema
    )
    said = describe_freshness(AT, flowing, at=AT, zone_name="UTC", is_demo=False)
    assert "\\!\\[a\\]" in said.label


def test_old_and_simulated_data_is_no_alarm() -> None:
    assert say(AT - timedelta(days=900))[0] == "gray"
    assert say(AT - timedelta(minutes=20), sources(demo=timedelta(minutes=20)), is_demo=True)[0] == "gray"
    assert say(None) == ("gray", "no data yet")


def test_a_source_that_ended_long_ago_does_not_lag() -> None:
    assert list_lagging(sources(now=timedelta(0), late=timedelta(hours=1), old=timedelta(days=3)), at=AT) == ["late"]


@given(st.floats(min_value=0, max_value=1, exclude_max=True))
def test_incomplete_coverage_never_reads_as_complete(share: float) -> None:
    assert "100" not in format_coverage(share)


def test_complete_coverage_reads_as_complete() -> None:
    assert format_coverage(1.0) == "100 %"


@pytest.mark.parametrize(
    ("estimate", "counted", "expected"),
    [
        (0.22, 212, ("22 %", "17–28 % · n 212 reviews")),
        (None, 3, ("–", "not enough reviews: 2 more needed")),
        (None, 0, ("–", "not enough reviews: 5 more needed")),
    ],
)
def test_a_tile_shows_interval_and_n_or_what_is_missing(
    estimate: float | None, counted: int, expected: tuple[str, str]
) -> None:
    rate = {"estimate": estimate, "low": 0.17, "high": 0.28, "n": counted}
    assert describe_rate(rate, noun="reviews", min_sample=5) == expected


def test_a_finding_keeps_its_spaces_and_its_names_inert() -> None:
    finding = Finding(
        kind=Kind.MOVED,
        parts=("rule ", Name("kw*113"), " of ", Name("block"), " fires 3.1x as often"),
        filter_name="block",
        rule_id="kw*113",
        source=None,
        evidence={"ratio": 3.1},
        weight=4.0,
    )
    assert format_finding(finding).endswith("rule **kw\\*113** of **block** fires 3\\.1x as often.")
    assert "trending_up" in format_finding(finding)


def test_movers_say_direction_without_colour() -> None:
    frame = pl.DataFrame(
        {
            "rule_id": ["a", "b"],
            "filter_name": ["f", "f"],
            "rate": [0.02, 0.01],
            "rate_before": [0.01, 0.02],
            "change": [0.01, -0.01],
            "low": [0.005, -0.015],
            "high": [0.015, -0.005],
            "evaluated": [100, 100],
        }
    )
    assert build_movers_table(frame)["change"].to_list() == [
        "▲ +1.00 pp (+0.50 to +1.50)",
        "▼ −1.00 pp (−1.50 to −0.50)",
    ]


RATE = {"estimate": 0.1, "low": 0.05, "high": 0.2}


def test_filter_table_is_in_cascade_order_and_tells_new_from_unchanged() -> None:
    keys = {
        "filter_name": ["guard", "blocklist"],
        "filter_version": ["3", None],
        "layer": ["guard_llm", "keyword"],
        "mode": ["enforce", "enforce"],
    }
    triggers = pl.DataFrame({**keys, "evaluated": [100, 100], "errors": [1, 0], "trigger_rate": [RATE, RATE]})
    table = build_filter_table(
        triggers,
        previous=triggers.filter(pl.col("layer") == "keyword"),
        errors=pl.DataFrame({**keys, "wrong_block_share": [{**RATE, "estimate": None}, RATE]}),
        latency=pl.DataFrame({**keys, "p95_ms": [40.0, 1.0]}),
        trend=pl.DataFrame({**keys, "day": [AT, AT], "trigger_rate": [RATE, RATE]}),
        period="day",
        layers=("keyword", "guard_llm"),
    )
    assert table["filter_name"].to_list() == ["blocklist", "guard"]
    assert table["change"].to_list() == [0.0, None]
    assert table["wrong_blocks"].to_list() == ["10 % (5.0–20)", "not enough reviews"]
    assert table["p95_ms"].to_list() == [1.0, 40.0]
    assert [list(trend) for trend in table["trend"]] == [[10.0], [10.0]]


def test_a_window_compares_only_with_one_that_the_store_covers() -> None:
    window = Window(AT - timedelta(days=30), AT, AT, is_historic=False)
    assert is_comparable(window, oldest=AT - timedelta(days=60))
    assert not is_comparable(window, oldest=AT - timedelta(days=30, hours=2))
    assert not is_comparable(Window(None, None, AT, is_historic=False), oldest=AT)


def test_a_rejected_record_is_masked_until_somebody_looks_and_that_is_recorded(empty_home: Home) -> None:
    def draw() -> None:
        from dashboard.components.quarantine import _render_record

        _render_record({"reject_id": "3f2a", "reason": "no_json", "detail": "Write JSON.", "record": "secret words"})

    page = AppTest.from_function(draw).run()
    assert not page.code
    page.button(key="quarantine_reveal").click().run()
    assert [code.value for code in page.code] == ["secret words"]
    (entry,) = list_audit(empty_home.records, actor=Actor("lea", Role.LEAD))
    assert (entry.action, entry.subject, entry.actor) == ("quarantine.reveal", "3f2a", "analyst")
