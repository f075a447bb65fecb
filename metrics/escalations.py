"""How many turns were handed to a person."""

from __future__ import annotations

from dataclasses import replace

import ibis
import polars as pl
from ibis.backends import BaseBackend
from ibis.expr.types import Table

from metrics.additive import is_escalated, total, turn_counts
from metrics.estimate import wilson
from metrics.events import fetch, turns
from metrics.query import TURN_DIMENSIONS, Query
from metrics.report import Report
from metrics.reviews import keep_category


def escalated_turns(backend: BaseBackend, query: Query) -> Table:
    """Turns of the query with the boolean `escalated`; a `category` in the query is the people's."""
    table = turns(backend, replace(query, filters=query.without("category")))
    return keep_category(backend, table.mutate(escalated=is_escalated(table)), query)


def compute(backend: BaseBackend, query: Query) -> pl.DataFrame:
    """Turns, escalated turns and their rate, a row per group; exactly one row without `by`."""
    if "category" in query.columns():
        table = escalated_turns(backend, query)
        table = table.mutate(turns=ibis.literal(1, "int64"), escalated=table.escalated.cast("int64"))
    else:
        table = turn_counts(backend, query)
    counts = table.aggregate(by=list(query.by), turns=total(table, "turns"), escalated=total(table, "escalated"))
    rows = fetch(backend, counts)
    if query.by:
        # A group of the rollup may hold nothing but what was taken out again.
        rows = rows.filter(pl.col("turns") > 0)
        rows = rows.sort(query.by, nulls_last=True)
    rate = wilson(
        rows,
        numerator="escalated",
        denominator="turns",
        min_sample=query.min_sample,
        confidence=query.confidence,
    )
    unknown = pl.lit(None, dtype=pl.Float64)
    return rows.select(
        *query.by,
        "turns",
        "escalated",
        rate.alias("escalation_rate"),
        unknown.alias("median_ack_s"),
        unknown.alias("median_decide_s"),
    )


def remark(_backend: BaseBackend, _query: Query) -> list[str]:
    """Why the times are null here."""
    return [
        "median_ack_s and median_decide_s come from the decision store (cases), which holds when people took up and "
        "decided a case; the event store alone cannot tell, so they are null where no decision store was asked."
    ]


REPORT = Report(
    key="escalations",
    title="Escalations",
    unit="turn",
    better="lower",
    description="Turns handed to a person: the outcome says so, or an enforced check escalated them. "
    "A category here is the people's.",
    source="Wilson (1927) for the interval.",
    columns={
        "turns": "turns",
        "escalated": "turns handed to a person",
        "escalation_rate": "escalated / turns",
        "median_ack_s": "median seconds from opening to a person taking it up; null when unknown",
        "median_decide_s": "median seconds from opening to the decision; null when unknown",
    },
    dimensions=("category", *TURN_DIMENSIONS, "hour", "day"),
    compute=compute,
    remark=remark,
)
