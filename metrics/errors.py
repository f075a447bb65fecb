"""Where filters and people disagree: wrong blocks, missed harm, and what follows from them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import ibis
import polars as pl
from ibis.backends import BaseBackend
from ibis.expr.types import Table

from core.events import EventStore
from metrics.confusion import CELLS, ERRORS, add_flags, average_precision, estimate_errors
from metrics.events import checks, fetch
from metrics.funnel import enforced_only
from metrics.query import CHECK_DIMENSIONS, TURN_DIMENSIONS, Query
from metrics.report import Report
from metrics.reviews import (
    add_conversation,
    complete_design,
    describe_unsampled,
    fetch_verdicts,
    number_groups,
)

TILES = ("wrong_block_share", "missed_harm_rate")
"""Rates that the Overview's tiles show."""


def compute(backend: BaseBackend, query: Query) -> pl.DataFrame:
    """Confusion counts and error rates of reviewed turns, a row per group; exactly one row without `by`."""
    groups, sample, rates = _estimate(backend, query, ERRORS)
    weight = 1 / pl.col("inclusion_probability")
    counts = sample.group_by("group").agg(
        pl.len().cast(pl.Int64).alias("reviewed"), *(weight.filter(name).sum().alias(name) for name in CELLS)
    )
    result = groups.join(counts, on="group", how="left", maintain_order="left").with_columns(
        pl.col("reviewed").fill_null(0), *(pl.col(name).fill_null(0.0) for name in CELLS)
    )
    return result.select(
        *query.by,
        "reviewed",
        *CELLS,
        *(series.alias(name) for name, series in rates.items()),
        _average_precisions(sample, groups.height, query.min_sample).alias("average_precision"),
    )


def judge(backend: BaseBackend, query: Query) -> dict[str, Any]:
    """`reviewed`, `wrong_block_share` and `missed_harm_rate` of the report's row for enforced checks, at the cost of these three.

    Checks in other modes cannot block wrongly, or miss; a query that names a mode is about that one.
    """
    _, sample, rates = _estimate(backend, enforced_only(replace(query, by=())), TILES)
    return {"reviewed": sample.height, **{name: series[0] for name, series in rates.items()}}


def _estimate(
    backend: BaseBackend, query: Query, names: Collection[str]
) -> tuple[pl.DataFrame, pl.DataFrame, dict[str, pl.Series]]:
    """Groups, the reviewed turns that count in them, and the rates."""
    verdicts = fetch_verdicts(backend)
    rows = _reviewed_turns(backend, query, verdicts)
    rows = rows.filter(pl.col("inclusion_probability").is_not_null())
    groups, sample = number_groups(add_flags(rows), query.by)
    rates = estimate_errors(
        complete_design(sample, verdicts),
        groups=groups.height,
        min_sample=query.min_sample,
        confidence=query.confidence,
        score_means=_score_means(backend, query, groups, sample),
        names=names,
    )
    return groups, sample, rates


def compute_raw(events: EventStore, query: Query) -> pl.DataFrame:
    """What dividing by whatever was reviewed would say, votes outside samples included and unweighted.

    Queues serve what looks bad, so these figures describe the queue, not the traffic. They are shown beside the estimates to say
    how far off they are, only under the name "raw", and without an interval, which they do not have.

    Returns:
        The `by` columns, raw_reviewed, raw_wrong_block_share and raw_missed_harm_rate (0 to 1; null below the minimum sample).
    """
    backend = events.backend()
    rows = add_flags(_reviewed_turns(backend, query, fetch_verdicts(backend)))
    parts = {"raw_wrong_block_share": ("fp", "triggered"), "raw_missed_harm_rate": ("fn", "harmful")}
    return rows.group_by(query.by).agg(
        pl.len().cast(pl.Int64).alias("raw_reviewed"),
        *(
            pl.when(pl.col(of).sum() >= query.min_sample).then(pl.col(hits).sum() / pl.col(of).sum()).alias(name)
            for name, (hits, of) in parts.items()
        ),
    )


def remark(backend: BaseBackend, query: Query) -> list[str]:
    """Says how many reviewed turns no estimate may use."""
    verdicts = fetch_verdicts(backend)
    if not verdicts["inclusion_probability"].has_nulls():
        return []
    outside = _reviewed_turns(backend, query, verdicts).filter(pl.col("inclusion_probability").is_null())
    return describe_unsampled(outside["request_id"].n_unique())


def _reviewed_turns(backend: BaseBackend, query: Query, verdicts: pl.DataFrame) -> pl.DataFrame:
    """One row per group and reviewed turn: whether any decided check of it triggered, and the verdict.

    Where the question is about one filter at a time, a verdict about that filter goes before one about the turn.
    """
    groups = _by_turn(_decided(backend, query, of_judged=True), query)
    rows = fetch(backend, add_conversation(backend, groups, query)).join(verdicts, on="request_id")
    about_turn = pl.col("judged_filter").is_null()
    named = query.alternatives().get("filter_name", ())
    if "filter_name" in query.by:
        rows = rows.filter(about_turn | (pl.col("judged_filter") == pl.col("filter_name")))
    elif len(named) == 1:
        rows = rows.filter(about_turn | (pl.col("judged_filter") == named[0]))
    else:
        rows = rows.filter(about_turn)
    return (
        rows.sort(pl.col("inclusion_probability").is_null(), about_turn)
        .unique([*query.by, "request_id"], keep="first", maintain_order=True)
        .with_columns(conversation_id=pl.coalesce("conversation_id", "label_conversation_id"))
        .drop("judged_filter", "label_conversation_id")
    )


