"""Which rules stop benign turns most often: estimated wrong blocks per day."""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from core.events import EventStore
from metrics import errors, triggers
from metrics.query import Query

KEYS = ("filter_name", "rule_id")
_DAY_S = 86_400


def rank_rules(events: EventStore, query: Query) -> pl.DataFrame:
    """Enforced rules by estimated wrong blocks, most first; rules with too few reviews follow, by triggers.

    Args:
        events: The store.
        query: Window and filters; its `by` is not used.

    Returns:
        filter_name, rule_id (null = the filter logs none), triggered, wrong_block_share (RATE), and triggers,
        wrong blocks with low and high, each per day of the window: triggered_per_day, wrong_per_day, low_per_day,
        high_per_day (null below the minimum sample). The share comes from reviews, the triggers are counted.
    """
    backend = events.backend()
    enforced = query if query.of("mode") else replace(query, filters=(*query.filters, ("mode", "enforce")))
    asked = replace(enforced, by=KEYS)
    fired = triggers.compute(backend, asked).filter(pl.col("triggered") > 0).select(*KEYS, "triggered")
    judged = errors.compute(backend, asked).select(*KEYS, "wrong_block_share")
    rows = fired.join(judged, on=list(KEYS), how="left", nulls_equal=True)
    days = _count_days(events, enforced)
    share = pl.col("wrong_block_share").struct
    per_day = pl.col("triggered") / days
    return rows.with_columns(
        triggered_per_day=per_day,
        wrong_per_day=per_day * share.field("estimate"),
        low_per_day=per_day * share.field("low"),
        high_per_day=per_day * share.field("high"),
    ).sort("wrong_per_day", "triggered", *KEYS, descending=[True, True, False, False], nulls_last=True)


def _count_days(events: EventStore, query: Query) -> float:
    """Days of the window; of an open end, to the first or last minute with checks. At least one minute's worth."""
    span = events.read("SELECT min(minute) AS first, max(minute) AS last FROM check_rollup").row(0, named=True)
    since, until = query.since or span["first"], query.until or span["last"]
    if since is None or until is None:
        return 1.0
    return max((until - since).total_seconds(), 60.0) / _DAY_S
