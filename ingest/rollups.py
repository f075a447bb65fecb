"""Keeps the additive rollups small: many rows of one minute and key become one."""

from __future__ import annotations

from datetime import datetime

from core.events import Connection
from ingest.schema import CHECK_ROLLUP, TURN_ROLLUP, Table

_COUNTS = {
    CHECK_ROLLUP.name: ("evaluated", "triggered", "enforced", "errors", "not_run", "undecided", "hits"),
    TURN_ROLLUP.name: ("turns", "orphans", "stopped", "escalated"),
}


def compact_rollups(connection: Connection, *, before: datetime) -> int:
    """Sums up the rows of minutes before `before` where that saves a fifth of them; returns how many rows it saved."""
    return sum(_compact(connection, table, before) for table in (CHECK_ROLLUP, TURN_ROLLUP))


def _compact(connection: Connection, table: Table, before: datetime) -> int:
    counts = _COUNTS[table.name]
    keys = ", ".join(name for name in table.names() if name not in counts)
    sums = ", ".join(f"CAST(sum({name}) AS BIGINT) AS {name}" for name in counts)
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE summed AS SELECT {keys}, {sums} FROM {table.name} WHERE minute < ? "
        f"GROUP BY ALL HAVING {' OR '.join(f'sum({name}) <> 0' for name in counts)}",
        [before],
    )
    rows, least = connection.execute(
        f"SELECT count(*), (SELECT count(*) FROM summed) FROM {table.name} WHERE minute < ?", [before]
    ).fetchall()[0]
    if least > 0.8 * rows:
        return 0
    connection.execute(f"DELETE FROM {table.name} WHERE minute < ?", [before])
    connection.execute(f"INSERT INTO {table.name} BY NAME SELECT * FROM summed ORDER BY minute")
    saved: int = rows - least
    return saved