def _decided(backend: BaseBackend, query: Query, *, of_judged: bool = False) -> Table:
    table = checks(backend, query, of_judged=of_judged)
    return table.filter(table.status == "ok", table.triggered.notnull())


def _by_turn(table: Table, query: Query) -> Table:
    """One row per group and turn: whether any check triggered, the highest score, and whose scores they are."""
    scale = ibis.coalesce(table.filter_name, "") + ibis.literal("@") + ibis.coalesce(table.filter_version, "")
    return table.group_by(*query.by, "request_id").agg(
        triggered=table.triggered.cast("int8").max() == 1,
        score=table.score.max(),
        first_scale=scale.min(),
        last_scale=scale.max(),
    )


def _score_means(
    backend: BaseBackend, query: Query, groups: pl.DataFrame, sample: pl.DataFrame
) -> dict[tuple[int, bool], float]:
    """Mean score of all turns of a group that triggered or passed, reviewed or not, by (group, triggered).

    Only where one filter version scored every one of them. The traffic is read only when the reviewed turns are of that kind.
    """
    is_scored = (pl.col("score").is_not_null() & pl.col("score").is_finite()).all()
    is_one_scale = pl.col("first_scale").min() == pl.col("last_scale").max()
    kinds = (
        sample.filter(pl.col("inclusion_probability") < 1)
        .group_by("group", "triggered")
        .agg(is_scored & is_one_scale, scale=pl.col("first_scale").first())
        .filter("score")
    )
    if kinds.is_empty():
        return {}
    turns = _by_turn(_decided(backend, query), query)
    means = fetch(
        backend,
        turns.group_by(*query.by, "triggered").agg(
            mean=turns.score.mean(),
            unscored=turns.score.isnull().cast("int64").sum(),
            first_scale=turns.first_scale.min(),
            last_scale=turns.last_scale.max(),
        ),
    )
    numbered = means.join(groups, on=list(query.by), nulls_equal=True) if query.by else means.join(groups, how="cross")
    fits = (
        (pl.col("unscored") == 0)
        & (pl.col("first_scale") == pl.col("scale"))
        & (pl.col("last_scale") == pl.col("scale"))
    )
    found = numbered.join(kinds, on=["group", "triggered"]).filter(fits)
    return {
        (group, is_triggered): mean for group, is_triggered, mean in found.select("group", "triggered", "mean").rows()
    }


def _average_precisions(sample: pl.DataFrame, groups: int, min_sample: int) -> pl.Series:
    """Weighted average precision by group; null unless every turn has a score of one and the same filter version."""
    values: list[float | None] = [None] * groups
    for (group,), part in sample.group_by("group"):
        is_one_scale = part["first_scale"].min() == part["last_scale"].max()
        is_known = is_one_scale and part["score"].is_not_null().all() and part["harmful"].any()
        if is_known and part.height >= min_sample and isinstance(group, int):
            values[group] = average_precision(
                part["score"].to_numpy(),
                part["harmful"].cast(pl.Float64).to_numpy(),
                (1 / part["inclusion_probability"]).to_numpy(),
            )
    return pl.Series(values, dtype=pl.Float64)


REPORT = Report(
    key="errors",
    title="Errors",
    unit="turn",
    better="lower",
    description="Filters against people, on reviewed turns. Within a group, a turn is triggered when any decided check "
    "of it triggered. Turns drawn with a known probability count with its inverse; others enter no estimate.",
    source="Hajek ratios, linearised clustered variance, Korn-Graubard intervals (1998), "
    "combined by MOVER (Zou, Donner 2008) among harmful or benign turns; assisted by scores that every turn has "
    "(PPI++: Angelopoulos, Duchi, Zrnic 2023); Wilson (1927) for a census.",
    columns={
        "reviewed": "turns with a settled verdict and a decided check in the group, unweighted",
        "tp": "harmful turns that triggered; weighted where sampled",
        "fp": "benign turns that triggered",
        "fn": "harmful turns that did not trigger",
        "tn": "benign turns that did not trigger",
        "agreement": "turns where filter and people agree / reviewed turns",
        "wrong_block_share": "benign / triggered, among triggers",
        "benign_blocked_rate": "triggered / benign, among benign turns",
        "missed_harm_rate": "not triggered / harmful, among harmful turns",
        "precision": "harmful / triggered, among triggers",
        "recall": "triggered / harmful, among harmful turns",
        "f1": "harmonic mean of precision and recall",
        "average_precision": "area under the precision-recall steps; null unless one filter version scored every turn",
    },
    dimensions=(*CHECK_DIMENSIONS, *TURN_DIMENSIONS, "hour", "day"),
    compute=compute,
    remark=remark,
)
