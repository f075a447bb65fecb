"""Records with a value that no column can hold: found, and quarantined, so that the others of their batch are stored.

What a format's rules do not foresee, such as a number beyond an integer column, fails the transaction as a whole. Which records
are at fault is found by trial: halves of the batch are loaded and rolled back, which costs nothing until it happens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pyarrow as pa

from core.errors import UnfitValueError
from core.events import Connection, EventStore
from core.settings import Settings
from ingest.batch import REJECT_SCHEMA, Batch, IngestSummary
from ingest.formats import LogFormat
from ingest.load import load_batch

REASON = "unfit_value"


class _Undo(Exception):  # noqa: N818  it says what to do, not what went wrong
    """Rolls a trial back."""


def store_batch(
    events: EventStore,
    log_format: LogFormat,
    batch: Batch,
    *,
    settings: Settings,
    then: Callable[[Connection], None] | None = None,
) -> IngestSummary:
    """Stores one batch in one transaction, with records that do not fit in quarantine.

    Args:
        events: The store.
        log_format: How the records are read.
        batch: The records.
        settings: Thresholds and the crosswalk.
        then: What else belongs to the transaction.
    """

    def store(records: Batch) -> IngestSummary:
        def work(connection: Connection) -> IngestSummary:
            summary = load_batch(connection, log_format, records, settings=settings)
            if then is not None:
                then(connection)
            return summary

        return events.write(work)

    try:
        return store(batch)
    except UnfitValueError:
        return store(part_unfit(events, log_format, batch, settings=settings))


def part_unfit(events: EventStore, log_format: LogFormat, batch: Batch, *, settings: Settings) -> Batch:
    """The batch with the records that do not fit among its rejects. Nothing is stored."""
    trial = replace(batch, rejects=REJECT_SCHEMA.empty_table(), digest="")

    def fault_of(lines: pa.Table) -> str:
        def work(connection: Connection) -> None:
            load_batch(connection, log_format, replace(trial, lines=lines), settings=settings)
            raise _Undo

        try:
            events.write(work)
        except _Undo:
            return ""
        except UnfitValueError as error:
            return error.detail
        raise AssertionError("a trial always ends with an exception")

    def find(lines: pa.Table) -> list[dict[str, object]]:
        fault = fault_of(lines)
        if not fault:
            return []
        if lines.num_rows > 1:
            half = lines.num_rows // 2
            return find(lines.slice(0, half)) + find(lines.slice(half))
        record = lines.to_pylist()[0]
        unfit = {"reason": REASON, "field": None, "detail": fault, "record": record["line"].rstrip("\r\n")}
        return [{"line_no": record["line_no"], **unfit}]

    found = find(batch.lines)
    at_fault = pa.array([row["line_no"] for row in found], pa.int64())
    fitting = pa.compute.invert(pa.compute.is_in(batch.lines["line_no"], at_fault))
    rejects = pa.concat_tables([batch.rejects, pa.Table.from_pylist(found, schema=REJECT_SCHEMA)])
    return replace(batch, lines=batch.lines.filter(fitting), rejects=rejects)
