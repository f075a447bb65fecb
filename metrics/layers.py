"""What each layer of the cascade costs: the time that it adds to a turn, and what becomes of a turn when it fails."""

from __future__ import annotations

import polars as pl
from ibis.backends import BaseBackend

from metrics.events import checks, fetch
from metrics.funnel import enforced_only
from metrics.query import TURN_DIMENSIONS, Query
from metrics.report import Report

LET_THROUGH = ("pass", "modified")
"""Outcomes in which the user got the model's text, whole or changed."""


def compute(backend: BaseBackend, query: Query) -> pl.DataFrame:
    """Turns by layer in cascade order, a row per group and layer that ran."""
    table = checks(backend, enforced_only(query))
    table = table.filter(table.status != "not_run")
    runs = table.group_by(*query.by, "request_id", "layer").agg(
        added_ms=table.latency_ms.sum(), failed=(table.status == "error").cast("int8").max()
    )
    facts = backend.table("turns").select("request_id", ended=backend.table("turns").outcome)
    runs = runs.left_join(facts, "request_id").drop("request_id_right")
    is_failed = runs.failed == 1
    is_open = is_failed & runs.ended.isin(LET_THROUGH)
    is_closed = is_failed & runs.ended.notnull() & runs.ended.notin(LET_THROUGH)
    flags = {"failed": is_failed, "failed_open": is_open, "failed_closed": is_closed}
    rows = fetch(
        backend,
        runs.group_by(*query.by, "layer").agg(
            turns=runs.count().cast("int64"),
            added_p50_ms=runs.added_ms.quantile(0.5).cast("float64"),
            added_p95_ms=runs.added_ms.quantile(0.95).cast("float64"),
            **{name: flag.fill_null(False).cast("int64").sum().cast("int64") for name, flag in flags.items()},
        ),
    )
    order = {layer: place for place, layer in enumerate(query.layers)}
    rank = pl.col("layer").replace_strict(order, default=len(order), return_dtype=pl.Int64)
    return rows.select(*query.by, *REPORT.columns).sort(*query.by, rank, "layer", nulls_last=True)


REPORT = Report(
    key="layers",
    title="Layers",
    unit="turn",
    better="lower",
    description="What each layer costs: the time that its checks of a turn take together (less where they run side by side), and how turns ended "
    "on which one of its checks failed. Only checks in mode enforce count, unless the filters name a mode.",
    source="Counts; sample quantiles with linear interpolation.",
    columns={
        "layer": "kind of filter; null = not logged",
        "turns": "turns that a check of the layer ran on",
        "added_p50_ms": "median over turns of its checks' time, milliseconds; null when none logged it",
        "added_p95_ms": "95th percentile of the same",
        "failed": "turns on which a check of the layer failed",
        "failed_open": "of them, turns that ended with the model's text shown, whole or modified",
        "failed_closed": "of them, turns that ended otherwise; the rest of them logged no outcome",
    },
    dimensions=("stage", *TURN_DIMENSIONS, "hour", "day"),
    compute=compute,
)
