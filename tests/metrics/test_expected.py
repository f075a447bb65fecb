"""The expected band: a filter's own past, hour by hour."""

from __future__ import annotations

from datetime import timedelta

from canonical_rows import START, add

from core.events import Connection, EventStore
from metrics.alarms.expected import SCHEMA, expected_series
from metrics.query import Query

HOUR = timedelta(hours=1)
_PUT = """INSERT INTO check_rollup BY NAME
SELECT $start::TIMESTAMP + to_hours(i::INTEGER) AS minute, 'guard' AS filter_name, 'enforce' AS mode, 'log' AS source,
    1000 AS evaluated, CASE WHEN i % 24 < 8 THEN 20 ELSE 100 END AS triggered, 0 AS enforced, 0 AS errors, 0 AS not_run,
    0 AS undecided FROM range($hours) t(i)"""


def put(events: EventStore, hours: int) -> Query:
    """Hours from midnight on, quieter by night; the question asks for the last day of them."""
    start = START.replace(hour=0)

    def work(connection: Connection) -> None:
        connection.execute(_PUT, {"start": start, "hours": hours})

    events.write(work)
    end = start + hours * HOUR
    return Query(since=end - 24 * HOUR, until=end, filters=(("filter_name", "guard"),))


def test_the_rhythm_of_the_day_is_expected(events: EventStore) -> None:
    rows = expected_series(events, put(events, 24 * 10), bucket_s=3600)
    assert rows.schema == SCHEMA
    assert rows.height == 24
    assert rows["expected"].round(3).to_list() == [0.02] * 8 + [0.1] * 16
    for row in rows.iter_rows(named=True):
        assert 0 < row["low"] < row["expected"] < row["high"] < 0.2


def test_without_history_window_or_one_filter_there_is_no_band(events: EventStore) -> None:
    assert expected_series(events, put(events, 20), bucket_s=3600).is_empty()
    assert expected_series(events, Query(filters=(("filter_name", "guard"),)), bucket_s=3600).is_empty()
    add(events, checks=[{"request_id": "r", "filter_name": "other"}], ingest_id=2)
    end = START + 24 * HOUR
    assert expected_series(events, Query(since=START, until=end), bucket_s=3600).is_empty()
