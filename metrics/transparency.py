"""The counts that are reported outwards, per category: what was done automatically, by people, and on appeal."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
from ibis.backends import BaseBackend
from ibis.expr.types import Table

from ingest.schema import MODES
from metrics import errors
from metrics.consensus import CLAIMS
from metrics.estimate import RATE
from metrics.events import checks, fetch, turns
from metrics.funnel import STOPPING
from metrics.query import TURN_DIMENSIONS, Query
from metrics.report import Report
from metrics.reviews import complete_design, fetch_verdicts, keep_category, keep_labelled
from metrics.survey import Ratio, estimate_rates

_REPORTED, _APPEALED = CLAIMS
_LIVE = (*(("mode", mode) for mode in MODES if mode != "shadow"), ("mode", ""))
_NOTHING = {
    "estimate": None,
    "low": None,
    "high": None,
    "numerator": 0.0,
    "denominator": 0.0,
    "method": "wilson",
    "n": 0,
}
_COUNTS = (
    "turns",
    "automated_actions",
    "human_actions",
    "user_reports",
    "appeals",
    "appeals_upheld",
    "appeals_overturned",
)


def compute(backend: BaseBackend, query: Query) -> pl.DataFrame:
    """Counts and rates by group and category, a row for every category that any of them knows."""
    asked = replace(query, by=tuple(name for name in query.by if name != "category"))
    keys = [*asked.by, "category"]
    settled = fetch_verdicts(backend).filter(pl.col("judged_filter").is_null()).drop("judged_filter")
    reviewed = fetch(backend, _known_turns(backend, replace(asked, filters=asked.without("category"))))
    known = reviewed.filter(_is_asked(asked))
    parts = [
        _automated(backend, asked, keys),
        known.join(settled, on="request_id", how="semi").group_by(keys).agg(human_actions=pl.len().cast(pl.Int64)),
        _count_claims(known.join(_fetch_claims(backend), on="request_id"), settled, keys),
    ]
    rows = pl.concat([part.select(keys) for part in parts]).unique().sort(keys, nulls_last=True)
    for part in parts:
        rows = rows.join(part, on=keys, how="left", nulls_equal=True, maintain_order="left")
    live = asked if asked.of("mode") else replace(asked, filters=(*asked.filters, *_LIVE))
    wrong = errors.compute(backend, replace(live, by=tuple(keys))).select(*keys, "wrong_block_share")
    rows = rows.join(wrong, on=keys, how="left", nulls_equal=True, maintain_order="left")
    missed, prevalence = _estimate(backend, asked, rows.select(keys), reviewed, settled)
    return rows.select(
        *keys,
        *(pl.col(name).fill_null(0) for name in _COUNTS),
        pl.col("wrong_block_share").fill_null(pl.lit(_NOTHING, dtype=RATE)),
        missed,
        pl.lit(None, dtype=pl.Float64).alias("median_handling_s"),
        prevalence,
    )


def remark(_backend: BaseBackend, _query: Query) -> list[str]:
    """How the two kinds of category meet."""
    return [
        "Automated actions count by the filter's category, all else by the people's. A turn may count in several rows."
    ]


def _automated(backend: BaseBackend, query: Query, keys: list[str]) -> pl.DataFrame:
    """Turns that a filter triggered on outside shadow, and those that it stopped."""
    table = checks(backend, replace(query, by=tuple(keys)))
    table = table.filter(table.status == "ok", table.triggered, table.mode.fill_null("enforce") != "shadow")
    stopped = table.enforced.fill_null(False) & table.decision.isin(STOPPING)
    return fetch(
        backend,
        table.group_by(keys).agg(
            turns=table.request_id.nunique(), automated_actions=table.request_id.nunique(where=stopped)
        ),
    )


def _is_asked(query: Query) -> pl.Expr:
    """Whether the people's category is one that the query's filters name; the empty one stands for none."""
    values = query.alternatives().get("category")
    if values is None:
        return pl.lit(value=True)
    return pl.col("category").fill_null("").is_in(values)


def _fetch_claims(backend: BaseBackend) -> pl.DataFrame:
    """Users' reports and appeals: request_id, selection, claimed (the category that the user named)."""
    labels = backend.table("labels")
    return fetch(
        backend,
        labels.filter(labels.selection.isin(CLAIMS)).select("request_id", "selection", claimed="category"),
    )


