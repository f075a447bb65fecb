"""Error rates from reviewed turns, with intervals that know what a sample may have missed. No database.

Whether a turn triggered is known for all traffic, whether it is harmful only for reviewed turns. A rate among harmful
(or benign) turns is therefore put together from two shares among turns that triggered and turns that passed: a
sample that found no harm among 200 of a million passed turns leaves room for much missed harm, and the interval
must say so. Intervals are combined by squaring and adding (Zou and Donner 2008, MOVER).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from metrics.assisted import METHOD as ASSISTED
from metrics.assisted import assist_rates
from metrics.estimate import RATE, Floats, complement, divide, hide_small, rate_series
from metrics.survey import Ratio, count_rates, estimate_rates
from metrics.sweep import Booleans, Sweep

CELLS = {"tp": (True, True), "fp": (True, False), "fn": (False, True), "tn": (False, False)}
"""Cells of the confusion matrix: (triggered, harmful)."""

COMPOSED = "korn-graubard-mover"
COMPOSED_ASSISTED = f"{ASSISTED}-mover"
ERRORS = (
    "agreement",
    "wrong_block_share",
    "benign_blocked_rate",
    "missed_harm_rate",
    "precision",
    "recall",
    "f1",
)
"""The rates that there are."""
# Shares of kinds of turns that the log tells apart, and of kinds that only a verdict does; each with the rates that need it.
_AGREEMENT = {"agreement": Ratio("agrees", "judged")}
_WRONG, _MISSED = {"wrong": Ratio("fp", "triggered")}, {"missed": Ratio("fn", "passed")}
_OF_JUDGED = {
    "benign_blocked_rate": (Ratio("fp", "benign"), {"benign_blocked_rate"}),
    "missed_harm_rate": (Ratio("fn", "harmful"), {"missed_harm_rate", "recall"}),
    "jaccard": (Ratio("tp", "either"), {"f1"}),
}
_CAUGHT = Ratio("tp", "triggered")


def add_flags(rows: pl.DataFrame) -> pl.DataFrame:
    """`rows` (booleans triggered and harmful) with the boolean columns that `estimate_errors` reads."""
    triggered, harmful = pl.col("triggered"), pl.col("harmful")
    return rows.with_columns(
        *(((triggered == fired) & (harmful == is_harmful)).alias(name) for name, (fired, is_harmful) in CELLS.items()),
        passed=~triggered,
        benign=~harmful,
        judged=pl.lit(value=True),
        agrees=triggered == harmful,
        either=triggered | harmful,
    )


def estimate_errors(
    sample: pl.DataFrame,
    *,
    groups: int,
    min_sample: int,
    confidence: float,
    score_means: Mapping[tuple[int, bool], float] | None = None,
    names: Collection[str] = ERRORS,
) -> dict[str, pl.Series]:
    """Error rates of every group.

    Args:
        sample: Reviewed turns with the columns `metrics.survey.REVIEWS` and the flags.
        groups: How many groups there are.
        min_sample: Reviews in the denominator below which estimate and interval are null.
        confidence: Level of the intervals.
        score_means: Mean score of all turns of a group that triggered (true) or passed (false), where every one of them has a
            score; `sample` then has `score`, and those rates are assisted by it (`metrics.assisted`).
        names: Which of the rates to estimate; each costs time.

    Returns:
        RATE series by name. In a sampled group, the rates among harmful or benign turns are null when no turn that passed, or
        none that triggered, was reviewed.
    """
    is_sampled = np.zeros(groups, dtype=bool)
    chosen = sample.filter(pl.col("group") >= 0, pl.col("inclusion_probability") < 1)["group"].unique()
    is_sampled[chosen.to_numpy()] = True
    judged = {name: ratio for name, (ratio, needed_by) in _OF_JUDGED.items() if not needed_by.isdisjoint(names)}
    is_composed = bool(judged) and bool(is_sampled.any())
    asked = _WRONG | (_MISSED if is_composed else {}) | (_AGREEMENT if "agreement" in names else {})
    found = _estimate_shares(sample, asked, groups=groups, confidence=confidence)
    rates = {"wrong_block_share": hide_small(found["wrong"], min_sample=min_sample)}
    if "agreement" in names:
        rates["agreement"] = hide_small(found["agreement"], min_sample=min_sample)
    rates |= count_rates(sample, judged, groups=groups, min_sample=min_sample, confidence=confidence)
    if is_sampled.any():
        means = _split_means(score_means or {})
        caught = assist_rates(complement(found["wrong"]), sample, _CAUGHT, means[True], confidence=confidence)
        # What the score says of triggers, it says of wrong blocks.
        rates["wrong_block_share"] = _take_assisted(rates["wrong_block_share"], complement(caught))
        if is_composed:
            missed = assist_rates(found["missed"], sample, _MISSED["missed"], means[False], confidence=confidence)
            rates |= combine_parts(rates, {"caught": caught, "missed": missed}, is_sampled, min_sample=min_sample)
    derived = {
        "precision": lambda: complement(rates["wrong_block_share"]),
        "recall": lambda: complement(rates["missed_harm_rate"]),
        "f1": lambda: _f1(rates["jaccard"]),
    }
    return {name: derived[name]() if name in derived else rates[name] for name in ERRORS if name in names}


def _estimate_shares(
    sample: pl.DataFrame, ratios: Mapping[str, Ratio], *, groups: int, confidence: float
) -> dict[str, pl.Series]:
    """`metrics.survey.estimate_rates`; for one group in one pass over arrays, which live pages have time for."""
    if groups != 1:
        return estimate_rates(sample, ratios, groups=groups, min_sample=1, confidence=confidence)
    sweep = Sweep(sample)
    inside = (sweep.rows["group"] >= 0).to_numpy()
    hits, of = (
        np.column_stack([inside & sweep.rows[getattr(ratio, part)].to_numpy() for ratio in ratios.values()])
        for part in ("hits", "of")
    )
    shares = sweep.rates(hits, of, min_sample=1, confidence=confidence)
    return {name: shares[place : place + 1] for place, name in enumerate(ratios)}


def _split_means(means: Mapping[tuple[int, bool], float]) -> dict[bool, dict[int, float]]:
    """Mean scores by group, of turns that triggered and of those that passed."""
    return {
        kind: {group: mean for (group, is_triggered), mean in means.items() if is_triggered == kind}
        for kind in (True, False)
    }


def sweep_errors(
    sweep: Sweep, inside: Booleans, triggered: Booleans, *, min_sample: int, confidence: float
) -> dict[str, pl.Series]:
    """Error rates of one set of reviewed turns under many decisions at once, as `estimate_errors` gives them for one.

    Args:
        sweep: Reviewed turns with the column harmful.
        inside: Which of its rows count.
        triggered: Rows by decisions; counts only where a row does.
        min_sample: As in `estimate_errors`.
        confidence: Level of the intervals.

    Returns:
        RATE series by name, one entry per decision: precision, recall, benign_blocked_rate, missed_harm_rate.
    """
    harmful = sweep.rows["harmful"].fill_null(value=False).to_numpy()[:, None]
    among = np.broadcast_to(inside[:, None], triggered.shape)
    fired = among & triggered
    kinds = {
        "wrong_block_share": (~harmful, fired),
        "benign_blocked_rate": (fired, among & ~harmful),
        "missed_harm_rate": (~fired, among & harmful),
        "caught": (harmful, fired),
        "missed": (harmful, among & ~fired),
    }
    rates = {
        name: sweep.rates(
            *masks,
            min_sample=1 if name in ("caught", "missed") else min_sample,
            confidence=confidence,
            is_counted=name in _OF_JUDGED,
        )
        for name, masks in kinds.items()
    }
    probability = sweep.rows["inclusion_probability"].to_numpy()[inside]
    if probability.size and probability.min() < 1:
        everywhere = np.ones(triggered.shape[1], dtype=bool)
        rates |= combine_parts(rates, rates, everywhere, min_sample=min_sample)
    return {
        "precision": complement(rates["wrong_block_share"]),
        "recall": complement(rates["missed_harm_rate"]),
        "benign_blocked_rate": rates["benign_blocked_rate"],
        "missed_harm_rate": rates["missed_harm_rate"],
    }


def combine_parts(
    rates: Mapping[str, pl.Series], parts: Mapping[str, pl.Series], where: Booleans, *, min_sample: int
) -> dict[str, pl.Series]:
    """Rates among harmful or benign turns with bounds put together from two shares.

    Args:
        rates: RATE series with Wilson bounds: missed_harm_rate, benign_blocked_rate, and jaccard if asked for.
        parts: RATE series caught (harmful among turns that triggered) and missed (among turns that passed).
        where: Groups that were sampled; the others keep their bounds.
        min_sample: As in `estimate_errors`.
    """
    composed = compose(Total.read(parts["caught"]), Total.read(parts["missed"]))
    pairs = zip(parts["caught"].struct.field("method"), parts["missed"].struct.field("method"), strict=True)
    methods = [COMPOSED_ASSISTED if ASSISTED in pair else COMPOSED for pair in pairs]
    return {
        name: _replace_bounds(rates[name], bounds, where, methods, min_sample=min_sample)
        for name, bounds in composed.items()
        if name in rates
    }


@dataclass(frozen=True, slots=True)
class Total:
    """An estimated number of turns with bounds, out of `whole` turns of its kind; NaN where none was reviewed."""

    value: Floats
    low: Floats
    high: Floats
    whole: Floats

    @classmethod
    def read(cls, rates: pl.Series) -> Total:
        parts = pl.DataFrame({"rate": rates}).unnest("rate")
        whole = parts["denominator"].to_numpy()
        value, low, high = (parts[name].fill_null(float("nan")).to_numpy() for name in ("estimate", "low", "high"))
        return cls(value * whole, low * whole, high * whole, whole)

    def complement(self) -> Total:
        """The turns of its kind that are not counted."""
        return Total(self.whole - self.value, self.whole - self.high, self.whole - self.low, self.whole)


def compose(caught: Total, missed: Total) -> dict[str, tuple[Floats, Floats, Floats]]:
    """Value and bounds of the rates that mix turns that triggered with turns that passed.

    Args:
        caught: Harmful turns among those that triggered.
        missed: Harmful turns among those that passed.

    Returns:
        missed_harm_rate, benign_blocked_rate, and jaccard (harmful and triggered / harmful or triggered).
    """
    return {
        "missed_harm_rate": _combine(_share, missed, caught),
        "benign_blocked_rate": _combine(_share, caught.complement(), missed.complement()),
        "jaccard": _combine(lambda tp, fn: divide(tp, caught.whole + fn), caught, missed),
    }


def _share(part: Floats, other: Floats) -> Floats:
    return divide(part, part + other)


def _combine(
    function: Callable[[Floats, Floats], Floats], rising: Total, falling: Total
) -> tuple[Floats, Floats, Floats]:
    """Value and bounds of a function that rises with its first argument and falls with its second."""
    value = function(rising.value, falling.value)
    down = np.hypot(value - function(rising.low, falling.value), value - function(rising.value, falling.high))
    up = np.hypot(function(rising.high, falling.value) - value, function(rising.value, falling.low) - value)
    return value, np.maximum(value - down, 0.0), np.minimum(value + up, 1.0)


def _take_assisted(rates: pl.Series, assisted: pl.Series) -> pl.Series:
    """`rates` with those of `assisted` that a score helped, unless the minimum sample hides them."""
    pairs = zip(rates.to_list(), assisted.to_list(), strict=True)
    return pl.Series(
        [other if other["method"] == ASSISTED and rate["estimate"] is not None else rate for rate, other in pairs],
        dtype=RATE,
    )


def _replace_bounds(
    rates: pl.Series,
    combined: tuple[Floats, Floats, Floats],
    where: Booleans,
    methods: list[str],
    *,
    min_sample: int,
) -> pl.Series:
    parts = pl.DataFrame({"rate": rates}).unnest("rate")
    value, low, high = combined
    denominator = parts["denominator"].to_numpy()
    is_assisted = np.array([method == COMPOSED_ASSISTED for method in methods])
    estimate, kept_low, kept_high = (
        parts[name].fill_null(float("nan")).to_numpy() for name in ("estimate", "low", "high")
    )
    return rate_series(
        estimate=np.where(where, value, estimate),
        low=np.where(where, low, kept_low),
        high=np.where(where, high, kept_high),
        # What the score moved is no longer the ratio of the weighted counts.
        numerator=np.where(where & is_assisted, value * denominator, parts["numerator"].to_numpy()),
        denominator=denominator,
        method=[
            composed if is_composed else method
            for is_composed, composed, method in zip(where, methods, parts["method"], strict=True)
        ],
        reviewed=parts["n"],
        min_sample=min_sample,
    )


def _f1(jaccard: pl.Series) -> pl.Series:
    """F1 from the share of triggered-or-harmful turns that are both: F1 = 2J / (1 + J), which rises with J."""
    parts = pl.DataFrame({"rate": jaccard}).unnest("rate")
    return parts.select(
        pl.struct(
            *((2 * pl.col(name) / (1 + pl.col(name))).alias(name) for name in ("estimate", "low", "high")),
            numerator=2 * pl.col("numerator"),
            denominator=pl.col("denominator") + pl.col("numerator"),
            method="method",
            n="n",
        ).cast(RATE)
    ).to_series()


def average_precision(scores: Floats, harmful: Floats, weights: Floats) -> float:
    """Mean precision over the harmful turns, a threshold at every distinct score; 0..1.

    Source: the step-wise sum of (R_n - R_n-1) P_n, as in scikit-learn's `average_precision_score`.
    """
    ranked = (
        pl.DataFrame({"score": scores, "hit": harmful * weights, "weight": weights})
        .group_by("score")
        .agg(pl.col("hit").sum(), pl.col("weight").sum())
        .sort("score", descending=True)
    )
    precision = pl.col("hit").cum_sum() / pl.col("weight").cum_sum()
    return float(ranked.select((precision * pl.col("hit")).sum() / pl.col("hit").sum()).item())
