"""Reports whose numbers lie in both stores."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
from ibis.backends import BaseBackend

from incidents.cases import escalation_times, handling_times
from metrics import escalations, transparency
from metrics.events import fetch, turns
from metrics.query import Query
from metrics.report import ReportResult
from metrics.reviews import keep_labelled
from metrics.run import run_report
from service.home import Home

_ESCALATION_MEDIANS = {"acked_s": "median_ack_s", "decided_s": "median_decide_s"}
_HANDLING_MEDIANS = {"handled_s": "median_handling_s"}


def run_home_report(home: Home, name: str, query: Query, *, engine: BaseBackend | None = None) -> ReportResult:
    """`run_report`, with the waiting and handling times out of the decision store."""
    result = run_report(home.events, name, query, engine=engine)
    if engine is not None:  # another store knows nothing of this home's cases
        return result
    if name == escalations.REPORT.key:
        return _add_waiting(home, result, query)
    return _add_handling(home, result, query) if name == transparency.REPORT.key else result


def _add_waiting(home: Home, result: ReportResult, query: Query) -> ReportResult:
    backend = home.events.backend()
    table = escalations.escalated_turns(backend, query)
    groups = fetch(backend, table.filter(table.escalated).select("request_id", *query.by))
    times = escalation_times(home.records, since=query.since, until=query.until).drop("category")
    rows = _add_medians(result.rows, groups.join(times, on="request_id"), list(query.by), _ESCALATION_MEDIANS)
    notes = ["Waiting times run from the moment a person could act: when Weir opened or received the case."]
    return replace(result, rows=rows, notes=notes)


def _add_handling(home: Home, result: ReportResult, query: Query) -> ReportResult:
    backend = home.events.backend()
    table = turns(backend, replace(query, filters=query.without("category")))
    times = handling_times(home.records, since=query.since, until=query.until)
    known = fetch(backend, keep_labelled(backend, table).select("request_id", *query.by))
    keys = [*query.by, "category"]
    rows = _add_medians(result.rows, known.join(times, on="request_id"), keys, _HANDLING_MEDIANS)
    return replace(result, rows=rows)


def _add_medians(rows: pl.DataFrame, times: pl.DataFrame, by: list[str], names: dict[str, str]) -> pl.DataFrame:
    """`rows` with the median of each column of `times` under its name there; null where nothing was measured."""
    medians = [pl.col(column).median().alias(name) for column, name in names.items()]
    bare = rows.drop(names.values())
    if not by:
        return bare.with_columns(**times.select(medians).row(0, named=True)).select(rows.columns)
    joined = bare.join(times.group_by(by).agg(medians), on=by, how="left", nulls_equal=True, maintain_order="left")
    return joined.select(rows.columns)
