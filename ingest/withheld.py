"""What must not come back: rows that have aged out, and those of a person or conversation that was erased.

A log that is read once more would store both anew. Records of theirs are counted as ignored. Of what was erased only hashes of ids
are kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from core.events import Connection

OWNERS = ("request_id", "conversation_id", "user_id")
"""Columns by which a row belongs to what was erased."""


def drop_withheld(connection: Connection, relation: str, table: str, owners: Iterable[str]) -> None:
    """Deletes from `relation`, which is bound for `table`, what must not be stored.

    Args:
        connection: Within a write transaction.
        relation: A temporary table with `ts`.
        table: Name of the canonical table.
        owners: Those of `OWNERS` that it has.
    """
    aged, erased = connection.execute(
        "SELECT (SELECT max(before) FROM aged WHERE table_name = ?), (SELECT count(*) FROM erased)", [table]
    ).fetchall()[0]
    if aged is not None:
        connection.execute(f"DELETE FROM {relation} WHERE ts < ?", [aged])
    if not erased:
        return
    for owner in owners:
        connection.execute(
            f"DELETE FROM {relation} WHERE EXISTS (SELECT 1 FROM erased WHERE owner = ? "
            f"AND digest = sha256(CAST({relation}.{owner} AS VARCHAR)) AND coalesce({relation}.ts <= until, true))",
            [owner],
        )


def note_aged(connection: Connection, table: str, before: datetime) -> None:
    """Rows of `table` with an earlier time are gone for good."""
    connection.execute("INSERT INTO aged VALUES (?, ?)", [table, before])


def note_erased(connection: Connection, owner: str, ids: Iterable[str], *, at: datetime) -> None:
    """What carries these ids, and happened until `at`, is gone for good."""
    connection.execute(
        "INSERT INTO erased SELECT ?, sha256(id), ? FROM (SELECT unnest(?::VARCHAR[]) AS id)", [owner, at, list(ids)]
    )
