"""How much of the traffic is harmful, and how much of the harm reaches a user."""

from __future__ import annotations

import ibis
import polars as pl
from ibis import _
from ibis.backends import BaseBackend
from ibis.expr.types import Table

from metrics.assisted import assist_rates
from metrics.events import fetch, turns
from metrics.query import TURN_DIMENSIONS, Query
from metrics.report import Report
from metrics.reviews import complete_design, describe_unsampled, fetch_verdicts, keep_labelled, number_groups
from metrics.survey import Ratio, estimate_rates

REACHED_OUTCOMES = ("pass", "modified")
"""Outcomes in which the user saw the model's text, whole or changed. A turn whose log does not say counts as seen."""

_RATIOS = {
    "harm_prevalence": Ratio("harmful", "judged"),
    "reached_user_prevalence": Ratio("reached", "judged"),
}


def compute(backend: BaseBackend, query: Query) -> pl.DataFrame:
    """Prevalence among reviewed turns, a row per group; exactly one row without `by`."""
    verdicts = fetch_verdicts(backend)
    rows = _judged_turns(backend, query, verdicts)
    rows = rows.filter(pl.col("inclusion_probability").is_not_null())
    is_seen = pl.col("ended").is_null() | pl.col("ended").is_in(REACHED_OUTCOMES)
    groups, sample = number_groups(
        rows.with_columns(judged=pl.lit(value=True), reached=pl.col("harmful") & is_seen), query.by
    )
    scores, means = _scores(backend, query, groups, sample)
    design = complete_design(sample.join(scores, on="request_id", how="left", maintain_order="left"), verdicts)
    rates = estimate_rates(
        design, _RATIOS, groups=groups.height, min_sample=query.min_sample, confidence=query.confidence
    )
    for name, ratio in _RATIOS.items():
        rates[name] = assist_rates(rates[name], design, ratio, means, confidence=query.confidence)
    counts = sample.group_by("group").agg(pl.len().cast(pl.Int64).alias("reviewed"))
    result = groups.join(counts, on="group", how="left", maintain_order="left")
    return result.select(
        *query.by,
        *(rates[name].alias(name) for name in _RATIOS),
        pl.col("reviewed").fill_null(0),
    )


def remark(backend: BaseBackend, query: Query) -> list[str]:
    """Says how many reviewed turns no estimate may use."""
    verdicts = fetch_verdicts(backend)
    if not verdicts["inclusion_probability"].has_nulls():
        return []
    return describe_unsampled(_judged_turns(backend, query, verdicts)["inclusion_probability"].null_count())


def _scores(
    backend: BaseBackend, query: Query, groups: pl.DataFrame, sample: pl.DataFrame
) -> tuple[pl.DataFrame, dict[int, float]]:
    """Scores of the filter version that scored every reviewed turn, and their mean over all turns, reviewed or not, by group.

    Only groups of which it scored every turn have a mean. Of several such versions the first by name is taken, not the one that
    fits best, which would be chosen by chance.
    """
    empty = pl.DataFrame(schema={"request_id": pl.String, "score": pl.Float64})
    drawn = sample.filter(pl.col("inclusion_probability") < 1).select("request_id").unique()
    scored = _score_turns(backend)
    found = fetch(backend, keep_labelled(backend, scored)).filter(pl.col("score").is_finite())
    whole = found.join(drawn, on="request_id").group_by("scale").len().filter(pl.col("len") == drawn.height)
    if drawn.is_empty() or whole.is_empty():
        return empty, {}
    scale = sorted(whole["scale"])[0]
    population = turns(backend, query).select(*query.by, "request_id")
    population = population.left_join(scored.filter(scored.scale == scale), "request_id")
    means = fetch(
        backend,
        population.group_by(*query.by).agg(mean=population.score.mean(), unscored=population.score.isnull().sum())
        if query.by
        else population.aggregate(mean=population.score.mean(), unscored=population.score.isnull().sum()),
    )
    numbered = means.join(groups, on=list(query.by), nulls_equal=True) if query.by else means.join(groups, how="cross")
    usable = numbered.filter(pl.col("unscored") == 0).select("group", "mean")
    return found.filter(pl.col("scale") == scale).select("request_id", "score"), dict(usable.iter_rows())


def _score_turns(backend: BaseBackend) -> Table:
    """The highest score that each filter version gave a turn: scale, request_id, score."""
    table = backend.table("checks")
    table = table.filter(table.status == "ok", table.score.notnull())
    scale = ibis.coalesce(table.filter_name, "") + ibis.literal("@") + ibis.coalesce(table.filter_version, "")
    return table.group_by("request_id", scale=scale).agg(score=table.score.max())


def _judged_turns(backend: BaseBackend, query: Query, verdicts: pl.DataFrame) -> pl.DataFrame:
    table = turns(backend, query).mutate(ended=_.outcome)
    table = keep_labelled(backend, table).select(*query.by, "request_id", "conversation_id", "ended")
    of_turns = verdicts.filter(pl.col("judged_filter").is_null())
    return (
        fetch(backend, table)
        .join(of_turns, on="request_id")
        .with_columns(conversation_id=pl.coalesce("conversation_id", "label_conversation_id"))
        .drop("judged_filter", "label_conversation_id")
    )


REPORT = Report(
    key="prevalence",
    title="Prevalence",
    unit="turn",
    better="lower",
    description="Harmful turns among all turns, estimated from reviewed samples. Harm reached the user when the turn "
    "passed or was modified, or its log does not say how it ended.",
    source="Hajek ratios, linearised clustered variance, Korn-Graubard intervals (1998), assisted by scores that every "
    "turn has (PPI++: Angelopoulos, Duchi, Zrnic 2023); Wilson (1927) for a census.",
    columns={
        "harm_prevalence": "harmful turns / turns",
        "reached_user_prevalence": "harmful turns whose harm reached the user / turns",
        "reviewed": "turns with a settled verdict and a known inclusion probability",
    },
    dimensions=(*TURN_DIMENSIONS, "hour", "day"),
    compute=compute,
    remark=remark,
)
