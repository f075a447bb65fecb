"""The turns that people judged, and their checks, kept at hand in memory: few turns ever are, and looking for them among all
would cost every figure from reviews a walk through its whole window.
"""

from __future__ import annotations

from core.events import DERIVED, Connection, EventStore
from ingest.marks import Marks, read_marks

JUDGED = {
    "checks": "ts, request_id, filter_name, filter_version, layer, stage, mode, rule_id, category, model, score, score_kind, "
    "threshold, triggered, decision, enforced, status, latency_ms",
    "turns": "ts, request_id, conversation_id, model, model_version, app, language, outcome, suite, arm, is_logged, filters, is_stopped, is_escalated",
}
"""Columns of the two tables; texts stay where retention finds them."""
# Logs of one turn lie within a day of each other (`ingest.turns.JOIN_WINDOW`), also after a model log's time took the place of a check's.
_MARGIN = "INTERVAL 2 DAY"
_LISTED = "request_id IN (SELECT unnest(?::VARCHAR[]))"


def refresh_judged(events: EventStore) -> None:
    """Brings the tables `judged_checks` and `judged_turns` in `DERIVED` up to date; the first time reads all that is stored."""
    events.derive("judged", _refresh)


def _refresh(connection: Connection, last: Marks | None) -> Marks:
    marks = read_marks(connection)
    if last is None or (marks != last and not marks.continues(last)):
        for name, columns in JUDGED.items():
            connection.execute(
                f"CREATE OR REPLACE TABLE {DERIVED}.judged_{name} AS "
                f"SELECT {columns} FROM {name} WHERE request_id IN (SELECT request_id FROM labels)"
            )
        connection.execute(
            f"CREATE OR REPLACE TABLE {DERIVED}.judged AS SELECT DISTINCT request_id FROM labels WHERE request_id IS NOT NULL"
        )
    elif marks != last:
        _add(connection, since=last.version)
    return marks


def _add(connection: Connection, *, since: int) -> None:
    """What came with the ingests after `since`: of turns judged before, and of turns judged by it."""
    is_new = f"ingest_id > {since:d}"
    known = f"SELECT request_id FROM {DERIVED}.judged"
    _insert(connection, "checks", f"{is_new} AND request_id IN ({known})")
    # A turn that was completed is another row than before, and one turn may have several.
    changed = _list_ids(connection, f"turns WHERE {is_new} AND request_id IN ({known})")
    if changed:
        connection.execute(f"DELETE FROM {DERIVED}.judged_turns WHERE {_LISTED}", [changed])
        _insert(connection, "turns", _LISTED, changed)
    fresh = _list_ids(connection, f"labels WHERE {is_new} AND request_id IS NOT NULL AND request_id NOT IN ({known})")
    if fresh:
        _add_judged(connection, fresh)


def _add_judged(connection: Connection, fresh: list[str]) -> None:
    """Turns that nobody had judged. Their own times say where their checks are."""
    connection.execute(f"INSERT INTO {DERIVED}.judged SELECT unnest(?::VARCHAR[])", [fresh])
    _insert(connection, "turns", _LISTED, fresh)
    start, stop, found = connection.execute(
        f"SELECT min(ts) - {_MARGIN}, max(ts) + {_MARGIN}, count(DISTINCT request_id) FROM {DERIVED}.judged_turns WHERE {_LISTED}",
        [fresh],
    ).fetchall()[0]
    # Checks may outlive their turn, by a retention that is shorter for turns.
    span, bounds = ("ts BETWEEN ? AND ? AND ", [start, stop]) if found == len(fresh) else ("", [])
    _insert(connection, "checks", span + _LISTED, *bounds, fresh)


def _insert(connection: Connection, name: str, condition: str, *parameters: object) -> None:
    connection.execute(
        f"INSERT INTO {DERIVED}.judged_{name} SELECT {JUDGED[name]} FROM {name} WHERE {condition}", list(parameters)
    )


def _list_ids(connection: Connection, rows: str) -> list[str]:
    return [row[0] for row in connection.execute(f"SELECT DISTINCT request_id FROM {rows}").fetchall()]
