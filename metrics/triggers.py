"""How often filters fire."""

from __future__ import annotations

import polars as pl
from ibis.backends import BaseBackend

from metrics.additive import check_counts, total
from metrics.estimate import wilson
from metrics.events import fetch
from metrics.query import CHECK_DIMENSIONS, TURN_DIMENSIONS, Query
from metrics.report import Report

_COUNTS = ("evaluated", "triggered", "errors", "not_run", "undecided", "hits")


def compute(backend: BaseBackend, query: Query) -> pl.DataFrame:
    """Counts of checks and the trigger rate, a row per group; exactly one row without `by`."""
    table = check_counts(backend, query)
    counts = table.aggregate(by=list(query.by), **{name: total(table, name) for name in _COUNTS})
    rows = fetch(backend, counts)
    if query.by:
        rows = rows.sort(query.by, nulls_last=True)
    rate = wilson(
        rows,
        numerator="triggered",
        denominator="evaluated",
        min_sample=query.min_sample,
        confidence=query.confidence,
    )
    return rows.select(*query.by, *_COUNTS, rate.alias("trigger_rate"))


REPORT = Report(
    key="triggers",
    title="Triggers",
    unit="check",
    better="neither",
    description="How often filters fire: triggered / evaluated. Errored, skipped and undecided checks leave the "
    "denominator and are counted apart.",
    source="Wilson (1927) for the interval.",
    columns={
        "evaluated": "checks that ran and decided",
        "triggered": "checks that fired",
        "errors": "checks that failed; neither pass nor trigger",
        "not_run": "checks that were skipped; neither pass nor trigger",
        "undecided": "checks with a score and no threshold; neither pass nor trigger",
        "hits": "checks that fired, in logs that name only what fired: counted, but in no rate",
        "trigger_rate": "triggered / evaluated",
    },
    dimensions=(*CHECK_DIMENSIONS, *TURN_DIMENSIONS, "hour", "day"),
    compute=compute,
)
