"""One turn is one row, whatever logs mention it, in whatever order.

A model log's facts outrank those that checks carry along; among equals the first to arrive stays, so that a replay
changes nothing. A turn's logs lie within `JOIN_WINDOW` of each other by event time; that bounds the search for it. What
lies further apart (an id that was given out again, a damaged time) is another turn, in one batch as in several.
"""

from __future__ import annotations

from datetime import datetime

from core.events import Connection
from ingest.schema import TURNS
from ingest.withheld import OWNERS, drop_withheld

JOIN_WINDOW = "INTERVAL 1 DAY"

# What checks add up to, beside whether there is a model log.
_KNOWN = ("is_logged", "filters", "is_stopped", "is_escalated")
_KEPT = {"request_id", "ts", "source", "ingest_id", *_KNOWN}
_FACTS = [name for name in TURNS.names() if name not in _KEPT]
# What checks alone tell of a turn; whatever order they come in, it is the union.
_RAN = (
    "CAST(to_json(coalesce(list_sort(list(DISTINCT filter_name) FILTER (status IN ('ok', 'undecided') "
    "AND mode IS DISTINCT FROM 'shadow')), [])) AS VARCHAR)"
)
_STOPPED = "coalesce(bool_or(status = 'ok' AND triggered AND enforced AND decision IN ('block', 'escalate')), false)"
_ESCALATED = "coalesce(bool_or(enforced AND decision = 'escalate'), false)"
# 1 for a turn that was handed to a person.
_HANDED = "CAST(coalesce(is_escalated OR outcome = 'human_escalation', false) AS INTEGER)"
_UNION = (
    "CASE WHEN o.filters IS NULL OR n.filters = '[]' OR n.filters = o.filters THEN o.filters "
    "WHEN o.filters = '[]' THEN n.filters ELSE CAST(to_json(list_sort(list_distinct(list_concat("
    "from_json(o.filters, '[\"VARCHAR\"]'), from_json(n.filters, '[\"VARCHAR\"]'))))) AS VARCHAR) END"
)
_OF_CHECKS = ("conversation_id", "turn_index", "model", "user_id", "language", "app", "outcome")


def merge_turns(connection: Connection, select: str, *, ingest_id: int, source: str) -> int:
    """Merges a model log's turns into `turns` and `turn_rollup`.

    Args:
        connection: Within a write transaction; has the temporary tables `contributing` and `yielding`.
        select: Yields line_no, request_id, ts and the turns' facts.
        ingest_id: The ingest that stores them.
        source: Where they come from.

    Returns:
        How many turns were added or completed.
    """
    connection.execute(f"CREATE OR REPLACE TEMP TABLE logged_turns AS {select}")
    drop_withheld(connection, "logged_turns", TURNS.name, OWNERS)
    connection.execute("INSERT INTO yielding SELECT DISTINCT line_no FROM logged_turns")
    _gather(connection, "logged_turns", _FACTS, is_logged=True)
    changed = _merge(connection, ingest_id=ingest_id, source=source)
    # Lines that say different things of one turn all contribute; an exact copy is a duplicate.
    connection.execute(f"""
        INSERT INTO contributing
        SELECT min(line_no) FROM logged_turns SEMI JOIN changed_turns USING (request_id)
        GROUP BY request_id, ts, {", ".join(_FACTS)}""")
    return changed


def add_turns_of_checks(connection: Connection, *, ingest_id: int, source: str) -> None:
    """Merges what the new checks know of their turns."""
    _gather(connection, "new_checks", _OF_CHECKS, is_logged=False)
    drop_withheld(connection, "new_turns", TURNS.name, ())
    _merge(connection, ingest_id=ingest_id, source=source)


