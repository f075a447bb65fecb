"""How complete the data of a window is: of the whole of it, and filter by filter."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
from ibis.backends import BaseBackend

from core.events import EventStore
from metrics.additive import CHECK_COUNTS, TURN_COUNTS, check_counts, total, turn_counts
from metrics.due import count_due
from metrics.estimate import wilson
from metrics.events import fetch
from metrics.query import TIME_DIMENSIONS, TURN_DIMENSIONS, Query
from metrics.report import Report

Counts = dict[str, int | float | None]


def measure_coverage(events: EventStore, query: Query) -> tuple[Counts, pl.DataFrame]:
    """`compute_coverage`, and the rows of `metrics.due.count_due` that its shares of filters are made of."""
    return _measure(events.backend(), query)


def compute_coverage(backend: BaseBackend, query: Query) -> Counts:
    """Counts of the query's window. Filters do not narrow it: what is missing cannot be filtered.

    Returns:
        turns; checks; errors and not_run (checks that gave no verdict); orphans (turns known only from their
        checks); rejected (open quarantine records of the ingests whose events overlap the window, or that were
        rejected within it where an ingest stored no event); evaluated_share (checks that decided / checks, null
        without checks).
    """
    return _measure(backend, query)[0]


def _measure(backend: BaseBackend, query: Query) -> tuple[Counts, pl.DataFrame]:
    window = replace(query, by=(), filters=())
    check_table, turn_table = check_counts(backend, window), turn_counts(backend, window)
    checks = fetch(backend, check_table.aggregate(**{name: total(check_table, name) for name in CHECK_COUNTS})).row(
        0, named=True
    )
    turns = fetch(backend, turn_table.aggregate(**{name: total(turn_table, name) for name in TURN_COUNTS})).row(
        0, named=True
    )
    count = checks["evaluated"] + checks["errors"] + checks["not_run"] + checks["undecided"] + checks["hits"]
    asked = count - checks["hits"]
    filters = count_due(backend, window)
    due, ran = int(filters["due"].sum()), int(filters["ran"].sum())
    counts: Counts = {
        "turns": turns["turns"],
        "checks": count,
        "errors": checks["errors"],
        "not_run": checks["not_run"],
        "orphans": turns["orphans"],
        "rejected": _rejected(backend, window),
        "evaluated_share": checks["evaluated"] / asked if asked else None,
        "due": due,
        "ran": ran,
        "ran_share": ran / due if due else None,
    }
    return counts, filters


def _rejected(backend: BaseBackend, query: Query) -> int:
    table = backend.table("quarantine")
    table = table.filter(table.state == "open").select("ingest_id", "rejected_at")
    ingests = backend.table("ingests").select("ingest_id", "first_event_at", "last_event_at")
    table = table.left_join(ingests, "ingest_id").drop("ingest_id_right")
    table = table.mutate(
        first=table.first_event_at.coalesce(table.rejected_at),
        last=table.last_event_at.coalesce(table.rejected_at),
    )
    if query.since is not None:
        table = table.filter(table["last"] >= query.since)
    if query.until is not None:
        table = table.filter(table["first"] < query.until)
    return int(fetch(backend, table.aggregate(rejected=table.count())).item())


def compute(backend: BaseBackend, query: Query) -> pl.DataFrame:
    """Coverage of each filter that was due, a row per group and filter."""
    rows = count_due(backend, query)
    share = wilson(rows, numerator="ran", denominator="due", min_sample=query.min_sample, confidence=query.confidence)
    return rows.with_columns(missed=pl.col("due") - pl.col("ran"), coverage=share).select(*query.by, *REPORT.columns)


REPORT = Report(
    key="coverage",
    title="Coverage",
    unit="turn",
    better="higher",
    description="On how many of the turns that it was due on each filter ran. It is due on the turns of a model and an application where it ran on "
    "half or more of those that it could have run on, in the window or the one before; a turn that was stopped may have ended before it. Runs in "
    "shadow mode do not count, and neither do checks that failed or were skipped.",
    source="Counts; Wilson (1927) for the interval.",
    columns={
        "filter_name": "the filter",
        "due": "turns that it was due on",
        "ran": "of them, turns on which it ran, with a verdict or a score",
        "missed": "of them, turns on which it failed, was skipped, or logged nothing",
        "coverage": "ran / due",
    },
    dimensions=(*TURN_DIMENSIONS, *TIME_DIMENSIONS),
    compute=compute,
)
