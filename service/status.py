"""The state of a home: sources, jobs, stores."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from core.clock import isoformat, now
from ingest.schema import TABLES, get_data_version, has_demo_data
from metrics.freshness import freshness
from metrics.query import Query
from metrics.report import plain
from metrics.run import run_report
from metrics.telemetry import measure_sources
from service.home import Home


def build_status(home: Home) -> dict[str, Any]:
    """The document of `weir status --json` (contract section 6)."""
    moment = now()
    window = find_last_day(home)
    measured = {row.pop("source"): row for row in measure_sources(home.events, window).to_dicts()}
    sources = []
    for row in freshness(home.events).to_dicts():
        last = row["last_event_at"]
        sources.append(
            {
                "source": row["source"],
                "format": row["format"],
                "last_event_at": isoformat(last) if last else None,
                "lag_s": round((moment - last).total_seconds(), 1) if last else None,
                "checks": row["checks"],
                "errors": row["errors"],
                "rejected": row["rejected"],
                "evaluated_share": row["evaluated_share"],
                "last_error": row["last_error"],
            }
            | {"last_day": plain(measured.get(row["source"]))}
        )
    jobs = home.events.read(
        "SELECT job, max(started_at) AS last_run_at, arg_max(seconds, started_at) AS seconds, "
        "arg_max(message, started_at) AS message, arg_max(error, started_at) AS error "
        "FROM job_runs GROUP BY job ORDER BY job"
    )
    counts = " UNION ALL ".join(_count_sql(table.name) for table in TABLES)
    path = home.settings.events_path
    stores = {
        "events": {
            "path": str(path),
            "bytes": path.stat().st_size,
            "data_version": get_data_version(home.events),
            "is_demo": has_demo_data(home.events),
            "rows": dict(home.events.read(counts).iter_rows()),
        },
        "records": {"dialect": home.records.engine.dialect.name},
    }
    filters = run_report(home.events, "coverage", window).rows.to_dicts()
    return {
        "sources": sources,
        "filters": {"window": [plain(window.since), plain(window.until)], "rows": [plain(row) for row in filters]},
        "jobs": [plain(row) for row in jobs.to_dicts()],
        "stores": stores,
    }


def find_last_day(home: Home) -> Query:
    """The day that ends with the newest minute of turns: what `weir status` measures, since the whole of the history costs too much."""
    last = home.events.read("SELECT max(minute) AS last FROM turn_rollup WHERE minute <= ?", [now()]).item()
    until = (last or now().replace(second=0, microsecond=0)) + timedelta(minutes=1)
    return Query(since=until - timedelta(days=1), until=until, min_sample=home.settings.statistics.min_sample)


def _count_sql(table: str) -> str:
    """Names of our own schema, never of a user."""
    return f"SELECT '{table}' AS name, count(*) AS rows FROM {table}"  # noqa: S608  see above
