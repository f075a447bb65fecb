"""How much traffic a shift or a silence needs to be seen at once: `python -m benchmarks.alert_power [RUNS]`.

One filter that triggers on 2 % of its checks, with the demo's rhythm of the day and hits that come in clumps, for four
weeks; then its rate is multiplied. The shipped rules look at it hour by hour.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from core.events import Connection, EventStore
from core.records import RecordStore
from core.settings import DEFAULT_ALERTS, AlertRule, Settings
from incidents import MIGRATIONS
from incidents.alerts.replay import Replayed, replay_alerts
from ingest.schema import create_tables

HOUR = timedelta(hours=1)
HISTORY = 28 * 24
FAULT_AT = datetime.fromisoformat("2026-03-02T08:00:00")
RATE = 0.02
# Hits of one conversation come together: variance 1.5 times the binomial one, as in the demo.
CLUMP = 1.5
RATE_HOUR, SILENCE = (next(rule for rule in DEFAULT_ALERTS if rule.name == name) for name in ("rate-hour", "silence"))
SHIFTS = (100, 200, 400, 800, 1600, 3200)
SILENCES = (5, 10, 15, 20, 30, 40)

_COUNTS = """INSERT INTO check_rollup BY NAME
SELECT minute, 'guard' AS filter_name, '1' AS filter_version, 'guard_llm' AS layer, 'output' AS stage,
    'enforce' AS mode, 'log' AS source, evaluated, triggered, triggered AS enforced, 0 AS errors, 0 AS not_run,
    0 AS undecided FROM hours"""
# A rise rests on conversations, which the rollup does not know.
_CHECKS = """INSERT INTO checks BY NAME
SELECT uuid() AS check_id, minute AS ts, uuid()::VARCHAR AS request_id, 'guard' AS filter_name, '1' AS filter_version,
    'guard_llm' AS layer, 'output' AS stage, 'enforce' AS mode, 'ok' AS status, true AS triggered, 'log' AS source,
    1 AS ingest_id FROM hours, range(triggered) WHERE minute >= $since"""


def simulate_hours(per_hour: float, *, factors: Sequence[float], seed: int) -> pl.DataFrame:
    """minute (start of the hour), evaluated, triggered: four weeks, then hours at a multiple of the rate.

    Args:
        per_hour: Triggers in an average hour.
        factors: Multiples, one for each hour from `FAULT_AT` on.
        seed: Of the chance.
    """
    starts = [FAULT_AT + (number - HISTORY) * HOUR for number in range(HISTORY + len(factors))]
    rhythm = 1 + 0.6 * np.sin((np.array([start.hour for start in starts]) - 8) / 12 * np.pi)
    evaluated = np.round(per_hour / RATE * rhythm).astype(np.int64)
    expected = np.maximum(evaluated * RATE * np.concatenate([np.ones(HISTORY), factors]), 1e-9)
    # A negative binomial with so many times the variance of Poisson's.
    drawn = np.random.default_rng(seed).negative_binomial(expected / (CLUMP - 1), 1 / CLUMP)
    return pl.DataFrame({"minute": starts, "evaluated": evaluated, "triggered": np.minimum(drawn, evaluated)})


def replay_hours(rule: AlertRule, hours: pl.DataFrame) -> list[Replayed]:
    """What a rule raises over the hours of `simulate_hours`, from a day before `FAULT_AT` on."""

    def store(connection: Connection) -> None:
        connection.register("hours", hours.to_arrow())
        connection.execute(_COUNTS)
        connection.execute(_CHECKS, {"since": FAULT_AT - 24 * HOUR})

    with open_stores() as (events, records):
        events.write(store)
        until = hours["minute"].to_list()[-1] + HOUR
        return replay_alerts(events, records, rules=[rule], since=FAULT_AT - 24 * HOUR, until=until)


@contextmanager
def open_stores() -> Iterator[tuple[EventStore, RecordStore]]:
    """Empty stores in a folder that goes away."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(home=Path(folder))
        events, records = EventStore(settings.events_path, threads=1), RecordStore(settings.records_url)
        try:
            create_tables(events)
            records.upgrade(MIGRATIONS)
            yield events, records
        finally:
            records.close()
            events.close()


def measure(rule: AlertRule, per_hour: float, *, factor: float, windows: int, runs: int) -> float:
    """Share of runs in which the rule fires within so many windows of the fault."""
    fired = 0
    for seed in range(runs):
        hours = simulate_hours(per_hour, factors=[factor] * windows, seed=seed)
        fired += any(alarm.fired_at > FAULT_AT for alarm in replay_hours(rule, hours))
    return fired / runs


def main() -> None:
    """Prints two tables."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    print(f"| triggers an hour | 1.25x | 0.8x | fired within two windows, of {runs} runs |\n|---|---|---|---|")
    for per_hour in SHIFTS:
        up, down = (measure(RATE_HOUR, per_hour, factor=factor, windows=2, runs=runs) for factor in (1.25, 0.8))
        print(f"| {per_hour:,} | {up:.0%} | {down:.0%} |", flush=True)
    print("| triggers an hour | fired within one window |\n|---|---|")
    for per_hour in SILENCES:
        print(f"| {per_hour} | {measure(SILENCE, per_hour, factor=0, windows=1, runs=runs):.0%} |", flush=True)


if __name__ == "__main__":
    main()
