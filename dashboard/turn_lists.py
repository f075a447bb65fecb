"""The turns behind a number of the cascade, newest first and without any logged prose."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import polars as pl
from ibis.expr.types import BooleanValue, Table

from core.events import EventStore
from metrics.events import checks, fetch, turns
from metrics.funnel import STOPPING, enforced_only
from metrics.layers import LET_THROUGH
from metrics.query import CHECK_DIMENSIONS, Query

LIMIT = 50
LayerNumber = Literal["reached", "triggered", "stopped", "unique_catches", "failed", "failed_open", "failed_closed"]


def list_layer_turns(events: EventStore, query: Query, *, layer: str | None, number: LayerNumber) -> pl.DataFrame:
    """Turns that a number of the reports `funnel` and `layers` counts: ts, request_id, outcome."""
    table = checks(events.backend(), enforced_only(query))
    is_here = table.layer.isnull() if layer is None else table.layer == layer
    fired = (table.status == "ok") & table.triggered
    conditions: dict[str, BooleanValue] = {
        "reached": table.status.isin(("ok", "undecided", "error")),
        "triggered": fired,
        "unique_catches": fired,
        "stopped": fired & table.enforced & table.decision.isin(STOPPING),
    }
    found = table.filter(is_here, conditions.get(number, table.status == "error"))
    if number == "unique_catches":
        # A catch is unique among all layers, also those that the filters leave out.
        kept = tuple(pair for pair in query.filters if pair[0] == "mode" or pair[0] not in CHECK_DIMENSIONS)
        every = checks(events.backend(), enforced_only(replace(query, filters=kept)))
        is_elsewhere = every.layer.notnull() if layer is None else every.layer.isnull() | (every.layer != layer)
        found = found.anti_join(every.filter((every.status == "ok") & every.triggered, is_elsewhere), "request_id")
    listed = _with_outcome(events, found)
    if number == "failed_open":
        listed = listed.filter(listed.outcome.isin(LET_THROUGH))
    if number == "failed_closed":
        listed = listed.filter(listed.outcome.notnull(), listed.outcome.notin(LET_THROUGH))
    return _newest(events, listed)


def list_pair_turns(events: EventStore, query: Query, *, first: str, second: str) -> pl.DataFrame:
    """Turns that both filters triggered on: ts, request_id, outcome."""
    table = checks(events.backend(), enforced_only(query))
    fired = table.filter((table.status == "ok") & table.triggered)
    found = fired.filter(fired.filter_name == first).semi_join(fired.filter(fired.filter_name == second), "request_id")
    return _newest(events, _with_outcome(events, found))


def list_outcome_turns(events: EventStore, query: Query, *, outcome: str | None) -> pl.DataFrame:
    """Turns that ended so; None = not logged: ts, request_id, outcome."""
    table = turns(events.backend(), query)
    chosen = table.filter(table.outcome.isnull() if outcome is None else table.outcome == outcome)
    return _newest(events, chosen.select("ts", "request_id", "outcome"))


def _with_outcome(events: EventStore, found: Table) -> Table:
    facts = events.backend().table("turns").select("request_id", "outcome")
    grouped = found.group_by("request_id").agg(ts=found.ts.max())
    return grouped.left_join(facts, "request_id").drop("request_id_right").select("ts", "request_id", "outcome")


def _newest(events: EventStore, table: Table) -> pl.DataFrame:
    return fetch(events.backend(), table.order_by(table.ts.desc(), table.request_id).limit(LIMIT))
