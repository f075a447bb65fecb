"""Query time of the Overview's parts on synthetic stores: `python -m benchmarks.overview [CHECKS]...`.

Fills a store with checks of a four-layer cascade spread over 90 days, straight in SQL and day by day, with the rollups
that ingest keeps (one row per minute and key and batch), then times every part, the markers of changes among them, for
a day, for thirty and for ninety. Each figure is the best of three; the first call in the process, which loads
libraries, is not counted.
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from core.events import Connection, EventStore
from ingest.schema import CHECK_ROLLUP, CHECKS, LABELS, TURN_ROLLUP, TURNS, create_tables
from ingest.schema import Table as StoreTable
from metrics.changes import list_moments
from metrics.headline import compute_headline
from metrics.movers import movers
from metrics.overview import compute_overview
from metrics.query import Query
from metrics.run import run_report
from metrics.series import trigger_series
from metrics.survey import warm_up

DAYS = 90
END = datetime(2026, 3, 2)  # noqa: DTZ001  times are naive UTC throughout
CHECKS_PER_TURN = 4
CHANGED_BEFORE = timedelta(hours=6)
BATCHES = 10
WINDOWS = {"24 h": timedelta(days=1), "30 d": timedelta(days=30), "90 d": timedelta(days=90)}
_LAYERS = "['keyword', 'classifier', 'guard_llm', 'refinement']"

_TURNS = f"""
    SELECT 'request-' || i AS request_id, $start + to_microseconds(CAST(i * $step AS BIGINT)) AS ts,
        'conversation-' || (i // 3) AS conversation_id, 'model-' || (i % 2) AS model,
        CASE WHEN i < $turns // 2 THEN '1' ELSE '2' END AS model_version, 'app-' || (i % 3) AS app,
        CASE WHEN i % 1000 = 0 THEN 'human_escalation' WHEN i % 25 = 0 THEN 'refusal' ELSE 'pass' END AS outcome,
        true AS is_logged, i % {BATCHES} AS ingest_id, false AS is_stopped,
        CASE WHEN i % 100 = 0 THEN '["classifier-filter","guard_llm-filter","keyword-filter"]'
             ELSE '["classifier-filter","guard_llm-filter","keyword-filter","refinement-filter"]' END AS filters
    FROM range($first, $last) t(i)"""
_CHECKS = f"""
    SELECT md5(request_id || layer)::UUID AS check_id, ts, request_id, conversation_id, layer, 'input' AS stage,
        layer || '-filter' AS filter_name, CASE WHEN ts < $change THEN '1' ELSE '2' END AS filter_version,
        'policy' AS policy_id, CASE WHEN ts < $change THEN '1' ELSE '2' END AS policy_version, 'enforce' AS mode,
        status, status = 'ok' AND draw < 40 AS triggered,
        CASE WHEN status = 'ok' AND draw < 40 THEN 'rule-' || draw END AS rule_id,
        CASE WHEN status <> 'ok' OR draw >= 40 THEN 'allow' WHEN draw = 0 THEN 'escalate' ELSE 'block' END AS decision,
        true AS enforced,
        draw / 1000.0 AS score, 0.96 AS threshold, CAST(draw AS DOUBLE) AS latency_ms, 'bench' AS source, ingest_id
    FROM (SELECT *, CASE WHEN hash(request_id, layer, 1) % 500 = 0 THEN 'error' ELSE 'ok' END AS status,
              hash(request_id, layer) % 1000 AS draw
          FROM (SELECT *, unnest({_LAYERS}) AS layer FROM turns WHERE ts >= $since AND ts < $until))"""
_CHECK_ROLLUP = """
    SELECT date_trunc('minute', ts) AS minute, filter_name, filter_version, layer, stage, mode, rule_id, category, model,
        source, count(*) FILTER (status = 'ok') AS evaluated, count(*) FILTER (triggered) AS triggered,
        count(*) FILTER (triggered AND enforced) AS enforced, count(*) FILTER (status = 'error') AS errors,
        0 AS not_run, 0 AS undecided
    FROM checks WHERE ts >= $since AND ts < $until
    GROUP BY minute, filter_name, filter_version, layer, stage, mode, rule_id, category, model, source, ingest_id
    ORDER BY minute"""
_TURN_ROLLUP = """
    SELECT date_trunc('minute', ts) AS minute, outcome, model, app, language, filters, count(*) AS turns, 0 AS orphans,
        0 AS stopped, count(*) FILTER (is_escalated OR outcome = 'human_escalation') AS escalated
    FROM turns WHERE ts >= $since AND ts < $until
    GROUP BY minute, outcome, model, app, language, filters, ingest_id ORDER BY minute"""
_LABELS = """
    SELECT md5(request_id)::UUID AS label_id, ts, request_id, 'reviewer' AS reviewer, hash(request_id) % 5 = 0 AS harmful,
        'sample' AS selection, 'stratum-' || outcome AS stratum, 0.01 AS inclusion_probability
    FROM turns WHERE hash(request_id, 2) % greatest($turns // 20000, 1) = 0"""


def fill(events: EventStore, checks: int) -> None:
    """Stores `checks` checks, their turns, 20,000 reviews and the rollups; a day at a time, which bounds the memory."""
    create_tables(events)
    turns = checks // CHECKS_PER_TURN
    step = timedelta(days=DAYS) / timedelta(microseconds=1) / turns
    start = END - timedelta(days=DAYS)
    for day in range(DAYS):
        events.write(partial(_fill_day, start=start, step=step, turns=turns, day=day))
    events.write(partial(_insert, table=LABELS, select=_LABELS, parameters={"turns": turns}))
    events.checkpoint()


def _fill_day(connection: Connection, *, start: datetime, step: float, turns: int, day: int) -> None:
    first, last = (-(-turns * edge // DAYS) for edge in (day, day + 1))
    _insert(connection, TURNS, _TURNS, {"start": start, "step": step, "first": first, "last": last, "turns": turns})
    window = {"since": start + timedelta(days=day), "until": start + timedelta(days=day + 1)}
    _insert(connection, CHECKS, _CHECKS, window | {"change": END - CHANGED_BEFORE})
    _insert(connection, CHECK_ROLLUP, _CHECK_ROLLUP, window)
    _insert(connection, TURN_ROLLUP, _TURN_ROLLUP, window)


def _insert(connection: Connection, table: StoreTable, select: str, parameters: dict[str, object]) -> None:
    connection.execute(f"INSERT INTO {table.name} BY NAME {select}", parameters)


def parts(events: EventStore, query: Query, bucket_s: int) -> dict[str, Callable[[], object]]:
    """What is timed, by name."""
    return {
        "overview tiles": lambda: compute_overview(events, query),
        "series by layer": lambda: trigger_series(events, query, by="layer", bucket_s=bucket_s),
        "funnel": lambda: run_report(events, "funnel", query),
        "movers by rule": lambda: movers(events, query, by="rule_id", limit=10),
        "markers": lambda: list_moments(events, query, noted=()),
        "headline": lambda: compute_headline(events, query, at=END),
    }


def best_of_three(work: Callable[[], object]) -> float:
    """Seconds of the fastest of three runs."""
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def measure(checks: int, table: Table) -> None:
    """Adds the rows of one store size."""
    with tempfile.TemporaryDirectory() as folder:
        events = EventStore(Path(folder) / "events.duckdb")
        started = time.perf_counter()
        fill(events, checks)
        filled = time.perf_counter() - started
        for window, length in WINDOWS.items():
            query = Query(since=END - length, until=END)
            bucket_s = 300 if window == "24 h" else 3600
            for name, work in parts(events, query, bucket_s).items():
                table.add_row(f"{checks:,}", window, name, f"{best_of_three(work):.3f}")
        size = events.path.stat().st_size / 2**20
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
        table.add_row(f"{checks:,}", "", "fill s / file MB / peak MB", f"{filled:.1f} / {size:,.0f} / {peak:,.0f}")
        events.close()


def main(sizes: list[int]) -> None:
    """Measures stores of these sizes and prints one table."""
    warm_up()
    table = Table("checks", "window", "part", "seconds")
    for checks in sizes:
        measure(checks, table)
    Console().print(table)
    print(f"Load of the machine after: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores.")


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]] or [1_000_000, 10_000_000])
