"""Filters' scores: histograms counted in the store, and the thresholds that a scale offers."""

from __future__ import annotations

from dataclasses import replace

import ibis
import numpy as np
import polars as pl
from ibis.expr.types import Table

from core.events import EventStore
from metrics.consensus import consensus
from metrics.estimate import Floats
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
    "score_kind": pl.String,
}


STEPS = 50
"""Steps of the grid of thresholds where a filter's scores are not few."""
ORDINAL_NAMES = ("none", "low", "medium", "high")
"""Levels of the ordinal scales that formats yield (Bedrock's confidence, Gemini's probability, Azure OpenAI's severity)."""
_ORDINAL_TOP = float(len(ORDINAL_NAMES) - 1)
_SEVERITY_TOP = 7.0
"""Azure AI Content Safety: 0, 2, 4, 6, or 0 to 7 when asked for eight levels."""


def score_histogram(events: EventStore, query: Query, *, bins: int = 20) -> pl.DataFrame:
    """Checks by score, per filter and version.

    Args:
        events: The store.
        query: Window and filters; its `by` is not used.
        bins: Bins per filter version, over 0..1 where all its scores lie there, else over what was seen.

    Returns:
        filter_name, filter_version, bin (0 first), low, high (the bin's bounds on the filter's scale), checks,
        triggered, harmful and benign (checks whose turn has that verdict), threshold (the newest one logged),
        score_kind, in order. Empty bins have no row.
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
        score_kind=binned.score_kind.max(),
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


def pick_thresholds(values: Floats, kind: str | None) -> Floats:
    """Thresholds to choose between on one filter's scale, rising.

    Args:
        values: The distinct scores that it gave, rising; at least one.
        kind: Their kind (`score_kind` of a check).

    Returns:
        Every level of an ordinal or severity scale, those that nothing reached too; scores themselves where they are few;
        else an even grid over 0..1, over -1..1 (margins; it holds 0), or over what was seen.
    """
    low, high = float(values[0]), float(values[-1])
    is_whole = bool((values == np.floor(values)).all()) and low >= 0
    if kind == "ordinal" and is_whole:
        return np.arange(max(high, _ORDINAL_TOP) + 1.0)
    if kind == "severity" and is_whole and high <= _SEVERITY_TOP:
        # Four levels (0, 2, 4, 6) unless an odd one says that there are eight.
        return np.arange(0.0, _SEVERITY_TOP + 1.0, 1.0 if (values % 2).any() else 2.0)
    if len(values) <= STEPS + 1:
        return values
    if low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    elif low >= -1 and high <= 1:
        low, high = -1.0, 1.0
    # Rounded, so that 0.3 is 0.3 and meets scores logged as such.
    return np.round(np.linspace(low, high, STEPS + 1), 10)


def name_level(value: float, kind: str | None) -> str:
    """A score for people: `0.65`; of an ordinal scale of four levels with its word, `2 (medium)`."""
    words = f"{value:g}"
    is_level = kind == "ordinal" and value in range(len(ORDINAL_NAMES))
    return f"{words} ({ORDINAL_NAMES[int(value)]})" if is_level else words
