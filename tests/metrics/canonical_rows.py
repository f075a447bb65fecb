"""Fills the canonical tables of a real event store, rollups by ingest's additive rule included."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path

import polars as pl

from core.events import Connection, EventStore
from ingest.schema import CHECKS, INGESTS, LABELS, QUARANTINE, TURNS, Table, create_tables

Row = Mapping[str, object]
START = datetime(2026, 3, 2, 9, 0)
_POLARS = {
    "UUID": pl.String,
    "VARCHAR": pl.String,
    "TIMESTAMP": pl.Datetime("us"),
    "DOUBLE": pl.Float64,
    "BOOLEAN": pl.Boolean,
    "INTEGER": pl.Int32,
    "BIGINT": pl.Int64,
}
_NAMESPACE = uuid.UUID(int=7)
_SUM_CHECKS = """
INSERT INTO check_rollup
SELECT date_trunc('minute', ts), filter_name, filter_version, layer, stage, mode, rule_id, category, model, source,
    count(*) FILTER (status = 'ok'), count(*) FILTER (status = 'ok' AND triggered),
    count(*) FILTER (status = 'ok' AND triggered AND enforced), count(*) FILTER (status = 'error'),
    count(*) FILTER (status = 'not_run'), count(*) FILTER (status = 'undecided'), count(*) FILTER (status = 'hit')
FROM checks WHERE ingest_id = ? GROUP BY ALL
"""
_MARK_ESCALATED = """
UPDATE turns SET is_escalated = request_id IN (SELECT request_id FROM checks WHERE enforced AND decision = 'escalate') WHERE ingest_id = ?
"""
_SUM_TURNS = """
INSERT INTO turn_rollup BY NAME
SELECT date_trunc('minute', ts) AS minute, outcome, model, app, language, filters, count(*) AS turns,
    count(*) FILTER (NOT is_logged) AS orphans, count(*) FILTER (is_stopped) AS stopped,
    count(*) FILTER (is_escalated OR outcome = 'human_escalation') AS escalated
FROM turns WHERE ingest_id = ? GROUP BY ALL
"""


def open_store(folder: Path) -> EventStore:
    """An empty store in `folder`."""
    events = EventStore(folder / "events.duckdb", memory_limit="500MB", threads=1)
    create_tables(events)
    return events


def add(
    events: EventStore,
    *,
    turns: Iterable[Row] = (),
    checks: Iterable[Row] = (),
    labels: Iterable[Row] = (),
    quarantine: Iterable[Row] = (),
    ingest_id: int = 1,
) -> None:
    """Stores rows as one ingest; columns left out get a plain default or null."""
    batches = (
        (TURNS, [_turn(row) for row in turns]),
        (CHECKS, [_check(row, place) for place, row in enumerate(checks)]),
        (LABELS, [_label(row, place) for place, row in enumerate(labels)]),
        (QUARANTINE, [{"rejected_at": START, "state": "open", **row} for row in quarantine]),
    )
    times = [row["ts"] for _, rows in batches for row in rows if "ts" in row]
    ingest = {
        "ingested_at": START,
        "first_event_at": min(times, default=None),  # type: ignore[type-var]  # rows hold any value
        "last_event_at": max(times, default=None),  # type: ignore[type-var]  # rows hold any value
        "source": "test",
        "format": "filter_log",
    }

    def work(connection: Connection) -> None:
        for table, rows in (*batches, (INGESTS, [ingest])):
            _insert(connection, table, [{"source": "test", "ingest_id": ingest_id, **row} for row in rows])
        connection.execute(_MARK_ESCALATED, [ingest_id])
        connection.execute(_SUM_CHECKS, [ingest_id])
        connection.execute(_SUM_TURNS, [ingest_id])

    events.write(work)


def _turn(row: Row) -> dict[str, object]:
    return {"ts": START, "is_logged": True, **row}


def _check(row: Row, place: int) -> dict[str, object]:
    status = row.get("status", "ok")
    identity = str(uuid.uuid5(_NAMESPACE, f"check {place} {sorted(row.items(), key=str)}"))
    plain = {"check_id": identity, "ts": START, "filter_name": "f", "layer": "classifier", "mode": "enforce"}
    return {**plain, "status": status, **row}


def _label(row: Row, place: int) -> dict[str, object]:
    identity = str(uuid.uuid5(_NAMESPACE, f"label {place} {sorted(row.items(), key=str)}"))
    return {"label_id": identity, "ts": START, "reviewer": "ann", **row}


def _insert(connection: Connection, table: Table, rows: list[dict[str, object]]) -> None:
    if not rows:
        return
    schema = {column.name: _POLARS[column.type] for column in table.columns}
    kept = [{name: row.get(name) for name in schema} for row in rows]
    connection.register("batch", pl.DataFrame(kept, schema=schema))
    connection.execute(f"INSERT INTO {table.name} SELECT * FROM batch")
    connection.unregister("batch")
