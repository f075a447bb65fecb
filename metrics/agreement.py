"""How far reviewers agree with each other, before any of it is settled."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
from ibis.backends import BaseBackend
from ibis.expr.types import Table
from numpy.typing import NDArray

from core.errors import UsageError
from metrics.consensus import REFERENCES, standing_votes
from metrics.estimate import MEASURE, MIN_CELL, RATE, wilson
from metrics.events import fetch, turns
from metrics.query import TURN_DIMENSIONS, Query
from metrics.reliability import (
    UNDEFINED,
    Coefficient,
    Pair,
    average_kappa,
    estimate_ac1,
    estimate_alpha,
    percent_agreement,
)
from metrics.report import Report
from metrics.reviews import keep_category

FIELDS = ("harmful", "category", "severity")
_ENDS = {"": "estimate", "_low": "low", "_high": "high"}
_RATER = pl.Struct({"reviewer": pl.String, "items": pl.Int64, "agreement": RATE})
_PAIR = pl.Struct({"first": pl.String, "second": pl.String, "kappa": MEASURE})
_VALUE = pl.Struct(
    {"value": pl.String, "items": pl.Int64, "agreement": RATE, "krippendorff_alpha": MEASURE, "gwet_ac1": MEASURE}
)
_SCHEMA: dict[str, pl.DataType] = {
    "reviewer_group": pl.String(),
    "votes": pl.Int64(),
    "items": pl.Int64(),
    "raters": pl.Int64(),
    "percent_agreement": RATE,
    "krippendorff_alpha": MEASURE,
    "gwet_ac1": pl.Float64(),
    "gwet_ac1_low": pl.Float64(),
    "gwet_ac1_high": pl.Float64(),
    "cohen_kappa": pl.Float64(),
    "cohen_kappa_low": pl.Float64(),
    "cohen_kappa_high": pl.Float64(),
    "pairwise_kappa": MEASURE,
    "by_value": pl.List(_VALUE),
    "by_reviewer": pl.List(_RATER),
    "by_pair": pl.List(_PAIR),
}


def compute(backend: BaseBackend, query: Query) -> pl.DataFrame:
    """Agreement of the standing votes on one field, a row per group; exactly one row without `by`.

    Raises:
        UsageError: The query's field is not one of `FIELDS`.
    """
    votes = fetch(backend, _votes(backend, query))
    keys = votes.select(query.by).unique().sort(query.by, nulls_last=True) if query.by else None
    rows: list[dict[str, Any]] = []
    for key in keys.iter_rows(named=True) if keys is not None else ({},):
        own = votes.filter(*(pl.col(name).eq_missing(value) for name, value in key.items()))
        rows += [key | row for row in (_measure_groups(own, query) if query.groups else [_measure(own, query)])]
    return pl.DataFrame(rows, schema=votes.select(query.by).schema | _SCHEMA)


def remark(backend: BaseBackend, query: Query) -> list[str]:
    """Says how many votes are about turns that no log has, where alpha misleads, and which groups are told."""
    if query.groups:
        return [
            f"Within each group of reviewers, told from {MIN_CELL} people on who share turns there; somebody who declared "
            "several values counts in several groups."
        ]
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
    """Standing votes that say something about the field: `by` columns, item, conversation, reviewer, value."""
    if query.field not in FIELDS:
        raise UsageError("Agreement is not measured on this", repr(query.field), f"Valid: {', '.join(FIELDS)}.")
    table = turns(backend, replace(query, filters=query.without("category")))
    table = keep_category(backend, table, query)
    votes = standing_votes(backend)
    # Whoever adjudicates has seen the other votes, and a known verdict is no rating: neither is independent.
    votes = votes.filter(votes.selection.isnull() | votes.selection.notin(REFERENCES))
    votes = votes.select("request_id", "filter_name", "reviewer", value=votes[query.field])
    votes = votes.filter(votes.value.notnull()).rename(judged_filter="filter_name")
    joined = votes.inner_join(table.select("request_id", "conversation_id", *query.by), "request_id")
    return joined.select(*query.by, "request_id", "conversation_id", "judged_filter", "reviewer", "value")


def _measure_groups(votes: pl.DataFrame, query: Query) -> list[dict[str, Any]]:
    """The figures within each group of reviewers, without anybody's name; groups too small to be told are left out."""
    rows = []
    for name, members in query.groups:
        own = votes.filter(pl.col("reviewer").is_in(members))
        compared = own.filter(pl.len().over("request_id", "judged_filter") > 1)
        if compared["reviewer"].n_unique() >= MIN_CELL:
            rows.append(_measure(own, query) | {"reviewer_group": name, "by_reviewer": None, "by_pair": None})
    return rows


