"""How long checks take."""

from __future__ import annotations

import polars as pl
from ibis.backends import BaseBackend

from metrics.events import checks, fetch
from metrics.query import CHECK_DIMENSIONS, TURN_DIMENSIONS, Query
from metrics.report import Report

_QUANTILES = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99}


def compute(backend: BaseBackend, query: Query) -> pl.DataFrame:
    """Latency quantiles of checks that logged one, a row per group; exactly one row without `by`."""
    table = checks(backend, query)
    groups = table.aggregate(
        by=list(query.by),
        **{name: table.latency_ms.quantile(level).cast("float64") for name, level in _QUANTILES.items()},
        errors=(table.status == "error").fill_null(False).cast("int64").sum().fill_null(0).cast("int64"),
        measured=table.latency_ms.count(),
    )
    rows = fetch(backend, groups).select(*query.by, *_QUANTILES, "errors", "measured")
    return rows.sort(query.by, nulls_last=True) if query.by else rows


REPORT = Report(
    key="latency",
    title="Latency",
    unit="check",
    better="lower",
    description="Quantiles of the time that checks took, errored ones included where their time was logged.",
    source="Sample quantiles with linear interpolation.",
    columns={
        "p50_ms": "median, milliseconds; null when no check logged its time",
        "p95_ms": "95th percentile, milliseconds",
        "p99_ms": "99th percentile, milliseconds",
        "errors": "checks that failed",
        "measured": "checks that logged their time",
    },
    dimensions=(*CHECK_DIMENSIONS, *TURN_DIMENSIONS, "hour", "day"),
    compute=compute,
)