def _gather(connection: Connection, table: str, facts: list[str] | tuple[str, ...], *, is_logged: bool) -> None:
    """Fills `new_turns`: one row per turn, each fact the first that is not null."""
    first = ", ".join(f"arg_min({name}, line_no) AS {name}" for name in facts)
    rest = "".join(
        f", CAST(NULL AS {column.type}) AS {column.name}"
        for column in TURNS.columns
        if column.name in _FACTS and column.name not in facts
    )
    moment = "arg_min(ts, line_no)" if is_logged else "min(ts)"
    ran, stopped, escalated = ("'[]'", "false", "false") if is_logged else (_RAN, _STOPPED, _ESCALATED)
    gathered = f"""
        SELECT request_id, {moment} AS ts, {first}{rest}, {str(is_logged).lower()} AS is_logged,
            {ran} AS filters, {stopped} AS is_stopped, {escalated} AS is_escalated,
            max(ts) - min(ts) > {JOIN_WINDOW} AS is_apart"""
    connection.execute(f"CREATE OR REPLACE TEMP TABLE new_turns AS {gathered} FROM {table} GROUP BY request_id")
    if not connection.execute("SELECT coalesce(bool_or(is_apart), false) FROM new_turns").fetchall()[0][0]:
        return
    connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE apart AS
        SELECT *, count(*) FILTER (is_start) OVER (PARTITION BY request_id ORDER BY ts) AS part FROM (
            SELECT *, coalesce(ts - lag(ts) OVER (PARTITION BY request_id ORDER BY ts) > {JOIN_WINDOW}, true) AS is_start
            FROM {table} SEMI JOIN (SELECT request_id FROM new_turns WHERE is_apart) USING (request_id))""")
    connection.execute("DELETE FROM new_turns WHERE is_apart")
    connection.execute(f"INSERT INTO new_turns {gathered} FROM apart GROUP BY request_id, part")


def _find_known(connection: Connection) -> tuple[datetime, datetime] | None:
    """Fills `known_turns`: for each of `new_turns` the one stored row that it tells of, if any; no row twice.

    Returns:
        The span of their times; None if there are none.
    """
    # As constants, not as subqueries: only then does the scan skip what lies outside.
    span = connection.execute(
        f"SELECT min(ts) - {JOIN_WINDOW} AS start, max(ts) + {JOIN_WINDOW} AS stop FROM new_turns"
    ).fetchall()[0]
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE known_turns AS
        SELECT o.*, o.rowid AS row_id, n.rowid AS new_id, n.ts AS new_ts FROM turns o JOIN new_turns n
            ON o.request_id = n.request_id AND o.ts BETWEEN n.ts - {JOIN_WINDOW} AND n.ts + {JOIN_WINDOW}
        WHERE o.ts BETWEEN ? AND ?""",
        span,
    )
    found, rows, turns, start, stop = connection.execute(
        "SELECT count(*), count(DISTINCT row_id), count(DISTINCT new_id), min(ts), max(ts) FROM known_turns"
    ).fetchall()[0]
    if found > min(rows, turns):
        # Times that lie more than the window apart can both lie within it of a third: the nearest wins.
        for key in ("new_id", "row_id"):
            connection.execute(f"""
                DELETE FROM known_turns WHERE rowid IN (
                    SELECT rowid FROM known_turns QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY
                        abs(epoch_us(ts) - epoch_us(new_ts)), is_logged DESC, ts, row_id, new_ts) > 1)""")
    return (start, stop) if found else None


def _merge(connection: Connection, *, ingest_id: int, source: str) -> int:
    compared = ", ".join(["request_id", "ts", *_FACTS, *_KNOWN])
    span = _find_known(connection)
    connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE changed_turns AS
        SELECT {compared}, CAST(NULL AS BIGINT) AS row_id FROM new_turns n
        ANTI JOIN known_turns k ON k.new_id = n.rowid""")
    if span:
        _complete(connection, compared)
    connection.execute(f"""
        INSERT INTO turn_rollup BY NAME
        SELECT minute, outcome, model, app, language, filters, sum(turns) AS turns, sum(orphans) AS orphans,
            sum(stopped) AS stopped, sum(escalated) AS escalated FROM (
            SELECT date_trunc('minute', ts) AS minute, outcome, model, app, language, filters, 1 AS turns,
                CAST(NOT is_logged AS INTEGER) AS orphans, CAST(coalesce(is_stopped, false) AS INTEGER) AS stopped,
                {_HANDED} AS escalated
            FROM changed_turns
            UNION ALL
            SELECT date_trunc('minute', ts), outcome, model, app, language, filters, -1, -CAST(NOT is_logged AS INTEGER),
                -CAST(coalesce(is_stopped, false) AS INTEGER), -{_HANDED}
            FROM known_turns SEMI JOIN changed_turns USING (row_id))
        GROUP BY ALL HAVING sum(turns) <> 0 OR sum(orphans) <> 0 OR sum(stopped) <> 0 OR sum(escalated) <> 0
        ORDER BY minute""")
    if span:
        updates = ", ".join(f"{name} = c.{name}" for name in ["ts", *_FACTS, *_KNOWN])
        connection.execute(
            f"""
            UPDATE turns SET {updates}, ingest_id = $ingest,
                source = CASE WHEN c.is_logged AND NOT turns.is_logged THEN $source ELSE turns.source END
            FROM changed_turns c WHERE turns.rowid = c.row_id AND turns.ts BETWEEN $start AND $stop""",
            {"ingest": ingest_id, "start": span[0], "stop": span[1], "source": source},
        )
    connection.execute(
        f"INSERT INTO turns ({compared}, source, ingest_id) "
        f"SELECT {compared}, $source, $ingest FROM changed_turns WHERE row_id IS NULL ORDER BY ts",
        {"source": source, "ingest": ingest_id},
    )
    count: int = connection.execute("SELECT count(*) FROM changed_turns").fetchall()[0][0]
    return count


def _complete(connection: Connection, compared: str) -> None:
    """Adds to `changed_turns` the known turns that the new facts complete.

    A turn that is known only from checks starts with its first check; the model log's time is final.
    """
    merged = ", ".join(
        f"CASE WHEN n.is_logged AND NOT o.is_logged THEN coalesce(n.{name}, o.{name}) "
        f"ELSE coalesce(o.{name}, n.{name}) END AS {name}"
        for name in _FACTS
    )
    connection.execute(f"""
        INSERT INTO changed_turns
        SELECT {compared}, row_id FROM (
            SELECT o.row_id, n.request_id,
                CASE WHEN o.is_logged THEN o.ts WHEN n.is_logged THEN n.ts ELSE least(o.ts, n.ts) END AS ts,
                {merged}, o.is_logged OR n.is_logged AS is_logged, {_UNION} AS filters,
                o.is_stopped OR n.is_stopped AS is_stopped, o.is_escalated OR n.is_escalated AS is_escalated
            FROM new_turns n JOIN known_turns o ON o.new_id = n.rowid)
        EXCEPT SELECT {compared}, row_id FROM known_turns""")