def _measure(votes: pl.DataFrame, query: Query) -> dict[str, Any]:
    coded = votes.with_columns(
        item=pl.struct("request_id", "judged_filter").rank("dense") - 1,
        code=pl.col("value").rank("dense") - 1,
        cluster=pl.struct("conversation_id", pl.when(pl.col("conversation_id").is_null()).then("request_id")).rank(
            "dense"
        ),
    )
    counts = np.zeros((_count(coded["item"]), _count(coded["code"])), dtype=np.int64)
    np.add.at(counts, (coded["item"].to_numpy(), coded["code"].to_numpy()), 1)
    clusters = coded.unique("item").sort("item")["cluster"].cast(pl.Int64).to_numpy()
    agreeing, items = percent_agreement(counts)
    rated = coded.filter(pl.len().over("item") > 1)
    pairs = _pair_raters(rated)
    enough = [pair for _, pair in pairs if len(pair.first) >= max(query.min_sample, 1)]
    shares = pl.DataFrame({"agreeing": [agreeing], "items": [items]})
    ac1 = _record(estimate_ac1(counts, clusters, confidence=query.confidence), items, "linearised", query)
    # Two people gave all ratings that can be compared: theirs is Cohen's kappa of the row.
    only = average_kappa([pair for _, pair in pairs] if len(pairs) == 1 else [], confidence=query.confidence)
    kappa = _record(only if rated["reviewer"].n_unique() == 2 else UNDEFINED, items, "linearised", query)
    alpha = estimate_alpha(counts, clusters, is_ordinal=query.field == "severity", confidence=query.confidence)
    return {
        "reviewer_group": None,
        "votes": votes.height,
        "items": items,
        "raters": votes["reviewer"].n_unique(),
        "percent_agreement": _rate(shares, "agreeing", "items", query)[0],
        "krippendorff_alpha": _record(alpha, items, "bootstrap", query),
        **{f"gwet_ac1{end}": ac1[name] for end, name in _ENDS.items()},
        **{f"cohen_kappa{end}": kappa[name] for end, name in _ENDS.items()},
        "pairwise_kappa": _record(
            average_kappa(enough, confidence=query.confidence),
            sum(len(pair.first) for pair in enough),
            "linearised",
            query,
        ),
        "by_value": _by_value(counts, clusters, coded, query),
        "by_reviewer": _by_reviewer(rated, query),
        "by_pair": [
            {
                "first": first,
                "second": second,
                "kappa": _record(
                    average_kappa([pair], confidence=query.confidence), len(pair.first), "linearised", query
                ),
            }
            for (first, second), pair in pairs
        ],
    }


def _pair_raters(rated: pl.DataFrame) -> list[tuple[tuple[str, str], Pair]]:
    """Every two people who rated the same items, by name, with what each said about those."""
    votes = rated.select("item", "cluster", "reviewer", "code")
    both = votes.join(votes.select("item", "reviewer", "code"), on="item").filter(
        pl.col("reviewer") < pl.col("reviewer_right")
    )
    return [
        (
            (str(first), str(second)),
            Pair(*(own[name].cast(pl.Int64).to_numpy() for name in ("code", "code_right", "cluster"))),
        )
        for (first, second), own in sorted(both.partition_by("reviewer", "reviewer_right", as_dict=True).items())
    ]


