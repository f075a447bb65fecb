"""How complete the data of a window is. Filters do not narrow it: what is missing cannot be filtered."""

from __future__ import annotations

from dataclasses import replace

from ibis.backends import BaseBackend

from metrics.additive import CHECK_COUNTS, TURN_COUNTS, check_counts, total, turn_counts
from metrics.events import fetch
from metrics.query import Query


def compute_coverage(backend: BaseBackend, query: Query) -> dict[str, int | float | None]:
    """Counts of the query's window.

    Returns:
        turns; checks; errors and not_run (checks that gave no verdict); orphans (turns known only from their
        checks); rejected (open quarantine records of the ingests whose events overlap the window, or that were
        rejected within it where an ingest stored no event); evaluated_share (checks that decided / checks, null
        without checks).
    """
    window = replace(query, by=(), filters=())
    check_table, turn_table = check_counts(backend, window), turn_counts(backend, window)
    checks = fetch(backend, check_table.aggregate(**{name: total(check_table, name) for name in CHECK_COUNTS})).row(
        0, named=True
    )
    turns = fetch(backend, turn_table.aggregate(**{name: total(turn_table, name) for name in TURN_COUNTS})).row(
        0, named=True
    )
    count = checks["evaluated"] + checks["errors"] + checks["not_run"] + checks["undecided"] + checks["hits"]
    due = count - checks["hits"]
    return {
        "turns": turns["turns"],
        "checks": count,
        "errors": checks["errors"],
        "not_run": checks["not_run"],
        "orphans": turns["orphans"],
        "rejected": _rejected(backend, window),
        "evaluated_share": checks["evaluated"] / due if due else None,
    }


def _rejected(backend: BaseBackend, query: Query) -> int:
    table = backend.table("quarantine")
    table = table.filter(table.state == "open").select("ingest_id", "rejected_at")
    ingests = backend.table("ingests").select("ingest_id", "first_event_at", "last_event_at")
    table = table.left_join(ingests, "ingest_id").drop("ingest_id_right")
    table = table.mutate(
        first=table.first_event_at.coalesce(table.rejected_at),
        last=table.last_event_at.coalesce(table.rejected_at),
    )
    if query.since is not None:
        table = table.filter(table["last"] >= query.since)
    if query.until is not None:
        table = table.filter(table["first"] < query.until)
    return int(fetch(backend, table.aggregate(rejected=table.count())).item())
