"""Hand-made checks for alert rules: counts per hour in the rollup, and the checks that triggered."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from core.events import Connection, EventStore

START = datetime.fromisoformat("2026-02-01T00:00:00")
HOUR = timedelta(hours=1)

_COUNTS = """INSERT INTO check_rollup BY NAME
SELECT $minute::TIMESTAMP AS minute, $filter_name AS filter_name, '1' AS filter_version, 'classifier' AS layer,
    'input' AS stage, $mode AS mode, $rule_id AS rule_id, NULL AS category, 'm' AS model, 'log' AS source,
    $evaluated AS evaluated, $triggered AS triggered, $triggered AS enforced, $errors AS errors, 0 AS not_run,
    0 AS undecided"""
_CHECKS = """INSERT INTO checks BY NAME
SELECT gen_random_uuid() AS check_id, $minute::TIMESTAMP AS ts, request_id, $filter_name AS filter_name,
    '1' AS filter_version, 'classifier' AS layer, $mode AS mode, $rule_id AS rule_id, 'ok' AS status,
    true AS triggered, true AS enforced, 'block' AS decision, 'log' AS source, 1 AS ingest_id
FROM (SELECT $filter_name || $minute || i AS request_id FROM range($triggered) t(i))"""
_TURNS = """INSERT INTO turns BY NAME
SELECT request_id, ts, $conversation_id AS conversation_id, 'log' AS source, true AS is_logged, 1 AS ingest_id
FROM checks WHERE ts = $minute::TIMESTAMP AND filter_name = $filter_name"""


def put_hours(
    events: EventStore,
    triggered: Sequence[int],
    *,
    evaluated: int = 1000,
    errors: int = 0,
    filter_name: str = "guard",
    rule_id: str | None = None,
    conversation_id: str | None = None,
    start: datetime = START,
    mode: str = "enforce",
) -> datetime:
    """Stores an hour's checks for each number of triggers; returns the end of the last hour.

    Args:
        events: The store.
        triggered: Triggers out of `evaluated`, hour by hour.
        evaluated: Checks that decided, in each hour.
        errors: Checks that failed, in each hour.
        filter_name: The filter.
        rule_id: Its rule, if it logs one.
        conversation_id: The one conversation that all triggers come from; None = as many as triggers.
        start: Start of the first hour, naive UTC.
        mode: Whether the filter's decisions take effect.
    """

    def work(connection: Connection) -> None:
        for place, count in enumerate(triggered):
            key = {"minute": start + place * HOUR, "filter_name": filter_name}
            named = key | {"rule_id": rule_id, "triggered": count, "mode": mode}
            connection.execute(_COUNTS, named | {"evaluated": evaluated, "errors": errors})
            if count:
                connection.execute(_CHECKS, named)
            if conversation_id:
                connection.execute(_TURNS, key | {"conversation_id": conversation_id})

    events.write(work)
    return start + len(triggered) * HOUR
