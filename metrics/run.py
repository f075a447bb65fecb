"""Runs a report by name."""

from __future__ import annotations

import polars as pl
from ibis.backends import BaseBackend

from core.clock import now
from core.events import EventStore
from metrics import REPORTS
from metrics.coverage import compute_coverage
from metrics.query import Query, validate
from metrics.report import Report, ReportResult


def run_report(events: EventStore, name: str, query: Query, *, engine: BaseBackend | None = None) -> ReportResult:
    """One report's rows with the coverage of its window.

    Args:
        events: The event store.
        name: The report.
        query: What is asked.
        engine: Another store of the canonical tables to ask instead.

    Raises:
        UsageError: No report has this name, or the query names something that the report does not have; the hint
            lists what is valid.
    """
    report = _find(name, query)
    backend = engine or events.backend()
    return ReportResult(
        report=report.key,
        generated_at=now(),
        window=(query.since, query.until),
        rows=report.compute(backend, query),
        coverage=compute_coverage(backend, query),
        notes=report.remark(backend, query),
    )


def compute_rows(events: EventStore, name: str, query: Query) -> pl.DataFrame:
    """The rows of `run_report`, for whoever shows the window's coverage by itself.

    Raises:
        UsageError: As `run_report`.
    """
    return _find(name, query).compute(events.backend(), query)


def _find(name: str, query: Query) -> Report:
    report = REPORTS[name]
    validate(query, dimensions=report.dimensions, report=report.key)
    return report
