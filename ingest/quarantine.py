"""Rejected records: listed, shown, and tried again after a fix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from core.errors import NotFoundError, UnfitValueError
from core.events import Connection, EventStore
from core.settings import Settings
from ingest.batch import REJECT_SCHEMA, Batch, IngestSummary
from ingest.load import load_batch
from ingest.mapping import find_formats
from ingest.salvage import REASON as UNFIT
from ingest.sources.lines import json_lines

# What was kept of these is not the record as it was written.
_ALTERED = ("invalid_utf8", "line_too_long", "csv_columns", "damaged_member", "member_too_large")


def list_rejects(events: EventStore, *, limit: int = 1000) -> pl.DataFrame:
    """The open rejects, newest first: all columns of `quarantine` but the record."""
    return events.read(
        "SELECT * EXCLUDE (record) FROM quarantine WHERE state = 'open' ORDER BY ingest_id DESC, line_no LIMIT ?",
        [limit],
    )


def get_reject(events: EventStore, reject_id: str) -> dict[str, Any]:
    """One reject with its record.

    Raises:
        NotFoundError: No reject's id starts with `reject_id`, or several do.
    """
    rows = events.read("SELECT * FROM quarantine WHERE starts_with(CAST(reject_id AS VARCHAR), ?)", [reject_id])
    if rows.height != 1:
        raise NotFoundError("No such rejected record", reject_id, "`weir quarantine list` shows the ids.")
    return rows.row(0, named=True)


def retry_rejects(events: EventStore, *, settings: Settings, reject_ids: Sequence[str] | None = None) -> IngestSummary:
    """Reads open rejects again, in one transaction; those that are stored now are marked resolved.

    Args:
        events: The store.
        settings: With what was mended.
        reject_ids: Which ones; None reads all.
    """
    try:
        return _retry_all(events, settings, reject_ids, left_out=_ALTERED)
    except UnfitValueError:
        # One of those whose value fits no column still does not: they would take the others down with them.
        return _retry_all(events, settings, reject_ids, left_out=(*_ALTERED, UNFIT))


def ignore_rejects(events: EventStore, reject_ids: Sequence[str]) -> int:
    """Marks open rejects as seen and no data: they are kept, read no more, and stand in no list; returns how many."""

    def work(connection: Connection) -> int:
        count: int = connection.execute(
            "UPDATE quarantine SET state = 'ignored' WHERE state = 'open' AND CAST(reject_id AS VARCHAR) IN ?",
            [tuple(reject_ids)],
        ).fetchall()[0][0]
        return count

    return events.write(work) if reject_ids else 0


def _retry_all(
    events: EventStore, settings: Settings, reject_ids: Sequence[str] | None, *, left_out: Sequence[str]
) -> IngestSummary:
    def work(connection: Connection) -> IngestSummary:
        summary = IngestSummary()
        open_rejects = connection.sql(
            "SELECT reject_id, source, format, file, line_no, record FROM quarantine "
            "WHERE state = 'open' AND reason NOT IN ? ORDER BY source, format, file, line_no",
            params=[left_out],
        ).pl()
        if reject_ids is not None:
            open_rejects = open_rejects.filter(pl.col("reject_id").cast(pl.String).is_in(reject_ids))
        # A file that was replaced may have been rejected twice on one line: one batch holds a line once.
        turn = pl.int_range(pl.len()).over("source", "format", "file", "line_no")
        groups = open_rejects.with_columns(turn=turn).partition_by("source", "format", "file", "turn")
        for group in groups:
            summary.add(_retry(connection, group, settings))
        return summary

    return events.write(work)


def _retry(connection: Connection, group: pl.DataFrame, settings: Settings) -> IngestSummary:
    first = group.row(0, named=True)
    lines = json_lines(group["line_no"].to_list(), group["record"].to_list())
    batch = Batch(lines, REJECT_SCHEMA.empty_table(), first["source"], first["file"])
    summary = load_batch(connection, find_formats(settings)[first["format"]], batch, settings=settings)
    still: Sequence[int] = []
    if summary.rejected:
        still = [number for (number,) in connection.execute("SELECT line_no FROM refused").fetchall()]
    resolved = group.filter(~pl.col("line_no").is_in(still))["reject_id"].to_list()
    if resolved:
        connection.execute(
            "UPDATE quarantine SET state = 'resolved' WHERE CAST(reject_id AS VARCHAR) IN ?", [tuple(resolved)]
        )
    return summary
