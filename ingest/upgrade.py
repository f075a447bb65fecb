"""What stores of earlier versions lack, added and worked out once, when they are opened."""

from __future__ import annotations

from core.events import Connection

_DONE = "escalated_counted"


# Of `filters`, null says that which of them ran on turns of earlier versions is not known: they leave the coverage of filters.
_ADDED = (
    ("ingests", "ignored_count BIGINT DEFAULT 0"),
    ("chunks", "ignored_count BIGINT DEFAULT 0"),
    ("check_rollup", "hits BIGINT DEFAULT 0"),
    ("turns", "filters VARCHAR"),
    ("turns", "is_stopped BOOLEAN"),
    ("turn_rollup", "filters VARCHAR"),
    ("turn_rollup", "stopped BIGINT DEFAULT 0"),
    ("turns", "is_escalated BOOLEAN"),
    ("turn_rollup", "escalated BIGINT DEFAULT 0"),
)


def add_columns(connection: Connection) -> None:
    """Adds the columns that stores of earlier versions lack."""
    for table, column in _ADDED:
        connection.execute(f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {column}")


def count_escalated(connection: Connection) -> None:
    """Notes and counts the turns handed to a person.

    In a transaction after the one that adds the columns: a table cannot be altered and filled in one.
    """
    done = connection.execute("SELECT count(*) FROM properties WHERE name = ?", [_DONE]).fetchall()[0][0]
    if done:
        return
    connection.execute(
        "UPDATE turns SET is_escalated = true "
        "WHERE request_id IN (SELECT request_id FROM checks WHERE enforced AND decision = 'escalate')"
    )
    connection.execute(
        "INSERT INTO turn_rollup BY NAME SELECT date_trunc('minute', ts) AS minute, outcome, model, app, language, filters, "
        "0 AS turns, 0 AS orphans, 0 AS stopped, count(*) AS escalated FROM turns "
        "WHERE is_escalated OR outcome = 'human_escalation' GROUP BY ALL ORDER BY minute"
    )
    connection.execute("INSERT INTO properties VALUES (?, 'true')", [_DONE])
