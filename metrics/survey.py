"""Rates from a reviewed probability sample: Hájek ratios with linearised, clustered, stratified variance.

Point estimates and standard errors come from `svy`; a domain in which everything was certain to be reviewed
(every inclusion probability 1) is a census: exact count ratio and Wilson interval.
Sources: Särndal, Swensson, Wretman (1992) section 5.7; Korn and Graubard (1998).
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
import svy
from scipy.special import ndtri

from metrics.estimate import Floats, divide, exact_bounds, rate_series, wilson_bounds

REVIEWS = {
    "group": pl.Int64,
    "request_id": pl.String,
    "conversation_id": pl.String,
    "stratum": pl.String,
    "inclusion_probability": pl.Float64,
}
"""Columns that every sample has. `group` >= 0 numbers the row of the result that the review counts in; -1 is none."""

SAMPLED = "korn-graubard"
"""Method of a rate that was estimated from a sample by its design alone."""

# Makes the finite-population correction vanish, for strata whose sampling fraction is not known.
_ENDLESS = 1e15
# Not names that a sample's own columns may have.
_HITS, _OF = "ratio_hits", "ratio_of"
# svy builds parts of a sample lazily and promises nothing about threads; pages run in several.
_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Ratio:
    """The share of `of` for which `hits` holds; both name boolean columns of the sample."""

    hits: str
    of: str


@dataclass(frozen=True, slots=True)
class Proportion:
    """What `svy` says of one group: estimate, standard error, Korn-Graubard bounds (NaN without degrees of freedom)."""

    estimate: float
    error: float
    low: float
    high: float

    def complement(self) -> Proportion:
        """The opposite event."""
        return Proportion(1 - self.estimate, self.error, 1 - self.high, 1 - self.low)


@dataclass(frozen=True, slots=True)
class Unseen:
    """What strata in which every review agreed may hide, of one or many shares; squared, so that strata add up.

    A stratum that shows no variation has variance zero in every formula, which is no proof that there is none: with 20
    reviews it may hold one in six of the other kind, and where it stands for most of the traffic, that is the interval.

    Attributes:
        below: How far the share may lie below its estimate.
        above: How far it may lie above.
    """

    below: Floats
    above: Floats

    def widen(
        self, estimate: Floats, error: Floats, low: Floats, high: Floats, *, confidence: float
    ) -> tuple[Floats, Floats]:
        """Bounds that reach at least as far as what was seen to vary and what may be hidden together.

        Source: variances recovered from the limits of each stratum (MOVER: Zou, Donner 2008; for strata, Yan, Su 2010).
        """
        seen = (float(ndtri(0.5 + confidence / 2)) * error) ** 2
        return (
            np.where(self.below > 0, np.minimum(low, np.maximum(estimate - np.sqrt(seen + self.below), 0.0)), low),
            np.where(self.above > 0, np.maximum(high, np.minimum(estimate + np.sqrt(seen + self.above), 1.0)), high),
        )


def find_hidden(size: Floats, share: Floats, kept: Floats, *, confidence: float) -> Floats:
    """Square of how far a share may be off because of a stratum that was all alike: Clopper-Pearson's bound at 0 of `size`.

    Args:
        size: Independent reviews of the stratum.
        share: The stratum's share of the denominator.
        kept: Share of the stratum that was not reviewed; 1 = not known.
        confidence: Level.
    """
    found: Floats = kept * (share * (1 - ((1 - confidence) / 2) ** (1 / np.maximum(size, 1)))) ** 2
    return found


def warm_up() -> None:
    """Pays the library's slow first call (about 2.5 s), so that no page does. Run it in a thread at start."""
    rows = range(6)
    sample = pl.DataFrame(
        {
            "group": [0 for _ in rows],
            "request_id": [str(row) for row in rows],
            "conversation_id": [None for _ in rows],
            "stratum": ["a" if row < 3 else "b" for row in rows],
            "inclusion_probability": [0.5 for _ in rows],
            "hit": [row % 2 == 0 for row in rows],
            "of": [True for _ in rows],
        },
        schema_overrides=REVIEWS,
    )
    estimate_rates(sample, {"warm": Ratio("hit", "of")}, groups=1, min_sample=1, confidence=0.95)


