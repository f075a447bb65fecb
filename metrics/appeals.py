"""How often people overturn what a filter did, once its user appeals."""

from __future__ import annotations

import polars as pl
from ibis.backends import BaseBackend

from metrics.consensus import CLAIMS, consensus, standing_votes
from metrics.estimate import wilson
from metrics.events import checks, fetch
from metrics.query import CHECK_DIMENSIONS, TURN_DIMENSIONS, Query
from metrics.report import Report

_, _APPEALED = CLAIMS
_COUNTS = ("appealed", "decided", "upheld", "overturned")


def compute(backend: BaseBackend, query: Query) -> pl.DataFrame:
    """Appealed turns and the overturn rate, a row per group; exactly one row without `by`."""
    table = checks(backend, query)
    table = table.filter(table.status == "ok", table.triggered, table.enforced.fill_null(False))
    labels = backend.table("labels")
    appeals = labels.filter(labels.selection == _APPEALED, labels.request_id.notnull())
    appeals = appeals.group_by("request_id").agg(appealed_at=appeals.ts.min())
    table = table.semi_join(appeals, "request_id")
    verdicts = consensus(backend)
    verdicts = verdicts.filter(verdicts.filter_name.isnull()).select("request_id", verdict="harmful")
    # What people said before the appeal does not answer it.
    votes = standing_votes(backend)
    votes = votes.filter(votes.filter_name.isnull()).select("request_id", "ts").inner_join(appeals, "request_id")
    verdicts = verdicts.semi_join(votes.filter(votes.ts >= votes.appealed_at), "request_id")
    table = table.left_join(verdicts, "request_id")
    counts = table.aggregate(
        by=list(query.by),
        appealed=table.request_id.nunique(),
        decided=table.request_id.nunique(where=table.verdict.notnull()),
        upheld=table.request_id.nunique(where=table.verdict.fill_null(False)),
        overturned=table.request_id.nunique(where=(~table.verdict).fill_null(False)),
    )
    rows = fetch(backend, counts)
    if query.by:
        rows = rows.sort(query.by, nulls_last=True)
    rate = wilson(
        rows, numerator="overturned", denominator="decided", min_sample=query.min_sample, confidence=query.confidence
    )
    return rows.select(*query.by, *_COUNTS, rate.alias("overturn_rate"))


def remark(_backend: BaseBackend, _query: Query) -> list[str]:
    """Whom the rate speaks of."""
    return ["Only what users appealed against is counted: they choose, so the rate is not that of all actions."]


REPORT = Report(
    key="appeals",
    title="Appeals",
    unit="turn",
    better="lower",
    description="Turns on which a filter acted and against which the user appealed, and how people decided: harmful "
    "upholds the action, benign overturns it. By rule: `--by filter_name --by rule_id`.",
    source="Wilson (1927) for the interval; the outcomes are those of the EU Digital Services Act, Article 20.",
    columns={
        "appealed": "turns that were appealed against, with an enforced trigger",
        "decided": "appealed turns about which people agree, at least one of them since the appeal",
        "upheld": "decided turns that people found harmful: the action stands",
        "overturned": "decided turns that people found benign",
        "overturn_rate": "overturned / decided",
    },
    dimensions=(*CHECK_DIMENSIONS, *TURN_DIMENSIONS, "hour", "day"),
    compute=compute,
    remark=remark,
)
