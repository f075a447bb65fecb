"""When a check first named each version of a policy, kept at hand in memory: there are few, and every check would have to be read for them."""

from __future__ import annotations

from core.events import DERIVED, Connection, EventStore
from ingest.marks import Marks, read_marks

KEYS = ("filter_name", "filter_version", "layer", "stage", "mode", "policy_id", "policy_version")
"""Columns of the table `policies` beside `ts`, the earliest time of a check that has these values."""
_SEEN = f"SELECT {', '.join(KEYS)}, min(ts) AS ts FROM checks WHERE policy_version IS NOT NULL AND {{condition}} GROUP BY ALL"


def refresh_policies(events: EventStore) -> None:
    """Brings the table `policies` in `DERIVED` up to date; the first time reads all that is stored."""
    events.derive("policies", _refresh)


def _refresh(connection: Connection, last: Marks | None) -> Marks:
    marks = read_marks(connection)
    if last is None or (marks != last and not marks.continues(last)):
        connection.execute(f"CREATE OR REPLACE TABLE {DERIVED}.policies AS {_SEEN.format(condition='true')}")
    elif marks != last:
        # One more row of the same values: a reader takes the earliest.
        connection.execute(f"INSERT INTO {DERIVED}.policies {_SEEN.format(condition=f'ingest_id > {last.version:d}')}")
    return marks
