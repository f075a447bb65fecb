"""The Overview on synthetic stores, one person and ten at once: `python -m benchmarks.overview [--keep FOLDER] [CHECKS]...`.

Fills a home with checks of a four-layer cascade spread over 90 days, straight in SQL and day by day, with the rollups that ingest
keeps, summed up as housekeeping does; with `--keep` in a folder that is used again. Then it asks for what the page asks for, through the functions that
the page calls, for a day, for thirty and for ninety: every part with nothing cached, the best of three, with the processor time of its process beside it, and the whole page once so and
once as it is redrawn when new data has come. What is kept at hand of reviews stays; its first reading is a row of its own. Ten analysts then redraw at the same moment, all with one view or each with one of their own.
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from threading import Barrier

import numpy as np
import streamlit as st
from streamlit.logger import set_log_level

from core.events import Connection, EventStore
from core.settings import load_settings
from dashboard import data, lists
from dashboard.overview import read_charts, read_tiles
from dashboard.state import View
from incidents.people import Actor, Role
from ingest.judged import refresh_judged
from ingest.rollups import compact_rollups
from ingest.schema import CHECK_ROLLUP, CHECKS, INGESTS, LABELS, TURN_ROLLUP, TURNS, Table, get_data_version
from metrics.movers import movers
from metrics.overview import compute_overview
from metrics.series import trigger_series, turn_series
from metrics.survey import warm_up
from service.home import Home, get_home, open_home, serve_home

DAYS = 90
END = datetime(2026, 3, 2)  # noqa: DTZ001  times are naive UTC throughout
CHECKS_PER_TURN = 4
CHANGED_BEFORE = timedelta(hours=6)
BATCHES = 10
WINDOWS = {"24 h": timedelta(days=1), "30 d": timedelta(days=30), "90 d": timedelta(days=90)}
ACTOR = Actor("analyst", Role.LEAD)
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

_INGESTS = f"""
    SELECT i + 1 AS ingest_id, 'bench' AS source, 'filter_log' AS format, $end::TIMESTAMP AS ingested_at, $start::TIMESTAMP AS first_event_at,
        $end::TIMESTAMP AS last_event_at, 1 AS turn_count, 1 AS check_count, 0 AS read_count, 0 AS duplicate_count, 0 AS reject_count
    FROM range({BATCHES}) t(i)"""


def fill(events: EventStore, checks: int) -> None:
    """Stores `checks` checks, their turns, 20,000 reviews and the rollups; a day at a time, which bounds the memory."""
    turns = checks // CHECKS_PER_TURN
    step = timedelta(days=DAYS) / timedelta(microseconds=1) / turns
    start = END - timedelta(days=DAYS)
    for day in range(DAYS):
        events.write(partial(_fill_day, start=start, step=step, turns=turns, day=day))
    events.write(partial(_insert, table=LABELS, select=_LABELS, parameters={"turns": turns}))
    events.write(partial(_insert, table=INGESTS, select=_INGESTS, parameters={"start": start, "end": END}))
    events.checkpoint()


def _fill_day(connection: Connection, *, start: datetime, step: float, turns: int, day: int) -> None:
    first, last = (-(-turns * edge // DAYS) for edge in (day, day + 1))
    _insert(connection, TURNS, _TURNS, {"start": start, "step": step, "first": first, "last": last, "turns": turns})
    window = {"since": start + timedelta(days=day), "until": start + timedelta(days=day + 1)}
    _insert(connection, CHECKS, _CHECKS, window | {"change": END - CHANGED_BEFORE})
    _insert(connection, CHECK_ROLLUP, _CHECK_ROLLUP, window)
    _insert(connection, TURN_ROLLUP, _TURN_ROLLUP, window)


def _insert(connection: Connection, table: Table, select: str, parameters: dict[str, object]) -> None:
    connection.execute(f"INSERT INTO {table.name} BY NAME {select}", parameters)


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds on the clock, and of the processor."""

    wall_s: float
    cpu_s: float


def measure(work: Callable[[], object], *, before: Callable[[], object] = st.cache_data.clear, times: int = 3) -> Cost:
    """The cheapest of some runs, each after `before`: by default with nothing cached."""
    costs = []
    for _ in range(times):
        before()
        started, used = time.perf_counter(), time.process_time()
        work()
        costs.append(Cost(time.perf_counter() - started, time.process_time() - used))
    return min(costs, key=lambda cost: cost.wall_s)


def arrive() -> None:
    """New data: every answer that may have changed is asked for anew."""
    events = get_home().events
    version = get_data_version(events) + 1
    events.write(
        partial(
            _insert,
            table=INGESTS,
            select="SELECT $id AS ingest_id, $at::TIMESTAMP AS ingested_at",
            parameters={"id": version, "at": END},
        )
    )


def show(window: timedelta, **filters: tuple[str, ...]) -> View:
    """The view of a window that ends with the store."""
    return View(window="custom", since=END - window, until=END, **filters)


def refresh(view: View) -> None:
    """Everything that a refresh of the page asks for: the bar, the tiles, the charts."""
    data.coverage(data.build_query(view))
    data.read(lists.list_flowing)
    draw(view)


