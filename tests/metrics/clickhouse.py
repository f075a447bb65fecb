"""ClickHouse's own engine in this process (chDB), holding what an event store holds, behind the client that a cluster has."""

from __future__ import annotations

from typing import Any

from core.clickhouse import ClickHouse, open_clickhouse
from core.events import EventStore
from ingest.schema import TABLES, Table

TYPES = {
    "VARCHAR": "String",
    "UUID": "UUID",
    "TIMESTAMP": "DateTime64(6)",
    "DOUBLE": "Float64",
    "BOOLEAN": "Bool",
    "INTEGER": "Int32",
    "BIGINT": "Int64",
}


def open_engine() -> ClickHouse:
    """An Ibis backend on an empty engine in memory; times are UTC whatever the host's zone."""
    return open_clickhouse("chdb://memory")


def copy_store(events: EventStore, backend: ClickHouse) -> None:
    """Replaces what the engine holds by the canonical tables of `events`."""
    for table in TABLES:
        _create(backend.con, table)
        listed = ", ".join(f'"{column.name}"' for column in table.columns)
        rows = events.cursor().sql(f"SELECT {listed} FROM {table.name}").arrow()
        rows = rows.read_all() if hasattr(rows, "read_all") else rows
        if rows.num_rows:
            for column in table.columns:
                if column.type == "UUID":
                    place = rows.schema.get_field_index(column.name)
                    rows = rows.set_column(place, column.name, rows.column(place).cast("string"))
            backend.con.insert_arrow(table.name, rows)


def _create(client: Any, table: Table) -> None:
    columns = ", ".join(f"`{column.name}` Nullable({TYPES[column.type]})" for column in table.columns)
    client.command(f"DROP TABLE IF EXISTS {table.name}")
    client.command(f"CREATE TABLE {table.name} ({columns}) ENGINE = MergeTree ORDER BY tuple()")
