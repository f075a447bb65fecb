"""One turn is one row, whatever logs mention it, in whatever order.

A model log's facts outrank those that checks carry along; among equals the first to arrive stays, so that a replay
changes nothing. A turn's logs lie within `JOIN_WINDOW` of each other by event time; that bounds the search for it. What
lies further apart (an id that was given out again, a damaged time) is another turn, in one batch as in several.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from core.events import Connection
from ingest.schema import TURNS
from ingest.withheld import OWNERS, drop_withheld

JOIN_WINDOW = "INTERVAL 1 DAY"

# What checks add up to, beside whether there is a model log.
_KNOWN = ("is_logged", "filters", "is_stopped", "is_escalated")
_KEPT = {"request_id", "ts", "source", "ingest_id", *_KNOWN}
_FACTS = [name for name in TURNS.names() if name not in _KEPT]
_COMPARED = ", ".join(["request_id", "ts", *_FACTS, *_KNOWN])
# What checks alone tell of a turn; whatever order they come in, it is the union.
_RAN = "(status IN ('ok', 'undecided') AND mode IS DISTINCT FROM 'shadow')"
_STOPPED = "(status = 'ok' AND triggered AND enforced AND decision IN ('block', 'escalate'))"
_ESCALATED = "(enforced AND decision = 'escalate')"
# 1 for a turn that was handed to a person.
_HANDED = "CAST(coalesce(is_escalated OR outcome = 'human_escalation', false) AS INTEGER)"
_UNION = (
    "CASE WHEN o.filters IS NULL OR n.filters = '[]' OR n.filters = o.filters THEN o.filters "
    "WHEN o.filters = '[]' THEN n.filters ELSE CAST(to_json(list_sort(list_distinct(list_concat("
    "from_json(o.filters, '[\"VARCHAR\"]'), from_json(n.filters, '[\"VARCHAR\"]'))))) AS VARCHAR) END"
)
_OF_CHECKS = ("conversation_id", "turn_index", "model", "user_id", "language", "app", "outcome")


def log_turns(connection: Connection, select: str) -> None:
    """Fills `logged_turns` with a model log's turns.

    Args:
        connection: Within a write transaction; has the temporary table `yielding`.
        select: Yields line_no, request_id, ts and the turns' facts.
    """
    connection.execute(f"CREATE OR REPLACE TEMP TABLE logged_turns AS {select}")
    drop_withheld(connection, "logged_turns", TURNS.name, OWNERS)
    connection.execute("INSERT INTO yielding SELECT DISTINCT line_no, ts FROM logged_turns")


def merge_turns(connection: Connection, *, has_log: bool, has_checks: bool, ingest_id: int, source: str) -> int:
    """Merges what a batch tells of turns into `turns` and `turn_rollup`: its model log first, its checks after it.

    Args:
        connection: Within a write transaction; has the temporary table `contributing`.
        has_log: The batch has `logged_turns`.
        has_checks: The batch has `new_checks`.
        ingest_id: The ingest that stores them.
        source: Where they come from.

    Returns:
        How many turns of the model log were added or completed.
    """
    origin = {"ingest": ingest_id, "source": source}
    checked = _gather_checks(connection) if has_checks else ""
    changed = 0
    if has_log:
        is_single = _is_single(connection, "logged_turns")
        new = _gather_logged(connection, is_single=is_single)
        is_known = True
        if checked:
            new, checked, is_known = _join(connection, new, checked)
        span = _find_known(connection, new) if is_known else None
        changed = _merge(connection, new, span, origin)
        # Lines that say different things of one turn all contribute; an exact copy is a duplicate.
        first, copies = (
            ("line_no", "") if is_single else ("min(line_no)", f"GROUP BY request_id, ts, {', '.join(_FACTS)}")
        )
        which = "SEMI JOIN changed_turns USING (request_id)" if span else ""
        connection.execute(f"INSERT INTO contributing SELECT {first} FROM logged_turns {which} {copies}")
    if checked:
        _merge(connection, checked, _find_known(connection, checked), origin)
    return changed


def _is_single(connection: Connection, table: str) -> bool:
    """Whether `table` names no turn twice."""
    return bool(connection.execute(f"SELECT count(*) = count(DISTINCT request_id) FROM {table}").fetchall()[0][0])


def _gather_logged(connection: Connection, *, is_single: bool) -> str:
    """The turns of `logged_turns`, as a relation: a row per turn, numbered by `new_id`, each fact the first that is not null."""
    known = "true AS is_logged, '[]' AS filters, false AS is_stopped, false AS is_escalated"
    if is_single:
        return f"(SELECT rowid AS new_id, request_id, ts, {', '.join(_FACTS)}, {known} FROM logged_turns)"
    first = ", ".join(f"arg_min({name}, line_no) AS {name}" for name in _FACTS)
    return _group(connection, "logged_turns", "new_turns", f"arg_min(ts, line_no) AS ts, {first}, {known}")


def _gather_checks(connection: Connection) -> str:
    """The turns that `new_checks` tell of, in the same form; when they happened is when the first of them ran."""
    rest = ", ".join(
        f"CAST(NULL AS {column.type}) AS {column.name}"
        for column in TURNS.columns
        if column.name in _FACTS and column.name not in _OF_CHECKS
    )
    if _is_single(connection, "new_checks"):
        connection.execute(f"""
            CREATE OR REPLACE TEMP TABLE turns_of_checks AS
            SELECT request_id, ts, {", ".join(_OF_CHECKS)}, {rest}, false AS is_logged,
                CASE WHEN {_RAN} THEN CAST(to_json([filter_name]) AS VARCHAR) ELSE '[]' END AS filters,
                coalesce({_STOPPED}, false) AS is_stopped, coalesce({_ESCALATED}, false) AS is_escalated
            FROM new_checks""")
        relation = _numbered("turns_of_checks")
    else:
        first = ", ".join(f"arg_min({name}, line_no) AS {name}" for name in _OF_CHECKS)
        relation = _group(
            connection,
            "new_checks",
            "turns_of_checks",
            f"min(ts) AS ts, {first}, {rest}, false AS is_logged, "
            f"CAST(to_json(coalesce(list_sort(list_distinct(list(filter_name) FILTER {_RAN})), [])) AS VARCHAR) AS filters, "
            f"coalesce(bool_or({_STOPPED}), false) AS is_stopped, coalesce(bool_or({_ESCALATED}), false) AS is_escalated",
        )
    drop_withheld(connection, "turns_of_checks", TURNS.name, ())
    return relation


def _numbered(table: str) -> str:
    return f"(SELECT rowid AS new_id, * FROM {table})"


def _group(connection: Connection, table: str, gathered: str, columns: str) -> str:
    """Fills `gathered` with the aggregates `columns` of each turn of `table`; returns it as a relation."""
    grouped = f"SELECT request_id, {columns}, max(ts) - min(ts) > {JOIN_WINDOW} AS is_apart"
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {gathered} AS {grouped} FROM {table} GROUP BY request_id")
    if connection.execute(f"SELECT coalesce(bool_or(is_apart), false) FROM {gathered}").fetchall()[0][0]:
        connection.execute(f"""
            CREATE OR REPLACE TEMP TABLE apart AS
            SELECT *, count(*) FILTER (is_start) OVER (PARTITION BY request_id ORDER BY ts) AS part FROM (
                SELECT *, coalesce(ts - lag(ts) OVER (PARTITION BY request_id ORDER BY ts) > {JOIN_WINDOW}, true) AS is_start
                FROM {table} SEMI JOIN (SELECT request_id FROM {gathered} WHERE is_apart) USING (request_id))""")
        connection.execute(f"DELETE FROM {gathered} WHERE is_apart")
        connection.execute(f"INSERT INTO {gathered} {grouped} FROM apart GROUP BY request_id, part")
    return _numbered(gathered)


def _join(connection: Connection, logged: str, checked: str) -> tuple[str, str, bool]:
    """Joins the turns of a batch's checks to those of its model log, so that each is stored once, whole.

    Left alone are turns whose id is stored already or stands for several: which row is meant then is found as if the checks had
    come later.

    Returns:
        The model log's turns; those of the checks that are left, "" for none; whether any turn may be stored already.
    """
    start, stop = connection.execute(
        f"SELECT min(ts) - {JOIN_WINDOW}, max(ts) + {JOIN_WINDOW} "
        f"FROM (SELECT ts FROM {logged} UNION ALL SELECT ts FROM {checked})"
    ).fetchall()[0]
    stored = connection.execute(
        f"CREATE OR REPLACE TEMP TABLE stored AS SELECT DISTINCT request_id FROM turns SEMI JOIN "
        f"(SELECT request_id FROM {logged} UNION ALL SELECT request_id FROM {checked}) USING (request_id) "
        "WHERE ts BETWEEN ? AND ?",
        [start, stop],
    ).fetchall()[0][0]
    paired = connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE paired AS SELECT n.new_id AS turn_id, c.* FROM {logged} n JOIN {checked} c
            ON n.request_id = c.request_id AND c.ts BETWEEN n.ts - {JOIN_WINDOW} AND n.ts + {JOIN_WINDOW}
        WHERE {"c.request_id NOT IN (SELECT request_id FROM stored)" if stored else "true"}
        QUALIFY count(*) OVER (PARTITION BY c.request_id) = 1""").fetchall()[0][0]
    if paired:
        facts = ", ".join(
            f"coalesce(n.{name}, p.{name}) AS {name}" if name in _OF_CHECKS else f"n.{name}" for name in _FACTS
        )
        known = ", ".join(f"coalesce(p.{name}, n.{name}) AS {name}" for name in _KNOWN[1:])
        logged = (
            f"(SELECT n.new_id, n.request_id, n.ts, {facts}, n.is_logged, {known} "
            f"FROM {logged} n LEFT JOIN paired p ON p.turn_id = n.new_id)"
        )
        checked = f"(SELECT * FROM {checked} ANTI JOIN paired USING (new_id))"
    left = connection.execute(f"SELECT count(*) FROM {checked}").fetchall()[0][0]
    return logged, checked if left else "", bool(stored)