def draw(view: View) -> None:
    query = data.build_query(view)
    read_tiles(view, query, actor=ACTOR)
    read_charts(view, query)


def parts(view: View) -> dict[str, Callable[[], object]]:
    """What is timed, by name. Each part asks anew for what it shares with others."""
    query = data.build_query(view)
    return {
        "tiles, all": lambda: read_tiles(view, query, actor=ACTOR),
        "  counts, rates from reviews": lambda: data.read(compute_overview, query),
        "  rates from reviews before": lambda: data.judge_before(query),
        "  coverage": lambda: data.coverage(query),
        "  series": lambda: (
            data.read(trigger_series, query, by="layer", bucket_s=3600),
            data.read(turn_series, query, bucket_s=3600),
        ),
        "  headline": lambda: data.find_what_needs_a_person(query, []),
        "charts, all": lambda: read_charts(view, query),
        "  cascade": lambda: data.rows("funnel", query),
        "  movers": lambda: data.read(movers, query, by="rule_id", limit=8),
        "  markers": lambda: data.list_markers(query),
    }


ANALYSTS = {
    "one view": [show(WINDOWS["24 h"]) for _ in range(10)],
    "ten views": [
        *(show(WINDOWS["24 h"] - timedelta(hours=place)) for place in range(3)),
        *(show(WINDOWS["24 h"], layer=(layer,)) for layer in ("keyword", "classifier", "guard_llm", "refinement")),
        *(show(WINDOWS["24 h"], app=(f"app-{place}",)) for place in range(3)),
    ],
}
"""Who refreshes at once: everybody looks at the day, or each at a part of it."""


def refresh_together(views: list[View], *, rounds: int) -> list[float]:
    """Seconds that each of ten analysts waits, who refresh at the same moment, again and again."""
    waits: list[float] = []

    def wait(view: View, gate: Barrier) -> float:
        gate.wait()
        started = time.perf_counter()
        refresh(view)
        return time.perf_counter() - started

    with ThreadPoolExecutor(len(views)) as pool:
        for _ in range(rounds):
            arrive()
            gate = Barrier(len(views))
            waits += pool.map(lambda view, gate=gate: wait(view, gate), views)
    return waits


def open_filled(folder: Path, checks: int) -> tuple[AbstractContextManager[Home], float]:
    """A home with so many checks, filled unless it is already; and how long that took."""
    started = time.perf_counter()
    settings = load_settings(folder / str(checks))
    with open_home(settings) as home:
        if get_data_version(home.events) == 0:
            fill(home.events, checks)
            home.events.write(partial(compact_rollups, before=END))
            home.events.checkpoint()
    return open_home(settings), time.perf_counter() - started


def report(folder: Path, checks: int) -> None:
    """Prints the rows of one store size."""
    opening, filled_s = open_filled(folder, checks)
    with opening as home:
        serve_home(home)
        size = home.events.path.stat().st_size / 2**20
        row(checks, "", f"filled in {filled_s:,.0f} s, {size:,.0f} MB")
        cold = measure(lambda: refresh_judged(home.events), times=1)
        row(checks, "", "judged turns, first reading", cold)
        refresh(show(WINDOWS["24 h"]))  # loads libraries
        for window, length in WINDOWS.items():
            for name, work in parts(show(length)).items():
                row(checks, window, name, measure(work))
            row(checks, window, "whole page, first time", measure(partial(refresh, show(length)), times=1))
            row(checks, window, "whole page, on new data", measure(partial(refresh, show(length)), before=arrive))
        for title, views in ANALYSTS.items():
            waits = np.quantile(refresh_together(views, rounds=5), (0.5, 0.95, 0.99))
            row(checks, "24 h", f"10 analysts, {title}: p50 / p95 / p99", " / ".join(f"{wait:.2f}" for wait in waits))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
        row(checks, "", f"peak memory {peak:,.0f} MB")
        serve_home(None)


def row(checks: int, window: str, name: str, cost: Cost | str = "") -> None:
    """Prints a line of the table at once: a run takes long."""
    seconds = f"{cost.wall_s:.3f} | {cost.cpu_s:.3f}" if isinstance(cost, Cost) else f"{cost} |"
    print(f"| {checks:,} | {window} | {name} | {seconds} | {os.getloadavg()[0]:.1f} |", flush=True)


def main(arguments: list[str]) -> None:
    """Measures stores of these sizes."""
    set_log_level("error")  # Streamlit wonders that no server runs
    warm_up()
    print("| checks | window | part | seconds | of processor | load |\n|---:|---|---|---:|---:|---:|")
    with ExitStack() as stack:
        if arguments[:1] == ["--keep"]:
            folder, sizes = Path(arguments[1]), arguments[2:]
        else:
            folder, sizes = Path(stack.enter_context(tempfile.TemporaryDirectory())), arguments
        for checks in sizes or ["1000000", "10000000"]:
            report(folder, int(checks))


if __name__ == "__main__":
    main(sys.argv[1:])
