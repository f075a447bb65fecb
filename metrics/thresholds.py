"""What a filter would do at another threshold, from the scores that it logged."""

from __future__ import annotations

from dataclasses import replace

import ibis
import numpy as np
import polars as pl
from ibis.backends import BaseBackend
from ibis.expr.types import Table

from core.errors import UsageError
from metrics.confusion import add_flags, estimate_errors
from metrics.estimate import Floats
from metrics.events import checks, fetch, turns
from metrics.query import CHECK_DIMENSIONS, TURN_DIMENSIONS, Query
from metrics.report import Report
from metrics.reviews import add_conversation, complete_design, fetch_verdicts, keep_labelled, number_groups

STEPS = 50
"""Steps of the grid where a filter's scores are not few."""
_RATES = ("precision", "recall", "benign_blocked_rate")


def compute(backend: BaseBackend, query: Query) -> pl.DataFrame:
    """Triggers and error rates at each threshold, rows by group and rising threshold; none without scores.

    Raises:
        UsageError: A group mixes the scores of several filters or versions.
    """
    scored = _scored_turns(backend, query)
    found = fetch(backend, scored.group_by(*query.by, "score").agg(turns=scored.count(), scales=scored.scale.nunique()))
    _check_one_scale(backend, scored, query)
    groups, numbered = number_groups(found, query.by)
    if found.is_empty():
        groups = groups.clear()
    grid = pl.concat([_grid(numbered, row) for row in groups["group"]] or [_empty_grid()])
    rows = groups.join(grid, on="group", how="inner", maintain_order="left_right")
    rates = _error_rates(backend, query, scored, rows, groups)
    known = _count_turns(backend, query, scored)
    if query.by:
        rows = rows.join(known, on=list(query.by), how="left", nulls_equal=True, maintain_order="left")
    else:
        rows = rows.join(known, how="cross", maintain_order="left")
    return rows.select(
        *query.by,
        "threshold",
        "triggers",
        *(rates[name].alias(name) for name in _RATES),
        (pl.col("turns") - pl.col("scored")).clip(lower_bound=0).alias("unknown"),
    )


def _scored_turns(backend: BaseBackend, query: Query) -> Table:
    """One row per group and turn with the highest score that the checks of the query gave it."""
    table = checks(backend, query)
    table = table.filter(table.score.notnull(), ~table.score.isnan(), ~table.score.isinf())
    scale = ibis.coalesce(table.filter_name, "") + ibis.literal("@") + ibis.coalesce(table.filter_version, "")
    return table.group_by(*query.by, "request_id").agg(
        score=table.score.max(), scale=scale.min(), last_scale=scale.max(), at=table.ts.min()
    )


def _check_one_scale(backend: BaseBackend, scored: Table, query: Query) -> None:
    spans = (
        scored.group_by(*query.by).agg(first=scored.scale.min(), last=scored.last_scale.max())
        if query.by
        else (scored.aggregate(first=scored.scale.min(), last=scored.last_scale.max()))
    )
    mixed = fetch(backend, spans.filter(spans["first"] != spans["last"]).limit(1))
    if not mixed.is_empty():
        names = " and ".join(mixed.select("first", "last").row(0))
        raise UsageError(
            "Scores of different filters or versions cannot share a threshold",
            names,
            "Add --filter filter_name=... and --by filter_version.",
        )


def _grid(scores: pl.DataFrame, group: int) -> pl.DataFrame:
    """Thresholds of one group with the turns whose score reaches each: group, threshold, triggers."""
    own = scores.filter(pl.col("group") == group).sort("score")
    values, turns_at = own["score"].to_numpy(), own["turns"].to_numpy()
    thresholds = _pick_thresholds(values)
    reached = turns_at[::-1].cumsum()[::-1]
    places = np.searchsorted(values, thresholds, side="left")
    triggers = np.append(reached, 0)[places]
    return pl.DataFrame(
        {"group": [group] * len(thresholds), "threshold": thresholds, "triggers": triggers},
        schema=_empty_grid().schema,
    )


