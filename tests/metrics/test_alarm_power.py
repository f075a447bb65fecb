"""What rules about rates can see: long windows, how triggers clump, and the promised power."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from scipy.stats import betabinom

from core.clock import EPOCH
from core.events import Connection, EventStore
from metrics.alarms.grid import COUNTS, DAY_S, KEYS, WEEK_S, Grid, build_grid, list_ends
from metrics.alarms.power import POWER, Prediction, find_detectable, find_power
from metrics.alarms.rates import judge_rate_change
from metrics.estimate import Floats
from metrics.query import Query

MONDAY = datetime(2026, 3, 2)
_PUT = """INSERT INTO check_rollup BY NAME
SELECT $end::TIMESTAMP - to_hours(i::INTEGER) AS minute, 'guard' AS filter_name, 'enforce' AS mode, 'log' AS source,
    100 AS evaluated, CASE WHEN i % 2 = 0 THEN 4 ELSE 0 END AS triggered, 0 AS enforced, 0 AS errors, 0 AS not_run,
    0 AS undecided FROM range(1, $hours + 1) t(i)"""


def test_weeks_end_on_mondays_and_days_at_midnight() -> None:
    ends = list_ends(MONDAY - timedelta(days=15), MONDAY + timedelta(hours=1), window_s=WEEK_S)
    assert ends == [MONDAY - timedelta(days=14), MONDAY - timedelta(days=7), MONDAY]
    days = list_ends(MONDAY - timedelta(hours=1), MONDAY + timedelta(days=1), window_s=DAY_S)
    assert days == [MONDAY, MONDAY + timedelta(days=1)]


def test_a_week_is_the_sum_of_its_hours_and_knows_from_them_how_triggers_clump(events: EventStore) -> None:
    def work(connection: Connection) -> None:
        connection.execute(_PUT, {"end": MONDAY, "hours": 35 * 24})

    events.write(work)
    week, hour = (
        build_grid(events.backend(), Query(), [MONDAY], window_s=width, rules=False) for width in (WEEK_S, 3600)
    )
    (judged,) = week.judged
    assert (week.counts["triggered"][0, judged], week.counts["evaluated"][0, judged]) == (7 * 24 * 2, 7 * 24 * 100)
    # The weeks and days are all alike, which so few do not prove: by the hour triggers come four at a time.
    by_week, by_hour = (grid.baseline().dispersion[0, grid.judged[-1]] for grid in (week, hour))
    assert by_hour > 3
    assert 1.5 < by_week < by_hour


@pytest.mark.parametrize(("factor", "in_a_row"), [(1.25, 1), (0.8, 1), (1.35, 2)])
def test_the_foreseen_power_is_the_share_of_simulated_shifts_that_breach(factor: float, in_a_row: int) -> None:
    rng, runs, trials = np.random.default_rng(1), 4000, 100_000
    expected, chance = 300.0, 0.02
    past = rng.poisson(expected, (4, runs)).astype(float)
    breached = []
    for _window in range(2):
        now = rng.poisson(factor * expected, runs).astype(float)
        hits, tried = past.sum(axis=0), 4.0 * trials
        lower = betabinom.cdf(now, trials, hits + 0.5, tried - hits + 0.5)
        upper = betabinom.sf(now - 1, trials, hits + 0.5, tried - hits + 0.5)
        breached.append(2 * np.minimum(lower, upper) < chance)
        past = np.vstack([past[1:], now])
    seen = np.logical_or(*breached) if in_a_row == 1 else np.logical_and(*breached)
    foreseen = Prediction(np.array([expected]), np.array([4 * expected]))
    power = find_power(foreseen, factor=factor, chance=np.array([chance]), in_a_row=in_a_row)
    assert power[0] == pytest.approx(seen.mean(), abs=0.04)


def test_the_detectable_rise_has_the_promised_power_and_falls_with_traffic() -> None:
    expected = np.array([1.0, 30.0, 300.0, 3000.0, 100_000.0])
    foreseen, chance = Prediction(expected, 4 * expected), np.full(5, 0.01)
    found = find_detectable(foreseen, effect=1.25, chance=chance, in_a_row=1)
    assert list(found) == sorted(found, reverse=True)
    assert found[-1] == 1.25
    power = find_power(foreseen, factor=found, chance=chance, in_a_row=1)
    assert power[:2] == pytest.approx(POWER, abs=0.001)
    assert np.isnan(find_detectable(Prediction(np.zeros(1), np.zeros(1)), effect=1.25, chance=chance[:1], in_a_row=1))


def one_busy_filter(now: float) -> Grid:
    """Five weeks of a filter that triggers 450 times a week, and of 130 rules that trigger once."""
    subjects = pl.DataFrame(
        {"filter_name": ["busy", *["list"] * 130], "rule_id": [None, *map(str, range(130))]},
        schema=dict.fromkeys(KEYS, pl.String),
    )
    hits = np.ones((131, 5))
    hits[0] = [450, 450, 450, 450, now]
    starts = (MONDAY - EPOCH).total_seconds() - WEEK_S * np.arange(5.0, 0, -1)
    counts: dict[str, Floats] = {name: np.zeros((131, 5)) for name in COUNTS} | {
        "triggered": hits,
        "evaluated": np.full((131, 5), 14_000.0),
    }
    return Grid(subjects, starts, WEEK_S, np.array([4]), counts)


def test_rules_that_trigger_seldom_take_no_power_from_the_filter_that_a_window_can_tell() -> None:
    def judge(now: float) -> dict[str, object]:
        conversations = pl.DataFrame(
            {
                "filter_name": ["busy"],
                "rule_id": [None],
                "bucket": [MONDAY - timedelta(days=7)],
                "conversations": [now],
            },
            schema_overrides={"rule_id": pl.String},
        )
        rows = judge_rate_change(
            one_busy_filter(now), effect=1.25, chance=0.1, in_a_row=1, find_conversations=lambda: conversations
        )
        return rows.row(0, named=True)

    # A p-value of 0.4 % is below half of 10 %, and above a 131st of it.
    rose = judge(525)
    assert rose["filter_name"] == "busy"
    assert 0.1 / 131 < rose["p_value"] < 0.05
    assert rose["is_breached"] is True
    assert rose["detectable"] == 1.25
    assert judge(460)["is_breached"] is False
