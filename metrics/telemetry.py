"""How well each source tells of its turns: what joined, how late it came, and what of it could not be used."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import ibis
import polars as pl
from ibis.backends import BaseBackend
from ibis.expr.types import Table

from core.events import EventStore
from metrics.additive import total
from metrics.estimate import RATE, wilson
from metrics.events import fetch, within
from metrics.query import Query

LATE_AFTER_S = 300
"""What arrives more than five minutes after its event is late: by then tiles and alarms have been looked at without it."""
# A turn's logs lie within a day of each other (`ingest.turns.JOIN_WINDOW`).
_JOINED_WITHIN = timedelta(days=1)
UNMAPPED = "unmapped:"


@dataclass(frozen=True, slots=True)
class _Share:
    """A column of the result that is a rate, by the counts that it is made of."""

    name: str
    numerator: str
    denominator: str


_SHARES = (
    _Share("join_rate", "joined", "turns"),
    _Share("late", "late_rows", "timed"),
    _Share("duplicates", "duplicate_count", "read"),
    _Share("quarantined", "reject_count", "read"),
    _Share("unmapped", "unmapped_checks", "categorised"),
)
_QUANTILES = {"lateness_p50_s": 0.5, "lateness_p95_s": 0.95}
COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    "source": pl.String,
    "turns": pl.Int64,
    "join_rate": RATE,
    "orphans": pl.Int64,
    "unchecked": pl.Int64,
    "late": RATE,
    "lateness_p50_s": pl.Float64,
    "lateness_p95_s": pl.Float64,
    "duplicates": RATE,
    "quarantined": RATE,
    "unmapped": RATE,
}
MEANINGS = {
    "turns": "turns that the source tells of, by a model log or by a check",
    "join_rate": "of them, turns that have both a model log and a check, whatever source the other one came from",
    "orphans": "of them, turns with checks and no model log",
    "unchecked": "of them, turns with a model log and no check",
    "late": f"turns and checks that were stored more than {LATE_AFTER_S // 60} minutes after they happened / all of them",
    "lateness_p50_s": "median time from event to store, seconds",
    "lateness_p95_s": "its 95th percentile",
    "duplicates": "records that were known already / records read",
    "quarantined": "records that could not be stored / records read",
    "unmapped": "checks whose category the crosswalk does not know / checks with a category",
}


def measure_sources(events: EventStore, query: Query) -> pl.DataFrame:
    """One row per source with turns, checks or records in the query's window, by name, with the columns `COLUMNS`; filters do not narrow it."""
    backend = events.backend()
    parts = [_joined(backend, query), _lateness(backend, query), _records(backend, query), _categories(backend, query)]
    names = pl.concat([part.select("source") for part in parts]).unique().drop_nulls().sort("source")
    rows = names
    for part in parts:
        rows = rows.join(part, on="source", how="left", maintain_order="left")
    rows = rows.with_columns(pl.selectors.integer().fill_null(0))
    shares = [
        wilson(
            rows,
            numerator=share.numerator,
            denominator=share.denominator,
            min_sample=query.min_sample,
            confidence=query.confidence,
        ).alias(share.name)
        for share in _SHARES
    ]
    return rows.with_columns(shares).select(pl.col(name).cast(dtype) for name, dtype in COLUMNS.items())


def _joined(backend: BaseBackend, query: Query) -> pl.DataFrame:
    """Turns by source: those that its checks name, and those whose model log it is."""
    turns = backend.table("turns").select("request_id", "ts", "source", "is_logged")
    checks = backend.table("checks").select("request_id", "ts", "source")
    near = _widen(query)
    checked = within(checks, "ts", near.since, near.until).select("request_id").distinct().mutate(has_check=True)
    facts = within(turns, "ts", near.since, near.until).select("request_id", "is_logged")
    logged = within(turns.filter(turns.is_logged), "ts", query.since, query.until)
    told = within(checks, "ts", query.since, query.until).select("source", "request_id")
    told = told.union(logged.select("source", "request_id")).distinct()
    told = told.left_join(facts, "request_id").drop("request_id_right")
    told = told.left_join(checked, "request_id").drop("request_id_right")
    has_log, has_check = told.is_logged.fill_null(False), told.has_check.fill_null(False)
    return _count(backend, told, joined=has_log & has_check, orphans=~has_log, unchecked=~has_check)


def _count(backend: BaseBackend, told: Table, **flags: ibis.expr.types.BooleanValue) -> pl.DataFrame:
    sums = {name: flag.cast("int64").sum().cast("int64") for name, flag in flags.items()}
    return fetch(backend, told.aggregate(by=["source"], turns=told.count().cast("int64"), **sums))


def _lateness(backend: BaseBackend, query: Query) -> pl.DataFrame:
    """Time from event to store, by source. A turn that another source completed later does not say when its own log came."""
    ingests = backend.table("ingests").select("ingest_id", "ingested_at", by="source")
    rows = [within(backend.table(name), "ts", query.since, query.until) for name in ("checks", "turns")]
    told = rows[0].select("source", "ts", "ingest_id").union(rows[1].select("source", "ts", "ingest_id"))
    told = told.join(ingests, [told.ingest_id == ingests.ingest_id, told.source == ingests.by])
    seconds = told.ingested_at.delta(told.ts, unit="second").cast("float64")
    told = told.mutate(seconds=ibis.greatest(seconds, 0.0))
    return fetch(
        backend,
        told.aggregate(
            by=["source"],
            timed=told.count().cast("int64"),
            late_rows=(told.seconds > LATE_AFTER_S).cast("int64").sum().cast("int64"),
            **{name: told.seconds.quantile(level).cast("float64") for name, level in _QUANTILES.items()},
        ),
    )


def _records(backend: BaseBackend, query: Query) -> pl.DataFrame:
    """What was read, known already and refused, by source, of the ingests whose events overlap the window."""
    table = backend.table("ingests")
    first, last = table.first_event_at.coalesce(table.ingested_at), table.last_event_at.coalesce(table.ingested_at)
    if query.since is not None:
        table = table.filter(last >= query.since)
    if query.until is not None:
        table = table.filter(first < query.until)
    return fetch(
        backend,
        table.aggregate(
            by=["source"],
            read=total(table, "read_count"),
            duplicate_count=total(table, "duplicate_count"),
            reject_count=total(table, "reject_count"),
        ),
    )


def _categories(backend: BaseBackend, query: Query) -> pl.DataFrame:
    """Checks with a category, and those whose category is unknown, by source."""
    table = within(backend.table("check_rollup"), "minute", query.since, query.until)
    table = table.filter(table.category.notnull())
    table = table.mutate(n=table.evaluated + table.errors + table.not_run + table.undecided + table.hits)
    table = table.mutate(unknown=ibis.ifelse(table.category.startswith(UNMAPPED), table.n, 0))
    return fetch(
        backend,
        table.aggregate(by=["source"], categorised=total(table, "n"), unmapped_checks=total(table, "unknown")),
    )


def _widen(query: Query) -> Query:
    since = None if query.since is None else query.since - _JOINED_WITHIN
    until = None if query.until is None else query.until + _JOINED_WITHIN
    return Query(since=since, until=until)
