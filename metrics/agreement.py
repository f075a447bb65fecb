"""How far reviewers agree with each other, before any of it is settled."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
from ibis.backends import BaseBackend
from ibis.expr.types import Table

from core.errors import UsageError
from metrics.consensus import REFERENCES, standing_votes
from metrics.estimate import MEASURE, RATE, wilson
from metrics.events import fetch, turns
from metrics.query import TURN_DIMENSIONS, Query
from metrics.reliability import cohen_kappa, estimate_alpha, gwet_ac1, percent_agreement
from metrics.report import Report
from metrics.reviews import keep_category

FIELDS = ("harmful", "category", "severity")
_RATER = pl.Struct({"reviewer": pl.String, "items": pl.Int64, "agreement": RATE})
_SCHEMA: dict[str, pl.DataType] = {
    "votes": pl.Int64(),
    "items": pl.Int64(),
    "raters": pl.Int64(),
    "percent_agreement": RATE,
    "krippendorff_alpha": MEASURE,
    "gwet_ac1": pl.Float64(),
    "cohen_kappa": pl.Float64(),
    "by_reviewer": pl.List(_RATER),
}


def compute(backend: BaseBackend, query: Query) -> pl.DataFrame:
    """Agreement of the standing votes on one field, a row per group; exactly one row without `by`.

    Raises:
        UsageError: The query's field is not one of `FIELDS`.
    """
    votes = fetch(backend, _votes(backend, query))
    if not query.by:
        return pl.DataFrame([_measure(votes, query)], schema=_SCHEMA)
    keys = votes.select(query.by).unique().sort(query.by, nulls_last=True)
    rows = []
    for key in keys.iter_rows(named=True):
        own = votes.filter(*(pl.col(name).eq_missing(value) for name, value in key.items()))
        rows.append(_measure(own, query))
    return pl.concat([keys, pl.DataFrame(rows, schema=_SCHEMA)], how="horizontal")


def remark(backend: BaseBackend, query: Query) -> list[str]:
    """Says how many votes are about turns that no log has, and where alpha misleads."""
    if "category" in query.by:
        return [
            "The category follows from the settled verdict, so that within one nearly all verdicts are alike and "
            "krippendorff_alpha is near 0 whatever people do: read gwet_ac1 and percent_agreement there."
        ]
    if query.columns() or query.since or query.until:
        return []
    votes = standing_votes(backend)
    unknown = votes.anti_join(backend.table("turns"), "request_id")
    lost = fetch(backend, unknown.aggregate(lost=unknown.count())).item()
    return [f"{lost} votes are about turns that no log has: left out."] if lost else []


def _votes(backend: BaseBackend, query: Query) -> Table:
    """Standing votes that say something about the field: `by` columns, item, reviewer, value."""
    if query.field not in FIELDS:
        raise UsageError("Agreement is not measured on this", repr(query.field), f"Valid: {', '.join(FIELDS)}.")
    table = turns(backend, replace(query, filters=query.without("category")))
    table = keep_category(backend, table, query)
    votes = standing_votes(backend)
    # Whoever adjudicates has seen the other votes, and a known verdict is no rating: neither is independent.
    votes = votes.filter(votes.selection.isnull() | votes.selection.notin(REFERENCES))
    votes = votes.select("request_id", "filter_name", "reviewer", value=votes[query.field])
    votes = votes.filter(votes.value.notnull()).rename(judged_filter="filter_name")
    joined = votes.inner_join(table.select("request_id", *query.by), "request_id")
    return joined.select(*query.by, "request_id", "judged_filter", "reviewer", "value")


def _measure(votes: pl.DataFrame, query: Query) -> dict[str, Any]:
    coded = votes.with_columns(
        item=pl.struct("request_id", "judged_filter").rank("dense") - 1, code=pl.col("value").rank("dense") - 1
    )
    shape = (_count(coded["item"]), _count(coded["code"]))
    counts = np.zeros(shape, dtype=np.int64)
    np.add.at(counts, (coded["item"].to_numpy(), coded["code"].to_numpy()), 1)
    agreeing, items = percent_agreement(counts)
    alpha = estimate_alpha(counts, is_ordinal=query.field == "severity", confidence=query.confidence)
    is_enough = items >= max(query.min_sample, 1)
    rated = coded.filter(pl.len().over("item") > 1)
    shares = pl.DataFrame({"agreeing": [agreeing], "items": [items]})
    return {
        "votes": votes.height,
        "items": items,
        "raters": votes["reviewer"].n_unique(),
        "percent_agreement": _rate(shares, "agreeing", "items", query)[0],
        "krippendorff_alpha": {
            "estimate": _shown(alpha.estimate, is_enough),
            "low": _shown(alpha.low, is_enough),
            "high": _shown(alpha.high, is_enough),
            "method": "bootstrap",
            "n": items,
        },
        "gwet_ac1": _shown(gwet_ac1(counts), is_enough),
        "cohen_kappa": _shown(_kappa(rated, shape[1]), is_enough),
        "by_reviewer": _by_reviewer(rated, query),
    }


def _kappa(rated: pl.DataFrame, values: int) -> float:
    """Cohen's kappa where exactly two people gave all ratings that can be compared; else NaN."""
    raters = rated["reviewer"].unique().sort().to_list()
    if len(raters) != 2:
        return float("nan")
    first, second = (rated.filter(pl.col("reviewer") == rater).select("item", "code") for rater in raters)
    both = first.join(second, on="item")
    table = np.zeros((values, values), dtype=np.int64)
    np.add.at(table, (both["code"].to_numpy(), both["code_right"].to_numpy()), 1)
    return cohen_kappa(table)


