"""Counts over time, in buckets of whole minutes."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import ibis
import polars as pl
from ibis.backends import BaseBackend
from ibis.expr.types import Table

from core.clock import MONDAY_S
from core.errors import UsageError
from core.events import EventStore
from metrics.additive import check_counts, total, turn_counts
from metrics.estimate import wilson
from metrics.events import fetch
from metrics.query import Query


def trigger_series(
    events: EventStore, query: Query, *, by: Literal["layer", "filter_name"], bucket_s: int
) -> pl.DataFrame:
    """Trigger rate over time.

    Args:
        events: The store.
        query: Window and filters; its `by` is not used.
        by: What to draw a line for.
        bucket_s: Width of a bucket in seconds, whole minutes.

    Returns:
        bucket (start, naive UTC), `by`, evaluated, triggered, errors, estimate, low, high (0..1, null below the
        minimum sample), in order. Buckets without checks have no row.

    Raises:
        UsageError: The width is not a number of whole minutes.
    """
    asked = replace(query, by=(by,))
    counts = count_checks(events.backend(), asked, bucket_s=bucket_s, names=("evaluated", "triggered", "errors"))
    rate = wilson(
        counts,
        numerator="triggered",
        denominator="evaluated",
        min_sample=query.min_sample,
        confidence=query.confidence,
    )
    return counts.with_columns(rate.struct.field("estimate"), rate.struct.field("low"), rate.struct.field("high")).sort(
        "bucket", by, nulls_last=True
    )


def turn_series(events: EventStore, query: Query, *, bucket_s: int) -> pl.DataFrame:
    """Turns over time: bucket (start, naive UTC), turns, orphans, in order.

    Raises:
        UsageError: The width is not a number of whole minutes.
    """
    table = _bucketed(turn_counts(events.backend(), replace(query, by=())), bucket_s)
    sums = table.aggregate(by=["bucket"], turns=total(table, "turns"), orphans=total(table, "orphans"))
    return _with_times(fetch(events.backend(), sums)).sort("bucket")


def count_checks(backend: BaseBackend, query: Query, *, bucket_s: int, names: tuple[str, ...]) -> pl.DataFrame:
    """Sums of the check counts `names` by bucket (start, naive UTC) and the query's `by`."""
    table = _bucketed(check_counts(backend, query), bucket_s)
    sums = table.aggregate(by=["bucket", *query.by], **{name: total(table, name) for name in names})
    return _with_times(fetch(backend, sums))


def _bucketed(table: Table, bucket_s: int) -> Table:
    if bucket_s < 60 or bucket_s % 60:
        raise UsageError("Not a bucket width", f"{bucket_s} s", "Use whole minutes.")
    width = ibis.literal(bucket_s, "int64")
    seconds = table["at"].epoch_seconds().cast("int64")
    # Integer arithmetic, because engines disagree on where their own buckets start. Weeks start on Mondays.
    return table.mutate(bucket=seconds - (seconds - MONDAY_S) % width)


def _with_times(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(pl.from_epoch("bucket", time_unit="s").cast(pl.Datetime("us")))