def _pick_thresholds(values: Floats) -> Floats:
    """The scores themselves where they are few (ordinal ones keep their own steps), else an even grid over them."""
    if len(values) <= STEPS + 1:
        return values
    low, high = (0.0, 1.0) if values[0] >= 0 and values[-1] <= 1 else (float(values[0]), float(values[-1]))
    # Rounded, so that 0.3 is 0.3 and meets scores logged as such.
    return np.round(np.linspace(low, high, STEPS + 1), 10)


def _empty_grid() -> pl.DataFrame:
    return pl.DataFrame(schema={"group": pl.Int64, "threshold": pl.Float64, "triggers": pl.Int64})


def _error_rates(
    backend: BaseBackend, query: Query, scored: Table, rows: pl.DataFrame, groups: pl.DataFrame
) -> dict[str, pl.Series]:
    """The rates at each row of `rows`, by name, from reviewed turns with a score."""
    verdicts = fetch_verdicts(backend).filter(
        pl.col("judged_filter").is_null(), pl.col("inclusion_probability").is_not_null()
    )
    reviewed = fetch(backend, add_conversation(backend, keep_labelled(backend, scored), query)).join(
        verdicts.drop("judged_filter"), on="request_id"
    )
    if query.by:
        reviewed = reviewed.join(groups, on=list(query.by), nulls_equal=True)
    else:
        reviewed = reviewed.with_columns(group=pl.lit(0, dtype=pl.Int64))
    numbered = rows.select("group", "threshold", number=pl.int_range(pl.len(), dtype=pl.Int64))
    sample = (
        reviewed.join(numbered, on="group")
        .with_columns(
            triggered=pl.col("score") >= pl.col("threshold"),
            conversation_id=pl.coalesce("conversation_id", "label_conversation_id"),
        )
        .drop("group", "threshold", "label_conversation_id")
        .rename({"number": "group"})
    )
    return estimate_errors(
        complete_design(add_flags(sample), verdicts),
        groups=rows.height,
        min_sample=query.min_sample,
        confidence=query.confidence,
    )


def _count_turns(backend: BaseBackend, query: Query, scored: Table) -> pl.DataFrame:
    """Per group: `turns` of the time that its scores span, and `scored`, those of them that have one."""
    keys = [name for name in query.by if name in TURN_DIMENSIONS]
    every = turns(backend, replace(query, by=(), filters=query.without(*CHECK_DIMENSIONS)))
    every = every.select(turn_ts="ts", **{f"turn_{name}": name for name in keys})
    spans = scored.aggregate(
        by=list(query.by), first=scored["at"].min(), last=scored["at"].max(), scored=scored.count()
    )
    is_near = [every.turn_ts >= spans["first"] - _MARGIN, every.turn_ts <= spans["last"] + _MARGIN]
    joined = spans.left_join(every, is_near + [spans[name].identical_to(every[f"turn_{name}"]) for name in keys])
    return fetch(backend, joined.aggregate(by=list(query.by), turns=joined.turn_ts.count(), scored=joined.scored.max()))


# A turn's own time may differ from that of its checks.
_MARGIN = ibis.interval(minutes=5)

REPORT = Report(
    key="thresholds",
    title="Thresholds",
    unit="turn",
    better="neither",
    description="What a filter would do at each threshold: a turn triggers when its highest score reaches it. Triggers are "
    "counted over all logged scores; rates come from reviewed turns. One filter version at a time.",
    source="As `errors`.",
    columns={
        "threshold": "score from which a turn triggers, on the filter's own scale",
        "triggers": "turns whose score reaches it, counted",
        "precision": "harmful / triggered, among triggers",
        "recall": "triggered / harmful, among harmful turns with a score",
        "benign_blocked_rate": "triggered / benign, among benign turns with a score",
        "unknown": "turns of the same time without a score, such as those that an earlier layer stopped",
    },
    dimensions=(*CHECK_DIMENSIONS, *TURN_DIMENSIONS, "hour", "day"),
    compute=compute,
)