def estimate_rates(
    sample: pl.DataFrame, ratios: Mapping[str, Ratio], *, groups: int, min_sample: int, confidence: float
) -> dict[str, pl.Series]:
    """Rates of every group from reviewed turns.

    Args:
        sample: Reviewed turns with the columns `REVIEWS` and those that `ratios` name; a turn that counts in
            several groups has a row in each. Probabilities are not null.
        ratios: What to estimate, by name.
        groups: How many groups there are.
        min_sample: Reviews in the denominator below which estimate and interval are null.
        confidence: Level of the intervals.

    Returns:
        For each ratio a RATE series with one entry per group, in order. Method "wilson" or "korn-graubard".
    """
    rows = weigh(sample)
    is_census = rows.is_empty() or rows["inclusion_probability"].min() == 1
    survey = None if is_census else build_survey(rows)
    return {
        name: _rates(rows, survey, ratio, groups=groups, min_sample=min_sample, confidence=confidence)
        for name, ratio in ratios.items()
    }


def count_rates(
    sample: pl.DataFrame, ratios: Mapping[str, Ratio], *, groups: int, min_sample: int, confidence: float
) -> dict[str, pl.Series]:
    """As `estimate_rates`, with Wilson bounds throughout: right for a census, and for whoever replaces the bounds."""
    rows = weigh(sample)
    return {
        name: _rates(rows, None, ratio, groups=groups, min_sample=min_sample, confidence=confidence)
        for name, ratio in ratios.items()
    }


def estimate_proportions(survey: svy.Sample, ratio: Ratio, *, confidence: float) -> dict[int, Proportion]:
    """The ratio in every group that has rows in its denominator."""
    with _lock:
        flagged = survey.wrangling.mutate(
            {_HITS: svy.col(ratio.hits).cast(pl.Int8), _OF: svy.col(ratio.of).cast(pl.Int8)}
        )
        result = flagged.estimation.prop(
            _HITS, by="group", where=svy.col(_OF) == 1, ci_method="korn-graubard", alpha=1 - confidence
        )
    found: dict[int, Proportion] = {}
    for part in result if isinstance(result, list) else [result]:
        table = part.to_polars().select("group", _HITS, "est", "se", "lci", "uci")
        for group, hit, *numbers in table.iter_rows():
            if hit == 1:
                found[group] = Proportion(*numbers)
            else:
                # A group in which nothing hit may come with this level only.
                found.setdefault(group, Proportion(*numbers).complement())
    return found


def weigh(sample: pl.DataFrame) -> pl.DataFrame:
    return sample.with_columns(
        weight=1 / pl.col("inclusion_probability"),
        psu=pl.coalesce("conversation_id", "request_id"),
        stratum=pl.col("stratum").fill_null(""),
    )


def build_survey(rows: pl.DataFrame) -> svy.Sample:
    """The design: strata, conversations as primary units, weights, correction for drawing without replacement."""
    least, most = (
        extreme.over("stratum")
        for extreme in (pl.col("inclusion_probability").min(), pl.col("inclusion_probability").max())
    )
    # The sampling fraction is the inclusion probability where a stratum has but one; svy takes it as a population
    # counted in primary units.
    units = pl.col("psu").n_unique().over("stratum")
    population = pl.when(least == most).then(units / least).otherwise(units * _ENDLESS)
    design = svy.Design(stratum="stratum", psu="psu", wgt="weight", pop_size="population", singleton="center")
    with _lock:
        return svy.Sample(rows.with_columns(population=population), design)


