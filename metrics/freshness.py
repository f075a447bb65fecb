"""How far each source's data reaches."""

from __future__ import annotations

import polars as pl
from ibis.backends import BaseBackend

from core.events import EventStore
from metrics.additive import total
from metrics.events import fetch

COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    "source": pl.String,
    "format": pl.String,
    "last_event_at": pl.Datetime("us"),
    "last_ingest_at": pl.Datetime("us"),
    "checks": pl.Int64,
    "errors": pl.Int64,
    "rejected": pl.Int64,
    "evaluated_share": pl.Float64,
    "last_error": pl.String,
}


def freshness(events: EventStore) -> pl.DataFrame:
    """One row per source, by name, with the columns `COLUMNS`.

    `format` is that of its newest ingest, `rejected` counts its open quarantine records, `evaluated_share` is
    checks that decided / checks, null without checks and for a log of hits only, which does not say how many there were;
    `last_error` says what is wrong with the file that failed last, else with the record that was rejected last and is still open.
    """
    backend = events.backend()
    ingests = backend.table("ingests")
    known = fetch(
        backend,
        ingests.aggregate(
            by=["source"],
            format=ingests.format.argmax(ingests.ingest_id),
            last_event_at=ingests.last_event_at.max(),
            last_ingest_at=ingests.ingested_at.max(),
        ),
    )
    rollup = backend.table("check_rollup")
    names = ("evaluated", "errors", "not_run", "undecided", "hits")
    counts = fetch(backend, rollup.aggregate(by=["source"], **{name: total(rollup, name) for name in names}))
    quarantine = backend.table("quarantine")
    quarantine = quarantine.filter(quarantine.state == "open")
    rejects = fetch(backend, quarantine.aggregate(by=["source"], rejected=quarantine.count()))
    rows = known.join(counts, on="source", how="left", nulls_equal=True)
    rows = rows.join(rejects, on="source", how="left", nulls_equal=True)
    rows = rows.with_columns(pl.col(*names, "rejected").fill_null(0))
    rows = rows.with_columns(checks=pl.sum_horizontal(names))
    due = pl.col("checks") - pl.col("hits")
    share = pl.when(due > 0).then(pl.col("evaluated") / due)
    rows = rows.join(_find_last_errors(backend), on="source", how="left", nulls_equal=True)
    return (
        rows.with_columns(evaluated_share=share)
        .sort("source", nulls_last=True)
        .select(pl.col(name).cast(dtype) for name, dtype in COLUMNS.items())
    )


def _find_last_errors(backend: BaseBackend) -> pl.DataFrame:
    files = backend.table("checkpoints")
    files = files.filter(files.error.fill_null("") != "")
    failed = fetch(backend, files.aggregate(by=["source"], file_error=files.error.argmax(files.updated_at)))
    records = backend.table("quarantine")
    records = records.filter(records.state == "open")
    refused = fetch(backend, records.aggregate(by=["source"], record_error=records.detail.argmax(records.rejected_at)))
    rows = failed.join(refused, on="source", how="full", coalesce=True, nulls_equal=True)
    return rows.select("source", last_error=pl.coalesce("file_error", "record_error"))
