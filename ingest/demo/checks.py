"""Writes judgements down as rows of a filter log."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from ingest.demo.filters import Judgement
from ingest.demo.world import CLASSIFIER, GUARD, HAZARDS, KEYWORD, LAYERS, REFINER, Booleans, Keys

_STAGES = {KEYWORD: "input", CLASSIFIER: "input", GUARD: "output", REFINER: "output"}


def write_checks(turns: pl.DataFrame, judgements: Sequence[Judgement], rng: np.random.Generator) -> pl.DataFrame:
    """The filter log of `judgements`, in time order: columns of contract section 4.1."""
    frames = [_to_rows(turns, judgement, rng).filter(pl.Series(judgement.asked)) for judgement in judgements]
    return pl.concat(frames).sort("ts", "request_id", maintain_order=True)


def where(mask: Booleans, values: Keys) -> pl.Series:
    """`values` as text where `mask` holds, else null."""
    return pl.select(pl.when(pl.Series(mask)).then(pl.Series(values.astype(str)))).to_series()


def _to_rows(turns: pl.DataFrame, judgement: Judgement, rng: np.random.Generator) -> pl.DataFrame:
    """One row per turn, also for turns that the filter was not asked about."""
    name, fired = judgement.name, judgement.triggered
    decided = ~judgement.skipped & ~judgement.failed
    decision = np.select(
        [judgement.failed, judgement.skipped, fired], ["error", "skipped", judgement.decision], "allow"
    )
    # The classifier scores every hazard; the others name one only when they fire.
    named = decided if name == CLASSIFIER else fired
    has_effect = fired & (judgement.decision != "flag") & (judgement.mode == "enforce")
    return turns.select(
        ts=pl.Series(judgement.ts).cast(pl.Datetime("us")),
        request_id="request_id",
        conversation_id="conversation_id",
        turn_index="turn_index",
        layer=pl.lit(LAYERS[name]),
        stage=pl.lit(_STAGES[name]),
        filter_name=pl.lit(name),
        filter_version=pl.Series(judgement.version.astype(str)),
        policy_id=pl.lit("constitution" if name == REFINER else None, dtype=pl.String),
        policy_version=pl.lit("v5" if name == REFINER else None, dtype=pl.String),
        rule_id=where(fired & (judgement.rule != ""), judgement.rule),
        category=where(named, judgement.category),
        score=pl.Series(judgement.score).fill_nan(None).round(4),
        threshold=pl.lit(judgement.threshold, dtype=pl.Float64),
        scores=_spread_scores(judgement, rng)
        if name == CLASSIFIER and judgement.mode == "enforce"
        else pl.lit(None, dtype=pl.String),
        triggered=pl.when(pl.Series(decided)).then(pl.Series(fired)),
        decision=pl.Series(decision.astype(str)),
        enforced=pl.Series(has_effect),
        mode=pl.lit(judgement.mode),
        latency_ms=pl.when(pl.Series(~judgement.skipped)).then(pl.Series(judgement.latency_ms)),
        error=pl.when(pl.Series(judgement.failed)).then(pl.lit("timeout")),
        matched_text=pl.when(pl.Series(fired)).then("matched_text")
        if name == KEYWORD
        else pl.lit(None, dtype=pl.String),
        user_id="user_id",
        model="model",
    )


def _spread_scores(judgement: Judgement, rng: np.random.Generator) -> pl.Series:
    """JSON of the scores of the named hazard and of the two after it in the list, which are lower."""
    following = {hazard: HAZARDS[(place + 1) % len(HAZARDS)] for place, hazard in enumerate(HAZARDS)}
    first = pl.Series(judgement.category.astype(str))
    second = first.replace_strict(following)
    lower = np.round(judgement.score * rng.random(len(judgement.score)) * 0.5, 4)
    lowest = np.round(lower * rng.random(len(lower)), 4)
    columns = (first, judgement.score, second, lower, second.replace_strict(following), lowest)
    frame = pl.DataFrame({str(place): column for place, column in enumerate(columns)})
    text = pl.format('{{"{}": {}, "{}": {}, "{}": {}}}', *frame.columns)
    return frame.with_columns(pl.col("1", "3", "5").fill_nan(None)).select(text).to_series()
