"""Hand-made counts of checks for alert rules, straight in the rollup that they read."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from core.events import Connection, EventStore

START = datetime.fromisoformat("2026-02-01T00:00:00")
HOUR = timedelta(hours=1)

_INSERT = """INSERT INTO check_rollup BY NAME
SELECT $minute::TIMESTAMP AS minute, $filter_name AS filter_name, '1' AS filter_version, 'classifier' AS layer,
    'input' AS stage, 'enforce' AS mode, $rule_id AS rule_id, NULL AS category, 'm' AS model, 'log' AS source,
    $evaluated AS evaluated, $triggered AS triggered, $triggered AS enforced, $errors AS errors, 0 AS not_run,
    0 AS undecided"""


def put_hours(
    events: EventStore,
    triggered: Sequence[int],
    *,
    evaluated: int = 1000,
    errors: int = 0,
    filter_name: str = "guard",
    rule_id: str | None = None,
    start: datetime = START,
) -> datetime:
    """Stores one row per hour with so many triggers out of `evaluated`; returns the end of the last hour."""

    def work(connection: Connection) -> None:
        for place, count in enumerate(triggered):
            connection.execute(
                _INSERT,
                {
                    "minute": start + place * HOUR,
                    "filter_name": filter_name,
                    "rule_id": rule_id,
                    "evaluated": evaluated,
                    "triggered": count,
                    "errors": errors,
                },
            )

    events.write(work)
    return start + len(triggered) * HOUR
