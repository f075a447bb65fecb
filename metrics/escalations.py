"""How many turns were handed to a person."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
from ibis.backends import BaseBackend
from ibis.expr.types import Table

from metrics.estimate import wilson
from metrics.events import fetch, turns, within
from metrics.query import TURN_DIMENSIONS, Query
from metrics.report import Report
from metrics.reviews import keep_category


def escalated_turns(backend: BaseBackend, query: Query) -> Table:
    """Turns of the query with the boolean `escalated`; a `category` in the query is the people's.

    A turn was handed to a person when its outcome says so, or when a check of the window escalated it and that
    took effect.
    """
    table = turns(backend, replace(query, filters=query.without("category")))
    checks = within(backend.table("checks"), "ts", query.since, query.until)
    handed = checks.filter(checks.decision == "escalate", checks.enforced).select("request_id").distinct()
    table = table.left_join(handed, "request_id")
    table = table.mutate(
        escalated=(table.outcome == "human_escalation").fill_null(False) | table.request_id_right.notnull()
    ).drop("request_id_right")
    return keep_category(backend, table, query)


def compute(backend: BaseBackend, query: Query) -> pl.DataFrame:
    """Turns, escalated turns and their rate, a row per group; exactly one row without `by`."""
    table = escalated_turns(backend, query)
    counts = table.aggregate(
        by=list(query.by),
        turns=table.count(),
        escalated=table.escalated.cast("int64").sum().fill_null(0).cast("int64"),
    )
    rows = fetch(backend, counts)
    if query.by:
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
    description="Turns handed to a person: the outcome says so, or an enforced check of the window escalated them. "
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
