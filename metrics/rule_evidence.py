"""The evidence about one filter or one of its rules: what matched, on which turns, since when, and how people judged them.

Questions are about what the filter triggered on; the query names the filter (and the rule) and the window.
"""

from __future__ import annotations

from dataclasses import replace

import ibis
import polars as pl
from ibis.expr.types import StringValue, Table

from core.events import EventStore
from metrics.events import checks, fetch
from metrics.query import Query
from metrics.reviews import fetch_verdicts, pick_verdicts

VERDICTS = ("benign", "harmful", "not judged")
"""Of a triggered turn; an unresolved tie is not judged. For a trigger, benign means a wrong block."""
SPAN_LENGTH = 200
"""Characters of a matched text that are kept."""


def count_turns(events: EventStore, query: Query, *, filter_name: str) -> pl.DataFrame:
    """Triggered turns by language, application and verdict.

    Returns:
        language, app (null = not logged), verdict (`VERDICTS`), turns.
    """
    table = _judged(events, replace(query, by=("language", "app")), filter_name)
    turns = table.distinct(on=["request_id", "language", "app"], keep="first")
    counts = turns.group_by("language", "app", "verdict").agg(turns=turns.count().cast("int64"))
    return fetch(events.backend(), counts).sort("language", "app", "verdict", nulls_last=True)


def list_spans(events: EventStore, query: Query, *, filter_name: str, limit: int = 50) -> pl.DataFrame:
    """What matched, upper and lower case alike, most frequent first.

    Returns:
        span (logged text, at most `SPAN_LENGTH` characters), turns, benign, harmful (turns with that verdict).
    """
    table = _judged(events, query, filter_name)
    table = table.filter(table.matched_text.notnull())
    span = table.matched_text.lower().substr(0, SPAN_LENGTH)
    table = table.mutate(span=span).distinct(on=["request_id", "span"], keep="first")
    counts = table.group_by("span").agg(
        turns=table.count().cast("int64"),
        **{name: (table.verdict == name).cast("int64").sum().cast("int64") for name in ("benign", "harmful")},
    )
    return fetch(events.backend(), counts.order_by(counts.turns.desc(), counts.span).limit(limit))


def list_examples(
    events: EventStore, query: Query, *, filter_name: str, verdict: str | None = None, limit: int = 100
) -> pl.DataFrame:
    """Triggered turns, newest first, without any logged prose.

    Args:
        events: The store.
        query: Window and filters.
        filter_name: The filter that verdicts are looked up for.
        verdict: One of `VERDICTS`; None = all.
        limit: Most rows.

    Returns:
        ts, request_id, language, app, category, score, decision, verdict.
    """
    table = _judged(events, replace(query, by=("language", "app")), filter_name)
    if verdict is not None:
        table = table.filter(table.verdict == verdict)
    chosen = table.order_by(table.ts.desc(), table.request_id).limit(limit)
    return fetch(
        events.backend(),
        chosen.select("ts", "request_id", "language", "app", "category", "score", "decision", "verdict"),
    )


def list_versions(events: EventStore, *, filter_name: str) -> pl.DataFrame:
    """Versions of a filter in the order in which the logs first have them, whatever the window: filter_version, first_at."""
    rollup = events.backend().table("check_rollup")
    own = rollup.filter(rollup.filter_name == filter_name, rollup.filter_version.notnull())
    seen = own.group_by("filter_version").agg(first_at=own.minute.min())
    return fetch(events.backend(), seen).sort("first_at", "filter_version")


def _judged(events: EventStore, query: Query, filter_name: str) -> Table:
    """Triggered checks of the query with `verdict` and `matched_text`."""
    backend = events.backend()
    table = checks(backend, query)
    table = table.filter(table.triggered, table.status == "ok")
    verdicts = pick_verdicts(fetch_verdicts(backend), filter_name).select("request_id", "harmful")
    known = ibis.memtable(verdicts)
    joined = table.left_join(known, "request_id").drop("request_id_right")
    verdict: StringValue = ibis.cases(
        (joined.harmful, ibis.literal("harmful")), (~joined.harmful, ibis.literal("benign")), else_="not judged"
    )
    return joined.mutate(verdict=verdict)