def _by_reviewer(rated: pl.DataFrame, query: Query) -> list[dict[str, Any]]:
    """Per rater: items shared with others, and how many of the others' votes on them say the same."""
    compared = rated.with_columns(
        others=pl.len().over("item").cast(pl.Int64) - 1, same=pl.len().over("item", "code").cast(pl.Int64) - 1
    )
    people = (
        compared.group_by("reviewer")
        .agg(items=pl.len().cast(pl.Int64), same=pl.col("same").sum(), others=pl.col("others").sum())
        .sort("reviewer")
    )
    rates = _rate(people, "same", "others", query)
    return [
        {"reviewer": reviewer, "items": items, "agreement": rate}
        for (reviewer, items), rate in zip(people.select("reviewer", "items").iter_rows(), rates, strict=True)
    ]


def _rate(counts: pl.DataFrame, numerator: str, denominator: str, query: Query) -> list[Any]:
    return wilson(
        counts,
        numerator=numerator,
        denominator=denominator,
        min_sample=query.min_sample,
        confidence=query.confidence,
    ).to_list()


def _count(codes: pl.Series) -> int:
    return 0 if codes.is_empty() else int(codes.max()) + 1  # type: ignore[arg-type]  # ranks are whole numbers


def _shown(value: float, is_enough: bool) -> float | None:
    return value if is_enough and not np.isnan(value) else None


REPORT = Report(
    key="agreement",
    title="Agreement",
    unit="turn",
    better="higher",
    description="How far reviewers agree on one field (`--field`: harmful, category or severity). An item is a turn, or "
    "one filter's verdict about it, with standing votes of at least two people that state the field; unsure says nothing. Adjudications and golden verdicts are left out. "
    "A category here is the people's.",
    source="Krippendorff (2011), nominal, for severity ordinal, interval by resampling items; Gwet (2008) AC1; "
    "Cohen (1960); Wilson (1927) for shares.",
    columns={
        "votes": "standing votes that state the field",
        "items": "things that at least two people voted on",
        "raters": "people who voted",
        "percent_agreement": "items on which all agree / items",
        "krippendorff_alpha": "agreement beyond chance with its interval: 1 = perfect, 0 = chance; null with one value only",
        "gwet_ac1": "agreement beyond chance that stays meaningful when nearly all votes are one value",
        "cohen_kappa": "agreement beyond chance of two people; null for more",
        "by_reviewer": "per person: items shared with others, and the others' votes on them that say the same",
    },
    dimensions=("category", *TURN_DIMENSIONS, "hour", "day"),
    compute=compute,
    remark=remark,
)