def _count_claims(claims: pl.DataFrame, settled: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    """Users' reports and appeals, and how people decided about the appealed turns: harmful upholds the action."""
    decided = claims.join(settled.select("request_id", "harmful"), on="request_id", how="left")
    appealed = pl.col("request_id").filter(pl.col("selection") == _APPEALED)
    verdict = pl.col("harmful").filter(pl.col("selection") == _APPEALED)
    return (
        decided.with_columns(category=pl.coalesce("category", "claimed"))
        .group_by(keys)
        .agg(
            user_reports=(pl.col("selection") == _REPORTED).sum().cast(pl.Int64),
            appeals=appealed.n_unique().cast(pl.Int64),
            appeals_upheld=appealed.filter(verdict).n_unique().cast(pl.Int64),
            appeals_overturned=appealed.filter(~verdict).n_unique().cast(pl.Int64),
        )
    )


def _known_turns(backend: BaseBackend, query: Query) -> Table:
    """Labelled turns of the query with the people's category."""
    table = turns(backend, replace(query, filters=query.without("category")))
    asked = replace(query, by=(*query.by, "category"))
    table = keep_category(backend, keep_labelled(backend, table), asked)
    return table.select("request_id", "conversation_id", *asked.by)


def _estimate(
    backend: BaseBackend, query: Query, keys: pl.DataFrame, reviewed: pl.DataFrame, settled: pl.DataFrame
) -> tuple[pl.Series, pl.Series]:
    """For each row, out of the reviewed turns of its group.

    Args:
        backend: The event store.
        query: What is asked, without `category` in `by`.
        keys: The rows.
        reviewed: Labelled turns of the query, of any category.
        settled: Verdicts on turns.

    Returns:
        `missed_harm_rate`: harmful turns of its category that no live filter triggered on / harmful turns of its category;
        `prevalence`: harmful turns of its category / all turns.
    """
    verdicts = settled.filter(pl.col("inclusion_probability").is_not_null())
    judged = reviewed.join(verdicts, on="request_id")
    numbered = keys.with_columns(group=pl.int_range(pl.len(), dtype=pl.Int64)).rename({"category": "row_category"})
    pairs = (
        judged.join(numbered, on=list(query.by), nulls_equal=True) if query.by else judged.join(numbered, how="cross")
    )
    live = checks(backend, replace(query, by=(), filters=query.without("category")))
    live = live.filter(live.status == "ok", live.triggered, live.mode.fill_null("enforce") != "shadow")
    fired = fetch(backend, live.select("request_id").distinct())["request_id"]
    found = pl.col("harmful") & pl.col("category").eq_missing(pl.col("row_category"))
    sample = pairs.with_columns(
        found=found,
        missed=found & ~pl.col("request_id").is_in(fired.implode()),
        judged=pl.lit(value=True),
        conversation_id=pl.coalesce("conversation_id", "label_conversation_id"),
    ).drop("label_conversation_id", "category", "row_category")
    rates = estimate_rates(
        complete_design(sample, verdicts),
        {"missed": Ratio("missed", "found"), "found": Ratio("found", "judged")},
        groups=keys.height,
        min_sample=query.min_sample,
        confidence=query.confidence,
    )
    return rates["missed"].alias("missed_harm_rate"), rates["found"].alias("prevalence")


REPORT = Report(
    key="transparency",
    title="Transparency",
    unit="turn",
    better="neither",
    description="What outward reports ask for, per category: automated and human actions, users' reports, appeals and "
    "their outcomes, error and prevalence estimates.",
    source="Counts in the terms of the EU Digital Services Act, Articles 15 and 24; rates as `errors` and `prevalence`.",
    columns={
        "category": "canonical hazard; null = none given",
        "turns": "turns that a filter triggered on, shadow runs left out",
        "automated_actions": "turns that a trigger blocked, modified or escalated in effect",
        "human_actions": "turns that people decided about",
        "user_reports": "reports by users",
        "appeals": "turns appealed against",
        "appeals_upheld": "appealed turns that people found harmful: the action stands",
        "appeals_overturned": "appealed turns that people found benign",
        "wrong_block_share": "benign / triggered, among reviewed triggers",
        "missed_harm_rate": "harmful turns of the category that no filter triggered on / harmful turns of the category, reviewed",
        "median_handling_s": "median seconds from opening a case to its decision; null when unknown",
        "prevalence": "harmful turns of the category / all turns, estimated from reviewed ones",
    },
    dimensions=(*TURN_DIMENSIONS, "hour", "day"),
    compute=compute,
    remark=remark,
)
