"""Histograms of filters' scores, counted in the store."""

from __future__ import annotations

from dataclasses import replace

import ibis
import polars as pl
from ibis.expr.types import Table

from core.events import EventStore
from metrics.consensus import consensus
from metrics.events import checks, fetch
from metrics.query import Query

COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    "filter_name": pl.String,
    "filter_version": pl.String,
    "bin": pl.Int64,
    "low": pl.Float64,
    "high": pl.Float64,
    "checks": pl.Int64,
    "triggered": pl.Int64,
    "harmful": pl.Int64,
    "benign": pl.Int64,
    "threshold": pl.Float64,
}


def score_histogram(events: EventStore, query: Query, *, bins: int = 20) -> pl.DataFrame:
    """Checks by score, per filter and version.

    Args:
        events: The store.
        query: Window and filters; its `by` is not used.
        bins: Bins per filter version, over 0..1 where all its scores lie there, else over what was seen.

    Returns:
        filter_name, filter_version, bin (0 first), low, high (the bin's bounds on the filter's scale), checks,
        triggered, harmful and benign (checks whose turn has that verdict), threshold (the newest one logged), in
        order. Empty bins have no row.
    """
    backend = events.backend()
    table = checks(backend, replace(query, by=()))
    table = table.filter(table.score.notnull(), ~table.score.isnan(), ~table.score.isinf())
    ranges = _ranges(table)
    binned = table.left_join(
        ranges,
        [
            table.filter_name.identical_to(ranges.filter_name),
            table.filter_version.identical_to(ranges.filter_version),
        ],
    )
    verdicts = consensus(backend)
    verdicts = verdicts.filter(verdicts.filter_name.isnull()).select("request_id", verdict=verdicts.harmful)
    binned = binned.left_join(verdicts, "request_id")
    place = ((binned.score - binned.least) / (binned.most - binned.least) * bins).floor().cast("int64")
    binned = binned.mutate(bin=ibis.least(ibis.greatest(place, 0), bins - 1))
    counts = binned.aggregate(
        by=["filter_name", "filter_version", "bin"],
        least=binned.least.min(),
        most=binned.most.max(),
        threshold=binned.newest_threshold.max(),
        checks=binned.count(),
        **{
            name: condition.fill_null(False).cast("int64").sum().cast("int64")
            for name, condition in (
                ("triggered", binned.triggered),
                ("harmful", binned.verdict),
                ("benign", ~binned.verdict),
            )
        },
    )
    return _with_bounds(fetch(backend, counts), bins)


def _ranges(table: Table) -> Table:
    ranges = table.aggregate(
        by=["filter_name", "filter_version"],
        smallest=table.score.min(),
        largest=table.score.max(),
        newest_threshold=table.threshold.argmax(table.ts, where=table.threshold.notnull()),
    )
    is_unit = (ranges.smallest >= 0) & (ranges.largest <= 1)
    is_point = ranges.largest == ranges.smallest
    return ranges.select(
        "filter_name",
        "filter_version",
        "newest_threshold",
        least=ibis.ifelse(is_unit, 0.0, ranges.smallest),
        most=ibis.cases((is_unit, 1.0), (is_point, ranges.largest + 1.0), else_=ranges.largest),
    )


def _with_bounds(rows: pl.DataFrame, bins: int) -> pl.DataFrame:
    width = (pl.col("most") - pl.col("least")) / bins
    return (
        rows.with_columns(
            low=pl.col("least") + pl.col("bin") * width, high=pl.col("least") + (pl.col("bin") + 1) * width
        )
        .sort("filter_name", "filter_version", "bin", nulls_last=True)
        .select(pl.col(name).cast(dtype) for name, dtype in COLUMNS.items())
    )
