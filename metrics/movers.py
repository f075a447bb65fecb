"""What fires more, or less, than in the window before."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Literal

import polars as pl
from ibis.backends import BaseBackend

from core.events import EventStore
from metrics.additive import check_counts, part, total
from metrics.compare import Counts, compare_shares
from metrics.events import fetch
from metrics.query import Query, previous_window

_COUNTS = ("evaluated", "triggered", "evaluated_before", "triggered_before")


def movers(
    events: EventStore, query: Query, *, by: Literal["rule_id", "filter_name"] = "rule_id", limit: int = 10
) -> pl.DataFrame:
    """Changes of the trigger rate against the window before, strongest evidence first.

    A rule's rate is over what its filter evaluated, unless the rule also logs when it does not fire.

    Args:
        events: The store.
        query: Window and filters. Without a start there is no window before, and no row.
        by: What to compare.
        limit: Most rows to return.

    Returns:
        filter_name, rule_id (null when by filter), evaluated, triggered, rate, evaluated_before, triggered_before,
        rate_before, change, low, high, ratio, ratio_low, ratio_high, z (`metrics.compare.compare_shares`).
    """
    return compare_windows(count_both(events.backend(), query), by=by, confidence=query.confidence).head(limit)


def compare_windows(counts: pl.DataFrame, *, by: Literal["rule_id", "filter_name"], confidence: float) -> pl.DataFrame:
    """All rows of `movers`, out of what `count_both` counted."""
    counts = _by_rule(counts) if by == "rule_id" else _by_filter(counts)
    counts = counts.filter(pl.col("triggered") + pl.col("triggered_before") > 0)
    now, before = (
        Counts(counts[hits].cast(pl.Float64).to_numpy(), counts[of].cast(pl.Float64).to_numpy())
        for hits, of in (("triggered", "evaluated"), ("triggered_before", "evaluated_before"))
    )
    changes = compare_shares(now, before, confidence=confidence)
    return (
        pl.concat([counts, changes], how="horizontal")
        .select(
            "filter_name",
            "rule_id",
            "evaluated",
            "triggered",
            (pl.col("triggered") / pl.col("evaluated")).fill_nan(None).alias("rate"),
            "evaluated_before",
            "triggered_before",
            (pl.col("triggered_before") / pl.col("evaluated_before")).fill_nan(None).alias("rate_before"),
            *changes.columns,
        )
        .sort(pl.col("z").abs(), "filter_name", "rule_id", descending=[True, False, False], nulls_last=True)
    )


def close_window(backend: BaseBackend, query: Query) -> Query | None:
    """The query with an end: an open one ends with the last minute that has checks. None without a start."""
    if query.since is None:
        return None
    if query.until is not None:
        return query
    rollup = backend.table("check_rollup")
    last = fetch(backend, rollup.aggregate(last=rollup.minute.max())).item()
    end = None if last is None else last + timedelta(minutes=1)
    return None if end is None or end <= query.since else replace(query, until=end)


def count_both(backend: BaseBackend, query: Query) -> pl.DataFrame:
    """Checks of the query's window and of the one before it by filter and rule, in one pass; no row where there is none before.

    Returns:
        filter_name, rule_id, evaluated, triggered, evaluated_before, triggered_before.
    """
    closed = close_window(backend, query)
    window = None if closed is None else previous_window(closed)
    if closed is None or window is None:
        schema = {"filter_name": pl.String, "rule_id": pl.String} | dict.fromkeys(_COUNTS, pl.Int64)
        return pl.DataFrame(schema=schema)
    start, middle = window
    table = check_counts(backend, replace(closed, by=("filter_name", "rule_id"), since=start), cut=middle)
    table = part(table, ("evaluated", "triggered"), middle)
    sums = table.aggregate(by=["filter_name", "rule_id"], **{name: total(table, name) for name in _COUNTS})
    return fetch(backend, sums)


def _by_filter(counts: pl.DataFrame) -> pl.DataFrame:
    return (
        counts.group_by("filter_name")
        .agg(pl.col(name).sum() for name in _COUNTS)
        .with_columns(rule_id=pl.lit(None, dtype=pl.String))
    )


def _by_rule(counts: pl.DataFrame) -> pl.DataFrame:
    logs_passes = (pl.col("evaluated") + pl.col("evaluated_before")) > (
        pl.col("triggered") + pl.col("triggered_before")
    )
    evaluated = [
        pl.when(logs_passes).then(pl.col(name)).otherwise(pl.col(name).sum().over("filter_name")).alias(name)
        for name in ("evaluated", "evaluated_before")
    ]
    return counts.with_columns(evaluated).filter(pl.col("rule_id").is_not_null())
