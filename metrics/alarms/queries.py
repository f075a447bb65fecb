"""Alarms that no count of checks can tell: failing open, latency, score drift, wrong blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import ibis
import polars as pl
from ibis.expr.types import Table

from core.clock import EPOCH, MONDAY_S
from core.events import EventStore
from metrics import drift
from metrics.alarms.grid import BASELINE, COUNTS, SCHEMA, keep_in_force
from metrics.alarms.shares import find_tail
from metrics.compare import Counts
from metrics.events import checks, fetch, turns
from metrics.overblocking import rank_rules
from metrics.query import Query
from metrics.series import count_checks

_LEAST_CHECKS = 30
_LEAST_SCORES = 200
_WEEK = timedelta(days=7)
_LET_THROUGH = ("pass", "modified")


def judge_fail_open(
    events: EventStore, query: Query, ends: Sequence[datetime], *, window_s: int, limit: float, chance: float
) -> pl.DataFrame:
    """Breached where so many enforced checks failed while the answer went out that chance does not explain it.

    Args:
        events: The store.
        query: Its filters apply.
        ends: Ends of the windows, ascending.
        window_s: Their length, seconds.
        limit: Share of enforced checks that is tolerated.
        chance: Probability of so many under `limit`, summed over the filters, below which it breaches.

    Returns:
        `grid.SCHEMA`: observed share, expected = the limit, trials = checks.
    """
    backend = events.backend()
    since = ends[0] - timedelta(seconds=window_s)
    asked = replace(query, by=(), since=since, until=ends[-1], filters=(*query.filters, ("mode", "enforce")))
    # A turn may be logged a little before its checks.
    logged = turns(backend, Query(since=since - timedelta(hours=1), until=ends[-1]))
    failed = _with_window(checks(backend, asked), window_s).filter(lambda table: table.status == "error")
    open_ = failed.semi_join(logged.filter(logged.outcome.isin(_LET_THROUGH)), "request_id")
    keys = ["start_s", "filter_name"]
    hits = fetch(backend, open_.group_by(keys).agg(hits=open_.count()))
    rows = count_checks(backend, replace(asked, by=("filter_name",)), bucket_s=window_s, names=COUNTS)
    rows = rows.select(
        pl.col("bucket").dt.epoch("s").alias("start_s"), "filter_name", trials=pl.sum_horizontal(COUNTS)
    ).join(hits, on=keys, how="left")
    counts = Counts(*(rows[name].fill_null(0).cast(pl.Float64).to_numpy() for name in ("hits", "trials")))
    p_values = pl.Series(find_tail(counts.successes, counts.trials, limit=limit), dtype=pl.Float64)
    is_breached = p_values < chance / max(1, rows["filter_name"].n_unique())
    return _judged(
        rows.with_columns(
            observed=pl.Series(counts.shares()), expected=limit, p_value=p_values, is_breached=is_breached
        ),
        _end(window_s),
    )


def judge_latency(
    events: EventStore, query: Query, ends: Sequence[datetime], *, window_s: int, limit: float
) -> pl.DataFrame:
    """Breached where the 95th percentile of a filter's latency is `limit` times its median of the week before, or more.

    Returns:
        `grid.SCHEMA`: observed and expected 95th percentile in milliseconds, trials = checks with a latency.
    """
    backend = events.backend()
    first = ends[0] - timedelta(seconds=window_s)
    table = checks(backend, replace(query, by=(), since=first - _WEEK, until=ends[-1]))
    table = _with_window(table.filter(table.latency_ms.notnull(), table.filter_name.notnull()), window_s)
    keys = ["filter_name", "start_s"]
    rows = fetch(backend, table.group_by(keys).agg(p95=table.latency_ms.quantile(0.95), trials=table.count()))
    rows = rows.filter(pl.col("trials") >= _LEAST_CHECKS).sort(keys)
    before = (
        rows.select(*keys, at=pl.from_epoch("start_s"), value="p95")
        .rolling("at", period=_WEEK, closed="left", group_by="filter_name")
        .agg(expected=pl.col("value").median())
        .select("filter_name", "expected", start_s=pl.col("at").dt.epoch("s"))
    )
    rows = rows.join(before, on=keys).filter(pl.col("start_s") >= int((first - EPOCH).total_seconds()))
    return _judged(
        rows.with_columns(observed="p95", is_breached=pl.col("p95") >= limit * pl.col("expected")), _end(window_s)
    )


def judge_score_drift(
    events: EventStore, query: Query, end: datetime, *, window: timedelta, limit: float
) -> pl.DataFrame:
    """Breached where a version's scores differ from its own of the four weeks before: PSI above `limit`.

    Returns:
        `grid.SCHEMA`, one row per filter, the version that moved most: observed PSI, expected = the limit, trials = scores.
    """
    rows = drift.compare_periods(events.backend(), query, split=end - window, since=end - window - BASELINE, until=end)
    enough = (pl.col("reference_scores") >= _LEAST_SCORES) & (pl.col("candidate_scores") >= _LEAST_SCORES)
    worst = rows.sort("psi", "filter_name", descending=[True, False]).unique(
        "filter_name", keep="first", maintain_order=True
    )
    return _judged(
        worst.with_columns(
            observed="psi",
            expected=pl.lit(limit),
            trials="candidate_scores",
            is_breached=pl.when(enough).then(pl.col("psi") > limit),
        ),
        pl.lit(end),
    )


def judge_wrong_blocks(events: EventStore, query: Query, end: datetime, *, limit: float) -> pl.DataFrame:
    """Breached where the wrong-block share of a rule over the last week lies above `limit` with 95 % confidence.

    Returns:
        `grid.SCHEMA` per rule: observed share, expected = the limit, trials = reviews.
    """
    rows = rank_rules(events, replace(query, by=(), since=end - _WEEK, until=end))
    share = pl.col("wrong_block_share").struct
    return _judged(
        rows.with_columns(
            observed=share.field("estimate"),
            expected=pl.lit(limit),
            trials=share.field("n"),
            is_breached=share.field("low") > limit,
        ),
        pl.lit(end),
    )


def count_conversations(events: EventStore, query: Query, ends: Sequence[datetime], *, window_s: int) -> pl.DataFrame:
    """Conversations that a filter, or one of its rules, triggered on, by window; shadow checks as in `keep_in_force`.

    Returns:
        filter_name, rule_id (null = the whole filter), bucket (start of the window, naive UTC), conversations. A check
        without a conversation counts as one of its own.
    """
    backend = events.backend()
    asked = replace(query, by=(), since=ends[0] - timedelta(seconds=window_s), until=ends[-1])
    table = _with_window(checks(backend, asked), window_s)
    table = table.filter(table.status == "ok", table.triggered, table.filter_name.notnull())
    table = table.select("request_id", "filter_name", "rule_id", "mode", "start_s")
    owners = backend.table("turns").select("request_id", "conversation_id")
    table = table.left_join(owners, "request_id")
    table = table.mutate(conversation=ibis.coalesce(table.conversation_id, table.request_id))
    counts = [
        fetch(backend, part.group_by([*keys, "mode", "start_s"]).agg(conversations=part.conversation.nunique()))
        for part, keys in (
            (table, ["filter_name"]),
            (table.filter(table.rule_id.notnull()), ["filter_name", "rule_id"]),
        )
    ]
    return keep_in_force(pl.concat(counts, how="diagonal")).with_columns(
        pl.col("rule_id").cast(pl.String), bucket=pl.from_epoch("start_s").cast(pl.Datetime("us"))
    )


def _with_window(table: Table, window_s: int) -> Table:
    """`table` with `start_s`, the start of its window in seconds since 1970."""
    seconds = table.ts.epoch_seconds().cast("int64")
    return table.mutate(start_s=seconds - (seconds - MONDAY_S) % window_s)


def _end(window_s: int) -> pl.Expr:
    return pl.from_epoch(pl.col("start_s") + window_s)


def _judged(rows: pl.DataFrame, end: pl.Expr) -> pl.DataFrame:
    missing = [
        pl.lit(None).alias(name) for name in ("rule_id", "source", "p_value", "detectable") if name not in rows.columns
    ]
    return rows.with_columns(*missing, end=end).select(SCHEMA.names()).cast(SCHEMA)
