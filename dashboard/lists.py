"""Lists of rows that pages show as they are: the newest events, quarantine, jobs, ingests, sizes.

Numbers come from `metrics`; here are only selections of stored rows. Values are parameters, never part of the SQL.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from core.clock import now
from core.events import EventStore
from ingest.schema import TABLES
from metrics.events import checks, fetch
from metrics.query import Query

FLOWING_WITHIN = timedelta(days=1)
FLOWING_INGESTS = 5
CLOCK_SKEW = timedelta(minutes=5)
MAX_OPTIONS = 500
TRIGGER_COLUMNS = ("ts", "request_id", "stage", "rule_id", "category", "score", "decision", "enforced", "mode")


def find_newest_event(events: EventStore) -> datetime | None:
    """Time of the newest turn or check that does not lie ahead of the clock; None in an empty store.

    Votes do not count: judging an old sample today must not move its windows.
    """
    frame = events.read(
        "SELECT coalesce("
        "(SELECT max(last_event_at) FROM ingests WHERE turn_count + check_count > 0 AND last_event_at <= $limit),"
        "(SELECT max(minute) FROM turn_rollup WHERE minute <= $limit)) AS newest",
        {"limit": now() + CLOCK_SKEW},
    )
    newest: datetime | None = frame.item()
    return newest


def find_oldest_event(events: EventStore) -> datetime | None:
    """The first minute that has turns or checks; None in an empty store."""
    frame = events.read(
        "SELECT least((SELECT min(minute) FROM turn_rollup), (SELECT min(minute) FROM check_rollup)) AS oldest"
    )
    oldest: datetime | None = frame.item()
    return oldest


def list_flowing(events: EventStore) -> pl.DataFrame:
    """The newest turn or check of every source that keeps coming in; columns source, last_event_at.

    A source flows once it came in `FLOWING_INGESTS` times within a day of the clock; a file loaded once cannot lag.
    """
    return events.read(
        "SELECT source, max(last_event_at) AS last_event_at FROM ingests "
        "WHERE turn_count + check_count > 0 AND ingested_at >= $since "
        "GROUP BY source HAVING count(*) >= $least ORDER BY source",
        {"since": now() - FLOWING_WITHIN, "least": FLOWING_INGESTS},
    )


def list_options(events: EventStore) -> dict[str, list[str]]:
    """What each filter of the bar can be set to, most frequent first, at most `MAX_OPTIONS` each."""
    frame = events.read(
        "SELECT 'filter' AS key, filter_name AS value, sum(evaluated + errors) AS n FROM check_rollup GROUP BY 2 "
        "UNION ALL SELECT 'layer', layer, sum(evaluated + errors) FROM check_rollup GROUP BY 2 "
        "UNION ALL SELECT 'app', app, sum(turns) FROM turn_rollup GROUP BY 2 "
        "UNION ALL SELECT 'model', model, sum(n) FROM ("
        "SELECT model, sum(turns) AS n FROM turn_rollup GROUP BY 1 "
        "UNION ALL SELECT model, 0 FROM check_rollup GROUP BY 1) GROUP BY 2 "
        "ORDER BY key, n DESC, value"
    ).drop_nulls("value")
    return {
        key: frame.filter(pl.col("key") == key)["value"].head(MAX_OPTIONS).to_list()
        for key in ("app", "layer", "filter", "model")
    }


def list_newest_triggers(events: EventStore, query: Query, *, limit: int = 50) -> pl.DataFrame:
    """The newest triggered checks that the query selects, newest first, without any logged prose.

    Columns: ts, request_id, stage, rule_id, category, score, decision, enforced, mode.
    """
    table = checks(events.backend(), query)
    chosen = table.filter(table.triggered).order_by(table.ts.desc(), table.request_id).limit(limit)
    return fetch(events.backend(), chosen.select(*TRIGGER_COLUMNS))


def read_text(events: EventStore, request_id: str, role: str) -> str:
    """One text of a turn as stored, however long; "" when the event store does not have it.

    Args:
        events: The store.
        request_id: The turn.
        role: "user" (the prompt), "assistant" (the response) or "shown" (what the user saw); any other reads the messages.
    """
    column = {"user": "prompt", "assistant": "response", "shown": "final_text"}.get(role, "messages")
    frame = events.read(
        f"SELECT {column} AS text FROM turns WHERE request_id = $request_id",  # noqa: S608 - from a fixed set
        {"request_id": request_id},
    )
    text: str | None = None if frame.is_empty() else frame["text"][0]
    return text or ""


def list_quarantine(
    events: EventStore, *, source: str | None = None, reason: str | None = None, limit: int = 200
) -> pl.DataFrame:
    """Open rejected records, newest first; columns of the table `quarantine`."""
    return events.read(
        "SELECT * REPLACE (CAST(reject_id AS VARCHAR) AS reject_id) FROM quarantine WHERE state = 'open' AND ($source IS NULL OR source = $source) "
        "AND ($reason IS NULL OR reason = $reason) ORDER BY rejected_at DESC, file, line_no LIMIT $limit",
        {"source": source, "reason": reason, "limit": limit},
    )


def count_quarantine(events: EventStore) -> pl.DataFrame:
    """Open rejected records per source and reason; columns source, reason, records."""
    return events.read(
        "SELECT source, reason, count(*) AS records FROM quarantine WHERE state = 'open' "
        "GROUP BY ALL ORDER BY records DESC, source, reason"
    )


def read_arrival(events: EventStore, path: str, *, since: datetime) -> dict[str, Any]:
    """What became of a file of the inbox since a moment.

    Returns:
        read_bytes (null until a part of it is stored), error (why it cannot be read), records, turns, checks, labels, duplicates,
        ignored, rejected.
    """
    return events.read(
        "SELECT (SELECT max(byte_offset) FROM checkpoints WHERE path = $path) AS read_bytes, "
        "(SELECT max(error) FROM checkpoints WHERE path = $path) AS error, "
        "coalesce(sum(read_count), 0)::BIGINT AS records, coalesce(sum(turn_count), 0)::BIGINT AS turns, "
        "coalesce(sum(check_count), 0)::BIGINT AS checks, coalesce(sum(label_count), 0)::BIGINT AS labels, "
        "coalesce(sum(duplicate_count), 0)::BIGINT AS duplicates, coalesce(sum(ignored_count), 0)::BIGINT AS ignored, "
        "coalesce(sum(reject_count), 0)::BIGINT AS rejected "
        "FROM ingests WHERE file = $name AND source = $source AND ingested_at >= $since",
        {"path": path, "name": Path(path).name, "source": Path(path).parent.name, "since": since},
    ).row(0, named=True)


def list_job_runs(events: EventStore, *, limit: int = 100) -> pl.DataFrame:
    """The latest runs of scheduled jobs, newest first; columns of the table `job_runs`."""
    return events.read("SELECT * FROM job_runs ORDER BY started_at DESC LIMIT $limit", {"limit": limit})


def count_records_per_minute(events: EventStore) -> pl.DataFrame:
    """Records read per minute over the hour before the clock; columns source, per_minute."""
    return events.read(
        "SELECT source, sum(read_count) / 60 AS per_minute FROM ingests WHERE ingested_at >= $since GROUP BY source",
        {"since": now() - timedelta(hours=1)},
    )


def list_ingests(events: EventStore, *, limit: int = 100) -> pl.DataFrame:
    """The latest committed batches, newest first; columns of the table `ingests`."""
    return events.read("SELECT * FROM ingests ORDER BY ingest_id DESC LIMIT $limit", {"limit": limit})


def list_failed_files(events: EventStore) -> pl.DataFrame:
    """Files that cannot be read as a whole; columns path, source, error, updated_at."""
    return events.read(
        "SELECT path, source, error, updated_at FROM checkpoints WHERE coalesce(error, '') <> '' "
        "ORDER BY updated_at DESC"
    )


def count_rows(events: EventStore) -> pl.DataFrame:
    """Rows per table of the event store; columns table, meaning, rows."""
    counts = " UNION ALL ".join(f"SELECT '{table.name}' AS name, count(*) AS n FROM {table.name}" for table in TABLES)  # noqa: S608 - names from our own schema
    found = dict(events.read(counts).iter_rows())
    return pl.DataFrame(
        {
            "table": [table.name for table in TABLES],
            "meaning": [table.meaning for table in TABLES],
            "rows": [found[table.name] for table in TABLES],
        }
    )