def _by_value(
    counts: NDArray[np.int64], clusters: NDArray[np.int64], coded: pl.DataFrame, query: Query
) -> list[dict[str, Any]]:
    """Per value, where there are more than two: that value against all others, over the items that somebody gave it."""
    names = coded.unique("code").sort("code")["value"].cast(pl.String).to_list()
    if len(names) <= 2:
        return []
    raters = counts.sum(axis=1)
    rows = []
    for code, name in enumerate(names):
        against = np.stack([counts[:, code], raters - counts[:, code]], axis=1)
        named = int(((counts[:, code] > 0) & (raters > 1)).sum())
        shares = pl.DataFrame({"all": [int(((counts[:, code] == raters) & (raters > 1)).sum())], "named": [named]})
        alpha = estimate_alpha(against, clusters, is_ordinal=False, confidence=query.confidence)
        ac1 = estimate_ac1(against, clusters, confidence=query.confidence)
        rows.append(
            {
                "value": name,
                "items": named,
                "agreement": _rate(shares, "all", "named", query)[0],
                "krippendorff_alpha": _record(alpha, named, "bootstrap", query),
                "gwet_ac1": _record(ac1, named, "linearised", query),
            }
        )
    return rows


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


def _record(found: Coefficient, items: int, method: str, query: Query) -> dict[str, Any]:
    """A MEASURE; null below the minimum sample and where undefined."""
    is_enough = items >= max(query.min_sample, 1)
    shown = {name: getattr(found, name) for name in _ENDS.values()}
    return {name: value if is_enough and not np.isnan(value) else None for name, value in shown.items()} | {
        "method": method,
        "n": items,
    }


REPORT = Report(
    key="agreement",
    title="Agreement",
    unit="turn",
    better="higher",
    description="How far reviewers agree on one field (`--field`: harmful, category or severity). An item is a turn, or "
    "one filter's verdict about it, with standing votes of at least two people that state the field; unsure says nothing. Adjudications and golden verdicts are left out. "
    "A category here is the people's.",
    source="Krippendorff (2011), nominal, for severity ordinal, interval by resampling conversations; Gwet (2008) AC1; "
    "Cohen (1960), over pairs Light (1971); intervals of AC1 and kappa linearised (Gwet 2008; Fleiss, Cohen, Everitt 1969), "
    "clustered by conversation, Student's; where all agree, at the score bound of agreement; Wilson (1927) for shares.",
    columns={
        "reviewer_group": "what the group's members declared, with `--groups`; null = everybody",
        "votes": "standing votes that state the field",
        "items": "things that at least two people voted on",
        "raters": "people who voted",
        "percent_agreement": "items on which all agree / items",
        "krippendorff_alpha": "agreement beyond chance with its interval: 1 = perfect, 0 = chance; null with one value only",
        "gwet_ac1": "agreement beyond chance that stays meaningful when nearly all votes are one value",
        "gwet_ac1_low": "lower end of its interval",
        "gwet_ac1_high": "upper end",
        "cohen_kappa": "agreement beyond chance of two people; null for more",
        "cohen_kappa_low": "lower end of its interval",
        "cohen_kappa_high": "upper end",
        "pairwise_kappa": "mean of Cohen's kappa over all pairs of people who share enough items",
        "by_value": "per value, where more than two occur: items that anybody gave it, on how many of them all did, and "
        "alpha and AC1 of this value against all others",
        "by_reviewer": "per person: items shared with others, and the others' votes on them that say the same; null with `--groups`",
        "by_pair": "per two people: Cohen's kappa over the items that both voted on; null with `--groups`",
    },
    dimensions=("category", *TURN_DIMENSIONS, "hour", "day"),
    compute=compute,
    remark=remark,
)
