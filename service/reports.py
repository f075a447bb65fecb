"""Reports whose numbers lie in both stores."""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from incidents.cases import escalation_times
from metrics import escalations
from metrics.events import fetch
from metrics.query import Query
from metrics.report import ReportResult
from metrics.run import run_report
from service.home import Home

_MEDIANS = {"acked_s": "median_ack_s", "decided_s": "median_decide_s"}


def run_home_report(home: Home, name: str, query: Query) -> ReportResult:
    """`run_report`, with the waiting times of escalations out of the decision store."""
    result = run_report(home.events, name, query)
    if name != escalations.REPORT.key:
        return result
    notes = ["Waiting times run from the moment a person could act: when Weir opened or received the case."]
    return replace(result, rows=_add_medians(home, result.rows, query), notes=notes)


def _add_medians(home: Home, rows: pl.DataFrame, query: Query) -> pl.DataFrame:
    backend = home.events.backend()
    table = escalations.escalated_turns(backend, query)
    groups = fetch(backend, table.filter(table.escalated).select("request_id", *query.by))
    times = escalation_times(home.records, since=query.since, until=query.until).drop("category")
    known = groups.join(times, on="request_id")
    medians = [pl.col(column).median().alias(name) for column, name in _MEDIANS.items()]
    bare = rows.drop(_MEDIANS.values())
    if not query.by:
        return bare.with_columns(**known.select(medians).row(0, named=True)).select(rows.columns)
    joined = bare.join(known.group_by(query.by).agg(medians), on=query.by, how="left", nulls_equal=True)
    return joined.select(rows.columns)
