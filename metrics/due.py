"""Which filters a turn was due, and which ran: counted from the turns' lists of filters, out of the rollup where it can answer.

A filter is due on the turns of a model and an application where it is usual: it ran on half or more of those that it could have run on, in the
window or in the one before. It is not due on a turn that something stopped, since it may stand behind that in the cascade. Filters that
run on fewer turns by design (on what a cheaper one doubts, on a sample, in shadow) are therefore due on none.
"""

from __future__ import annotations

from dataclasses import replace

import polars as pl
from ibis.backends import BaseBackend

from metrics.additive import total, turn_counts
from metrics.events import fetch, matching
from metrics.movers import close_window
from metrics.query import CHECK_DIMENSIONS, Query, previous_window

USUAL = 0.5
SCOPE = ("model", "app")
_ENDED = ("refusal", "safe_completion", "human_escalation", "error")


def count_due(backend: BaseBackend, query: Query) -> pl.DataFrame:
    """How often each filter was due, and ran where it was.

    Returns:
        A row per group and filter that was due: the query's `by` columns, filter_name, due (turns), ran (of these, turns on which it ran),
        in order of the filter within the group.
    """
    asked = replace(query, filters=query.without(*CHECK_DIMENSIONS))
    groups = _read(backend, asked)
    usual = _find_usual(pl.concat([groups.select(_COUNTED), *_read_before(backend, asked)]))
    rows = groups.join(usual, on=SCOPE, nulls_equal=True)
    has_run = pl.col("filters").list.contains(pl.col("filter_name"))
    rows = rows.with_columns(
        ran=pl.when(has_run).then("turns").otherwise(0), missed=pl.when(has_run).then(0).otherwise("open")
    )
    rows = rows.group_by(*query.by, "filter_name").agg(pl.col("ran", "missed").sum())
    named = _name_filters(backend, query)
    if named is not None:
        rows = rows.filter(pl.col("filter_name").is_in(named))
    rows = rows.with_columns(due=pl.col("ran") + pl.col("missed")).filter(pl.col("due") > 0)
    return rows.select(*query.by, "filter_name", "due", "ran").sort(*query.by, "filter_name", nulls_last=True)


_COUNTED = (*SCOPE, "filters", "turns", "open")


def _read(backend: BaseBackend, query: Query) -> pl.DataFrame:
    """Turns by group, scope and list of filters; `open` = those of them that nothing stopped."""
    keys = tuple(dict.fromkeys((*query.by, *SCOPE, "outcome", "filters")))
    table = turn_counts(backend, query)
    table = table.filter(table["filters"].notnull())
    sums = table.group_by(*keys).agg(turns=total(table, "turns"), stopped=total(table, "stopped"))
    rows = fetch(backend, sums).filter((pl.col("turns") > 0) | (pl.col("stopped") > 0))
    has_ended = pl.col("outcome").is_in(_ENDED).fill_null(value=False)
    return rows.with_columns(
        open=pl.when(has_ended).then(0).otherwise(pl.col("turns") - pl.col("stopped")),
        filters=pl.col("filters").str.json_decode(pl.List(pl.String)),
    ).select(*query.by, *(name for name in _COUNTED if name not in query.by))


def _read_before(backend: BaseBackend, query: Query) -> list[pl.DataFrame]:
    """The groups of the window before the query's, if it has one."""
    closed = close_window(backend, query)
    window = None if closed is None else previous_window(closed)
    if window is None:
        return []
    times = query.without("hour", "day")
    return [_read(backend, replace(query, by=(), filters=times, since=window[0], until=window[1]))]


def _find_usual(groups: pl.DataFrame) -> pl.DataFrame:
    """The filters that are usual in each scope; columns model, app, filter_name."""
    whole = groups.group_by(SCOPE).agg(pl.col("open").sum())
    each = groups.explode("filters").drop_nulls("filters").rename({"filters": "filter_name"})
    each = each.group_by(*SCOPE, "filter_name").agg(ran=pl.col("turns").sum(), ran_open=pl.col("open").sum())
    each = each.join(whole, on=SCOPE, nulls_equal=True)
    could = pl.col("ran") + pl.col("open") - pl.col("ran_open")
    return each.filter(pl.col("ran") >= USUAL * could, pl.col("ran") > 0).select(*SCOPE, "filter_name")


def _name_filters(backend: BaseBackend, query: Query) -> list[str] | None:
    """The filters that the query's conditions on checks leave, by all that they ever logged; None without conditions."""
    conditions = query.of(*CHECK_DIMENSIONS)
    if not conditions:
        return None
    found = matching(backend.table("check_rollup"), Query(filters=conditions))
    return fetch(backend, found.select("filter_name").distinct())["filter_name"].to_list()
