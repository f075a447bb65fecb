"""What draws attention: series, movers, silences, the headline, freshness, histograms, the Overview."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import polars as pl
import pytest
from canonical_rows import START, add

from core.errors import UsageError
from core.events import EventStore
from ingest.schema import INGESTS
from metrics.coverage import compute_coverage, measure_coverage
from metrics.freshness import freshness
from metrics.headline import NOTHING, Kind, Name, Waiting, compute_headline, summarize
from metrics.movers import movers
from metrics.overview import compute_overview
from metrics.query import Query
from metrics.scores import score_histogram
from metrics.series import trigger_series, turn_series
from metrics.silence import chance_of_none

HOUR = timedelta(hours=1)
NOW = Query(since=START + HOUR, until=START + 2 * HOUR)


def traffic(
    events: EventStore, *, before: tuple[int, int], now: tuple[int, int], name: str = "f", rule: str | None = None
) -> None:
    """Triggered and evaluated checks of one filter in the hour before and in this one, spread evenly."""
    rows: list[dict[str, Any]] = []
    for start, (triggered, evaluated) in ((START, before), (START + HOUR, now)):
        for place in range(evaluated):
            fired = (place * triggered) // evaluated != ((place + 1) * triggered) // evaluated
            rows.append(
                {
                    "request_id": f"{name}-{start}-{place}",
                    "ts": start + place * HOUR / evaluated,
                    "filter_name": name,
                    "triggered": fired,
                    "rule_id": rule if fired else None,
                }
            )
    number = events.read("SELECT count(*) + 1 AS n FROM ingests").item()
    add(events, checks=rows, ingest_id=number)


def test_series_sum_to_the_window(events: EventStore) -> None:
    traffic(events, before=(10, 100), now=(30, 120))
    series = trigger_series(events, NOW, by="layer", bucket_s=600)
    assert series.columns == ["bucket", "layer", "evaluated", "triggered", "errors", "estimate", "low", "high"]
    assert series["bucket"].to_list() == [START + HOUR + n * timedelta(minutes=10) for n in range(6)]
    assert (series["evaluated"].sum(), series["triggered"].sum()) == (120, 30)
    assert series.schema == trigger_series(events, Query(until=START), by="layer", bucket_s=600).schema
    row = series.row(0, named=True)
    assert row["low"] < row["estimate"] == row["triggered"] / row["evaluated"] < row["high"]


def test_a_bucket_is_whole_minutes(events: EventStore) -> None:
    for width in (0, 59, 90):
        with pytest.raises(UsageError):
            trigger_series(events, NOW, by="filter_name", bucket_s=width)


def test_turns_over_time(events: EventStore) -> None:
    add(events, turns=[{"request_id": "a"}, {"request_id": "b", "ts": START + HOUR}, {"request_id": "c"}])
    assert turn_series(events, Query(), bucket_s=3600).rows() == [(START, 2, 0), (START + HOUR, 1, 0)]


def test_movers_compare_with_the_window_before(events: EventStore) -> None:
    traffic(events, before=(50, 1000), now=(150, 1000), name="risen", rule="kw-113")
    traffic(events, before=(50, 1000), now=(50, 1000), name="steady", rule="kw-1")
    rows = movers(events, NOW, by="rule_id", limit=10).to_dicts()
    assert [row["rule_id"] for row in rows] == ["kw-113", "kw-1"]
    risen = rows[0]
    assert (risen["evaluated"], risen["triggered"], risen["triggered_before"]) == (1000, 150, 50)
    assert risen["change"] == pytest.approx(0.1)
    assert 0 < risen["low"] < 0.1 < risen["high"]
    assert risen["ratio"] == pytest.approx(3, rel=0.02)
    assert rows[1]["low"] < 0 < rows[1]["high"]
    by_filter = movers(events, NOW, by="filter_name", limit=1)
    assert by_filter["filter_name"].to_list() == ["risen"]
    assert by_filter["rule_id"].to_list() == [None]


def test_a_rule_that_logs_its_passes_has_its_own_denominator(events: EventStore) -> None:
    checks = [
        {"request_id": f"{n}-{rule}", "ts": START + HOUR, "rule_id": rule, "triggered": n < 2}
        for n in range(10)
        for rule in ("x", "y")
    ]
    add(events, checks=checks)
    assert movers(events, NOW)["evaluated"].to_list() == [10, 10]


def test_no_window_before_means_no_movers(events: EventStore) -> None:
    traffic(events, before=(1, 10), now=(9, 10))
    assert movers(events, Query()).is_empty()
    assert movers(events, Query(since=START + 5 * HOUR)).is_empty()
    open_end = movers(events, Query(since=START + HOUR), by="filter_name")
    assert open_end["triggered"].to_list() == [9]


def test_a_window_that_starts_within_a_minute_is_cut_there(events: EventStore) -> None:
    """It ends, and the one before it starts, with a whole minute: the rollups could answer for both together, not for each."""
    half = timedelta(seconds=30)
    middle = START + HOUR + half
    rows = [
        {"request_id": str(n), "ts": middle + offset, "triggered": n == 0}
        for n, offset in enumerate((-half, -timedelta(seconds=1), timedelta(0), half - timedelta(seconds=1), half))
    ]
    add(events, checks=rows)
    query = Query(since=middle, until=middle + HOUR + half)
    (row,) = movers(events, query, by="filter_name").to_dicts()
    assert (row["evaluated_before"], row["triggered_before"]) == (2, 1)
    assert (row["evaluated"], row["triggered"]) == (3, 0)


def test_nothing_changed_needs_nobody(events: EventStore) -> None:
    assert compute_headline(events, NOW, at=START + 2 * HOUR) == []
    traffic(events, before=(100, 2000), now=(105, 2000), rule="kw-1")
    assert compute_headline(events, NOW, at=START + 2 * HOUR) == []
    assert summarize([]) == NOTHING


def test_a_rule_that_moved_is_named_instead_of_its_filter(events: EventStore) -> None:
    traffic(events, before=(20, 2000), now=(62, 2000), name="keyword", rule="kw-113")
    (finding,) = compute_headline(events, NOW, at=START + 2 * HOUR)
    assert (finding.kind, finding.filter_name, finding.rule_id) == (Kind.MOVED, "keyword", "kw-113")
    assert Name("kw-113") in finding.parts
    assert finding.sentence() == (
        "rule kw-113 of keyword fires 3.0x as often as in the window before (3.10% now, 1.00% before, n 2,000)"
    )
    assert finding.evidence["ratio_low"] > 1.25
    assert summarize([finding]) == "One thing needs a person."


def test_a_real_but_small_change_is_no_finding(events: EventStore) -> None:
    traffic(events, before=(5000, 20_000), now=(5600, 20_000))
    row = movers(events, NOW, by="filter_name").row(0, named=True)
    assert row["low"] > 0
    assert compute_headline(events, NOW, at=START + 2 * HOUR) == []


def test_a_silent_filter_is_found_while_it_still_runs(events: EventStore) -> None:
    traffic(events, before=(60, 1200), now=(60, 1200), name="llama-guard")
    events.write(
        lambda connection: connection.execute(
            "UPDATE check_rollup SET triggered = 0 WHERE minute >= ?", [START + HOUR + timedelta(minutes=20)]
        )
    )
    findings = compute_headline(events, NOW, at=START + 2 * HOUR)
    silent = [finding for finding in findings if finding.kind is Kind.SILENT]
    assert [finding.filter_name for finding in silent] == ["llama-guard"]
    assert silent[0].sentence() == "llama-guard has not triggered for 40 min; 40 triggers expected"
    assert findings[0] == silent[0]


def test_a_filter_that_stopped_is_not_called_silent(events: EventStore) -> None:
    traffic(events, before=(60, 1200), now=(60, 1200), name="steady")
    traffic(events, before=(60, 1200), now=(60, 1200), name="gone")
    events.write(
        lambda connection: connection.execute(
            "DELETE FROM check_rollup WHERE filter_name = 'gone' AND minute >= ?", [START + HOUR]
        )
    )
    (finding,) = [f for f in compute_headline(events, NOW, at=START + 2 * HOUR) if f.filter_name == "gone"]
    assert finding.kind is Kind.STOPPED
    assert finding.sentence() == "gone has not run for 1 h; 1,200 checks expected"


def test_rare_triggers_make_no_silence(events: EventStore) -> None:
    traffic(events, before=(2, 1000), now=(1, 1000))
    assert compute_headline(events, NOW, at=START + 2 * HOUR) == []
    assert chance_of_none(3, 1000, 300) > 0.2
    assert chance_of_none(100, 1000, 300) < 1e-9


def test_waiting_escalations_and_lagging_sources(events: EventStore) -> None:
    times = [START + n * timedelta(minutes=1) for n in range(6)]
    ingests = pl.DataFrame(
        [{"ingest_id": n, "ingested_at": at, "source": source} for n, at in enumerate(times) for source in ("<b>", "x")]
    )
    later = ingests.filter(pl.col("source") == "x").with_columns(ingested_at=pl.col("ingested_at") + 2 * HOUR)
    names = ", ".join(ingests.columns)

    def work(connection: Any) -> None:
        connection.register("batch", pl.concat([ingests, later]))
        connection.execute(f"INSERT INTO {INGESTS.name} ({names}) SELECT {names} FROM batch")

    events.write(work)
    add(events, checks=[{"request_id": "a", "ts": START + 2 * HOUR, "triggered": False}], ingest_id=99)
    query = Query(since=START - HOUR, until=START + 3 * HOUR)
    findings = compute_headline(events, query, at=START + timedelta(hours=2, minutes=10), waiting=Waiting(2, 1080.0))
    assert [finding.kind for finding in findings] == [Kind.LAGGING, Kind.WAITING]
    assert (findings[0].source, findings[0].parts[1]) == ("<b>", Name("<b>"))
    assert findings[0].sentence() == "source <b> has sent nothing for 2 h 5 min"
    assert findings[1].sentence() == "2 escalations wait for a person, the oldest for 18 min"
    assert summarize(findings) == "2 things need a person."


def test_freshness_has_a_row_per_source(events: EventStore) -> None:
    assert freshness(events).is_empty()
    add(
        events,
        checks=[
            {"request_id": "a", "triggered": True, "source": "live"},
            {"request_id": "b", "status": "error", "ts": START + HOUR, "source": "live"},
        ],
        quarantine=[{"source": "test"}],
    )
    rows = {row["source"]: row for row in freshness(events).to_dicts()}
    assert list(rows) == ["test"]
    assert (rows["test"]["last_event_at"], rows["test"]["rejected"]) == (START + HOUR, 1)
    add(events, checks=[{"request_id": "c", "triggered": True}, {"request_id": "d", "status": "error"}], ingest_id=2)
    (row,) = freshness(events).to_dicts()
    assert (row["checks"], row["errors"], row["evaluated_share"], row["format"]) == (2, 1, 0.5, "filter_log")
    assert row["last_ingest_at"] == START


def test_scores_are_counted_by_version_with_their_threshold(events: EventStore) -> None:
    scores = [
        (0.0, "1"),
        (0.04, "1"),
        (0.05, "1"),
        (1.0, "1"),
        (-3.0, "2"),
        (7.0, "2"),
        (None, "2"),
        (float("nan"), "2"),
    ]
    add(
        events,
        checks=[
            {
                "request_id": str(n),
                "score": score,
                "filter_version": version,
                "threshold": 0.5 if version == "1" else None,
                "triggered": (score or 0) >= 0.5,
            }
            for n, (score, version) in enumerate(scores)
        ],
        labels=[{"request_id": "3", "harmful": True}, {"request_id": "0", "harmful": False}],
    )
    rows = score_histogram(events, Query(), bins=20)
    first = rows.filter(pl.col("filter_version") == "1")
    assert first["bin"].to_list() == [0, 1, 19]
    assert first["checks"].to_list() == [2, 1, 1]
    assert (first["low"][1], first["high"][1]) == pytest.approx((0.05, 0.1))
    assert first["threshold"].to_list() == [0.5] * 3
    assert (first["harmful"].to_list(), first["benign"].to_list()) == ([0, 0, 1], [1, 0, 0])
    second = rows.filter(pl.col("filter_version") == "2")
    assert (second["low"].min(), second["high"].max(), second["checks"].sum()) == (-3, 7, 2)
    assert rows.schema == score_histogram(events, Query(until=START)).schema


def test_the_overview_holds_both_windows(events: EventStore) -> None:
    traffic(events, before=(50, 1000), now=(100, 1000))
    add(
        events,
        turns=[
            {"request_id": "a", "ts": START + HOUR, "outcome": "human_escalation"},
            {"request_id": "b", "ts": START + HOUR, "outcome": "pass"},
            {"request_id": "c", "ts": START, "outcome": "pass"},
        ],
        checks=[
            {"request_id": "a", "ts": START + HOUR, "triggered": True, "mode": mode} for mode in ("shadow", "enforce")
        ]
        + [{"request_id": "b", "ts": START + HOUR, "triggered": True, "mode": "shadow"}],
        labels=[{"request_id": turn, "harmful": False, "inclusion_probability": 1.0} for turn in "ab"],
        ingest_id=9,
    )
    tiles = compute_overview(events, NOW)
    assert (tiles.turns, tiles.turns_before, tiles.escalated, tiles.escalated_before) == (2, 1, 1, 0)
    assert tiles.trigger_rate["numerator"] == 103
    assert tiles.trigger_rate_before is not None
    assert tiles.trigger_rate_before["estimate"] == 0.05
    assert tiles.trigger_change is not None
    assert tiles.trigger_change.low is not None
    assert tiles.trigger_change.low > 0
    assert (tiles.reviewed, tiles.wrong_block_share["numerator"]) == (1, 1)
    assert tiles.outcomes["turns"].sum() == 2
    counts, filters = measure_coverage(events, NOW)
    assert counts == compute_coverage(events.backend(), NOW)
    assert (counts["checks"], filters.columns) == (1003, ["filter_name", "due", "ran"])
    whole = compute_overview(events, Query())
    assert (whole.turns, whole.turns_before, whole.trigger_change) == (3, None, None)


def test_the_overview_parts_its_windows_where_no_minute_starts(events: EventStore) -> None:
    seconds = (-61, -60, -31, -30, -1, 0, 29, 30, 59, 60)
    moments = {f"t{second}": START + timedelta(seconds=second) for second in seconds}
    add(
        events,
        turns=[{"request_id": name, "ts": ts, "outcome": "human_escalation"} for name, ts in moments.items()],
        checks=[{"request_id": name, "ts": ts, "filter_name": "f", "triggered": True} for name, ts in moments.items()],
    )
    for length, now, before in ((timedelta(minutes=1), 4, 4), (timedelta(seconds=30), 2, 2)):
        tiles = compute_overview(events, Query(since=START, until=START + length))
        assert (tiles.turns, tiles.turns_before, tiles.escalated, tiles.escalated_before) == (now, before, now, before)
        assert tiles.trigger_rate_before is not None
        assert (tiles.trigger_rate["numerator"], tiles.trigger_rate_before["denominator"]) == (now, before)
