"""When each version of a filter was first seen: the traces that deploys leave in the logs."""

from __future__ import annotations

import polars as pl
from ibis.backends import BaseBackend

from metrics.events import fetch, matching
from metrics.query import Query


def list_versions(backend: BaseBackend, query: Query) -> pl.DataFrame:
    """Versions whose first check lies in the window, oldest first.

    Args:
        backend: The event store.
        query: Its window counts, and its filters on columns of checks; a version counts as new only if no earlier
            check of the same filter names it.

    Returns:
        filter_name, filter_version, first_seen_at (start of the minute).
    """
    table = matching(backend.table("check_rollup"), query)
    table = table.filter(table.filter_version.notnull())
    firsts = table.group_by(["filter_name", "filter_version"]).agg(first_seen_at=table.minute.min())
    if query.since is not None:
        firsts = firsts.filter(firsts.first_seen_at >= query.since)
    if query.until is not None:
        firsts = firsts.filter(firsts.first_seen_at < query.until)
    return fetch(backend, firsts).sort("first_seen_at", "filter_name", "filter_version")
