"""How turns ended for the user."""

from __future__ import annotations

import polars as pl
from ibis.backends import BaseBackend

from metrics.additive import total, turn_counts
from metrics.estimate import wilson
from metrics.events import fetch
from metrics.query import Query
from metrics.report import Report


def compute(backend: BaseBackend, query: Query) -> pl.DataFrame:
    """Turns and their share by outcome, a row per group and outcome; none without turns."""
    table = turn_counts(backend, query)
    counts = table.group_by(*query.by, "outcome").agg(turns=total(table, "turns"))
    return share_outcomes(fetch(backend, counts), query)


def share_outcomes(counts: pl.DataFrame, query: Query) -> pl.DataFrame:
    """Rows of the report out of turns by group and outcome."""
    rows = counts.filter(pl.col("turns") > 0)
    whole = pl.col("turns").sum()
    rows = rows.with_columns(whole=whole.over(query.by) if query.by else whole)
    share = wilson(
        rows, numerator="turns", denominator="whole", min_sample=query.min_sample, confidence=query.confidence
    )
    return rows.select(*query.by, "outcome", "turns", share.alias("share")).sort(*query.by, "outcome", nulls_last=True)


REPORT = Report(
    key="outcomes",
    title="Outcomes",
    unit="turn",
    better="neither",
    description="How turns ended: what the user got. A turn whose log does not say has a null outcome, which is not "
    "a pass.",
    source="Wilson (1927) for the interval.",
    columns={
        "outcome": "how the turn ended; null = not logged",
        "turns": "turns that ended so",
        "share": "turns that ended so / turns of the group",
    },
    dimensions=("model", "app", "language", "suite", "arm", "hour", "day"),
    compute=compute,
)