def _rates(
    rows: pl.DataFrame,
    survey: svy.Sample | None,
    ratio: Ratio,
    *,
    groups: int,
    min_sample: int,
    confidence: float,
) -> pl.Series:
    sums = _sum_by_group(rows, ratio, groups)
    numerator, denominator = sums["numerator"].to_numpy(), sums["denominator"].to_numpy()
    low, high = wilson_bounds(numerator, denominator, confidence=confidence)
    method = ["wilson"] * groups
    is_sampled = (sums["n"] > 0) & (sums["least"] < 1)
    if survey is not None and is_sampled.any():
        found = estimate_proportions(survey, ratio, confidence=confidence)
        error = np.zeros(groups)
        for group in is_sampled.arg_true().to_list():
            method[group], error[group] = SAMPLED, found[group].error
            low[group], high[group] = _bounds(found[group], sums["effective"][group], confidence=confidence)
        unseen = sum_unseen(rows, ratio, groups, confidence=confidence)
        wider = unseen.widen(divide(numerator, denominator), error, low, high, confidence=confidence)
        low, high = (np.where(is_sampled, new, old) for new, old in zip(wider, (low, high), strict=True))
    return rate_series(
        estimate=divide(numerator, denominator),
        low=low,
        high=high,
        numerator=numerator,
        denominator=denominator,
        method=method,
        reviewed=sums["n"],
        min_sample=min_sample,
    )


def sum_unseen(rows: pl.DataFrame, ratio: Ratio, groups: int, *, confidence: float) -> Unseen:
    """What the strata of each group may hide; `rows` as `weigh` returns them."""
    weight, probability = pl.col("weight"), pl.col("inclusion_probability")
    strata = (
        rows.filter(pl.col(ratio.of), pl.col("group") >= 0)
        .group_by("group", "stratum")
        .agg(
            total=weight.sum(),
            is_alike=pl.col(ratio.hits).n_unique() == 1,
            is_hit=pl.col(ratio.hits).first(),
            # Turns of one conversation may all be alike, and few heavy turns may speak for many.
            size=pl.min_horizontal(pl.col("psu").n_unique().cast(pl.Float64), weight.sum() ** 2 / (weight**2).sum()),
            kept=pl.when(probability.min() == probability.max()).then(1 - probability.min()).otherwise(1.0),
        )
        .with_columns(share=pl.col("total") / pl.col("total").sum().over("group"))
        .filter("is_alike")
    )
    hidden = find_hidden(*(strata[name].to_numpy() for name in ("size", "share", "kept")), confidence=confidence)
    sums = np.zeros((2, groups))
    np.add.at(sums, (strata["is_hit"].cast(pl.Int64).to_numpy(), strata["group"].to_numpy()), hidden)
    return Unseen(below=sums[1], above=sums[0])


def _sum_by_group(rows: pl.DataFrame, ratio: Ratio, groups: int) -> pl.DataFrame:
    """Weighted sums of numerator and denominator; one row per group, zeros where the denominator is empty."""
    weight = pl.col("weight")
    sums = (
        rows.filter(pl.col(ratio.of), pl.col("group") >= 0)
        .group_by("group")
        .agg(
            numerator=weight.filter(pl.col(ratio.hits)).sum(),
            denominator=weight.sum(),
            n=pl.len().cast(pl.Int64),
            least=pl.col("inclusion_probability").min(),
            effective=weight.sum() ** 2 / (weight**2).sum(),
        )
    )
    every = pl.DataFrame({"group": pl.int_range(groups, dtype=pl.Int64, eager=True)})
    return every.join(sums, on="group", how="left", maintain_order="left").fill_null(0)


def _bounds(found: Proportion, effective: float, *, confidence: float) -> tuple[float, float]:
    """Bounds of a sampled rate; `effective` is Kish's sample size under unequal weights."""
    if math.isnan(found.low) or math.isnan(found.high):
        # No degrees of freedom are left: the sample says nothing about its own precision.
        return 0.0, 1.0
    if found.error < 1e-12:
        # No variation was seen inside any stratum, which is no proof that there is none.
        return exact_bounds(found.estimate, effective, confidence=confidence)
    return found.low, found.high