def _find_known(connection: Connection, new: str) -> tuple[datetime, datetime] | None:
    """Fills `known_turns`: for each of `new` the one stored row that it tells of, if any; no row twice.

    Returns:
        The span of their times; None if there are none.
    """
    # As constants, not as subqueries: only then does the scan skip what lies outside.
    span = connection.execute(f"SELECT min(ts) - {JOIN_WINDOW}, max(ts) + {JOIN_WINDOW} FROM {new}").fetchall()[0]
    found = connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE known_turns AS
        SELECT o.*, o.rowid AS row_id, n.new_id, n.ts AS new_ts FROM turns o JOIN {new} n
            ON o.request_id = n.request_id AND o.ts BETWEEN n.ts - {JOIN_WINDOW} AND n.ts + {JOIN_WINDOW}
        WHERE o.ts BETWEEN ? AND ?""",
        span,
    ).fetchall()[0][0]
    if not found:
        return None
    rows, turns, start, stop = connection.execute(
        "SELECT count(DISTINCT row_id), count(DISTINCT new_id), min(ts), max(ts) FROM known_turns"
    ).fetchall()[0]
    if found > min(rows, turns):
        # Times that lie more than the window apart can both lie within it of a third: the nearest wins.
        for key in ("new_id", "row_id"):
            connection.execute(f"""
                DELETE FROM known_turns WHERE rowid IN (
                    SELECT rowid FROM known_turns QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY
                        abs(epoch_us(ts) - epoch_us(new_ts)), is_logged DESC, ts, row_id, new_ts) > 1)""")
    return start, stop


def _merge(connection: Connection, new: str, span: tuple[datetime, datetime] | None, origin: dict[str, Any]) -> int:
    """Stores the turns `new`, those of `known_turns` completed, and counts them; returns how many were added or completed."""
    changed = f"(SELECT *, CAST(NULL AS BIGINT) AS row_id FROM {new})"
    if span:
        _complete(connection, new)
        changed = "changed_turns"
    counted = "sum(turns) AS turns, sum(orphans) AS orphans, sum(stopped) AS stopped, sum(escalated) AS escalated"
    outdated = f"UNION ALL {_counted(-1)} FROM known_turns SEMI JOIN changed_turns USING (row_id)" if span else ""
    connection.execute(f"""
        INSERT INTO turn_rollup BY NAME
        SELECT minute, outcome, model, app, language, filters, {counted}
        FROM ({_counted(1)} FROM {changed} {outdated})
        GROUP BY ALL HAVING sum(turns) <> 0 OR sum(orphans) <> 0 OR sum(stopped) <> 0 OR sum(escalated) <> 0
        ORDER BY minute""")
    completed = _update(connection, span, origin) if span else 0
    added: int = connection.execute(
        f"INSERT INTO turns ({_COMPARED}, source, ingest_id) "
        f"SELECT {_COMPARED}, $source, $ingest FROM {changed} WHERE row_id IS NULL ORDER BY ts",
        origin,
    ).fetchall()[0][0]
    return added + completed


def _counted(sign: int) -> str:
    """The start of a SELECT of turns as rows of `turn_rollup`, each `sign` turns."""
    return (
        f"SELECT date_trunc('minute', ts) AS minute, outcome, model, app, language, filters, {sign} AS turns, "
        f"{sign} * CAST(NOT is_logged AS INTEGER) AS orphans, {sign} * CAST(coalesce(is_stopped, false) AS INTEGER) AS stopped, "
        f"{sign} * {_HANDED} AS escalated"
    )


def _update(connection: Connection, span: tuple[datetime, datetime], origin: dict[str, Any]) -> int:
    """Brings the stored turns to what `changed_turns` says; returns how many."""
    names = ["ts", *_FACTS, *_KNOWN]
    # A column that no turn changes is not written: a late check adds its filter to turns whose texts are long.
    differs = ", ".join(f"coalesce(bool_or(c.{name} IS DISTINCT FROM k.{name}), false)" for name in names)
    found = connection.execute(
        f"SELECT {differs} FROM changed_turns c JOIN known_turns k ON k.row_id = c.row_id"
    ).fetchall()[0]
    updates = "".join(f"{name} = c.{name}, " for name, is_changed in zip(names, found, strict=True) if is_changed)
    if not updates:
        return 0
    count: int = connection.execute(
        f"""
        UPDATE turns SET {updates} ingest_id = $ingest,
            source = CASE WHEN c.is_logged AND NOT turns.is_logged THEN $source ELSE turns.source END
        FROM changed_turns c WHERE turns.rowid = c.row_id AND turns.ts BETWEEN $start AND $stop""",
        origin | {"start": span[0], "stop": span[1]},
    ).fetchall()[0][0]
    return count


def _complete(connection: Connection, new: str) -> None:
    """Fills `changed_turns`: what of `new` is unknown, and the known turns that it completes, by their `row_id`.

    A turn that is known only from checks starts with its first check; the model log's time is final.
    """
    merged = ", ".join(
        f"CASE WHEN n.is_logged AND NOT o.is_logged THEN coalesce(n.{name}, o.{name}) "
        f"ELSE coalesce(o.{name}, n.{name}) END AS {name}"
        for name in _FACTS
    )
    connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE changed_turns AS
        SELECT {_COMPARED}, CAST(NULL AS BIGINT) AS row_id FROM {new} n ANTI JOIN known_turns k ON k.new_id = n.new_id
        UNION ALL
        (SELECT {_COMPARED}, row_id FROM (
            SELECT o.row_id, n.request_id,
                CASE WHEN o.is_logged THEN o.ts WHEN n.is_logged THEN n.ts ELSE least(o.ts, n.ts) END AS ts,
                {merged}, o.is_logged OR n.is_logged AS is_logged, {_UNION} AS filters,
                o.is_stopped OR n.is_stopped AS is_stopped, o.is_escalated OR n.is_escalated AS is_escalated
            FROM {new} n JOIN known_turns o ON o.new_id = n.new_id)
        EXCEPT SELECT {_COMPARED}, row_id FROM known_turns)""")
