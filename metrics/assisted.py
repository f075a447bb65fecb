"""Shares of a reviewed sample, sharpened by a score that every turn of the population has. No database.

The score cannot say who is right, but it says how the sample happens to differ from the traffic: where the drawn turns
scored higher than the population, their harmful share is too high by about `λ` times the difference. The tuning weight
`λ` is fitted to the reviews under the sample's own design and falls to 0 when score and verdict have nothing to do with each other, so
that a useless score changes nothing.

Source: PPI++ (Angelopoulos, Duchi, Zrnic 2023) for the mean, which for a sample drawn from the scored population is the
regression estimator of survey statistics (Särndal, Swensson, Wretman 1992, section 6.4) with variances of the whole design.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import stdtrit

from metrics.estimate import RATE, Floats, exact_bounds
from metrics.survey import SAMPLED, Ratio, sum_unseen, weigh

METHOD = "korn-graubard-ppi"
# Reviews on either side of the verdict below which a fitted weight is mostly chance.
_LEAST_OF_EACH = 10
# Below this, the association of score and verdict may be chance (F with one degree of freedom, 5 %).
_LEAST_EVIDENCE = 4.0


@dataclass(frozen=True, slots=True)
class Assisted:
    """A share estimated with the help of a score.

    Attributes:
        estimate: The share, 0 to 1.
        low: Lower bound.
        high: Upper bound.
        weight: The tuning weight `λ`; 0 = the score was of no use.
        gain: Effective reviews with the score per review without it, at least 1.
    """

    estimate: float
    low: float
    high: float
    weight: float
    gain: float

    def to_rate(self, denominator: float) -> dict[str, object]:
        """The fields of a rate record that it decides."""
        return {
            "estimate": self.estimate,
            "low": self.low,
            "high": self.high,
            "numerator": self.estimate * denominator,
            "method": METHOD,
        }


def assist_share(
    sample: pl.DataFrame, ratio: Ratio, *, group: int, score_mean: float, confidence: float
) -> Assisted | None:
    """The ratio in one group, assisted by `score`.

    Args:
        sample: As `metrics.survey.estimate_rates` takes it, with `score`, which is known for every turn of the group's denominator.
        ratio: What to estimate.
        group: Which group.
        score_mean: Mean score over all turns of the population that are in the denominator.
        confidence: Level.

    Returns:
        None where too few reviews lie on one side of the verdict, the design leaves no degrees of freedom, or the score is of no use.
    """
    rows = weigh(sample)
    inside = ((rows["group"] == group) & rows[ratio.of]).to_numpy()
    hit = rows[ratio.hits].to_numpy()[inside].astype(float)
    count = int(inside.sum())
    if min(hit.sum(), count - hit.sum()) < _LEAST_OF_EACH:
        return None
    weight = rows["weight"].to_numpy()
    score = rows["score"].fill_null(0.0).to_numpy()
    total = weight[inside].sum()
    share, sample_mean = ((weight[inside] * values).sum() / total for values in (hit, score[inside]))
    # Linearised variables of the two means; rows outside the domain add zeros.
    linear = np.zeros((rows.height, 2))
    linear[inside, 0] = weight[inside] * (hit - share) / total
    linear[inside, 1] = weight[inside] * (score[inside] - sample_mean) / total
    covariance = estimate_covariance(rows, linear)
    freedom = _degrees_of_freedom(rows.filter(inside))
    tuning = tune(covariance, freedom)
    if freedom < 1 or tuning == 0:
        return None
    direction = np.array([1.0, -tuning])
    variance = float(direction @ covariance @ direction)
    gain = float(covariance[0, 0] / variance)
    estimate = float(np.clip(share - tuning * (sample_mean - score_mean), 0.0, 1.0))
    spread = stdtrit(np.array([count - 1, freedom]), 0.5 + confidence / 2)
    effective = share * (1 - share) / covariance[0, 0] * (spread[0] / spread[1]) ** 2
    low, high = exact_bounds(estimate, gain * min(count, effective), confidence=confidence)
    # What reviews that all agree may hide, a score that was fitted to them does not show either.
    unseen = sum_unseen(rows.filter(inside).with_columns(group=pl.lit(0)), ratio, 1, confidence=confidence)
    bounds = unseen.widen(*(np.array([value]) for value in (estimate, variance**0.5, low, high)), confidence=confidence)
    return Assisted(estimate, float(bounds[0][0]), float(bounds[1][0]), tuning, gain)


def assist_rates(
    rates: pl.Series, sample: pl.DataFrame, ratio: Ratio, score_means: Mapping[int, float], *, confidence: float
) -> pl.Series:
    """`rates` of one ratio with the assisted ones in place of those that a score helps.

    Args:
        rates: RATE records, one per group, from `metrics.survey.estimate_rates`.
        sample: As in `assist_share`.
        ratio: What was estimated.
        score_means: As in `assist_share`, by group; other groups stay as they are.
        confidence: Level.
    """
    rows = rates.to_list()
    for group, mean in score_means.items():
        row = rows[group]
        # A hidden rate stays hidden, and a census has nothing to gain.
        if row["estimate"] is not None and row["method"] == SAMPLED:
            found = assist_share(sample, ratio, group=group, score_mean=mean, confidence=confidence)
            row |= found.to_rate(row["denominator"]) if found else {}
    return pl.Series(rates.name, rows, dtype=RATE)


def tune(covariance: Floats, freedom: int) -> float:
    """The weight `λ` that makes the variance least, drawn towards 0 by what chance alone would fit.

    Args:
        covariance: Of the estimated share and the estimated mean score.
        freedom: Degrees of freedom that they rest on.
    """
    (share, both), (_, score) = covariance
    if min(share, score) <= 0 or freedom < 1:
        return 0.0
    explained = both**2 / (share * score)
    evidence = explained * freedom / max(1 - explained, 1e-12)
    return float(both / score * (1 - 1 / evidence)) if evidence >= _LEAST_EVIDENCE else 0.0


def estimate_covariance(rows: pl.DataFrame, linear: Floats) -> Floats:
    """Covariance of totals under the design: strata, conversations as units, correction for drawing without replacement.

    Args:
        rows: The whole sample, as `weigh` returns it.
        linear: One row per row of it, one column per total.
    """
    stratum: NDArray[np.int64] = rows["stratum"].rank("dense").to_numpy().astype(np.int64) - 1
    unit: NDArray[np.int64] = (
        rows.select(pl.struct("stratum", "psu").rank("dense")).to_series().to_numpy().astype(np.int64) - 1
    )
    sums = np.zeros((unit.max() + 1, linear.shape[1]))
    np.add.at(sums, unit, linear)
    home = np.zeros(unit.max() + 1, dtype=np.int64)
    home[unit] = stratum
    grand_mean = sums.mean(axis=0)
    probability = rows["inclusion_probability"].to_numpy()
    found = np.zeros((linear.shape[1], linear.shape[1]))
    for place in range(int(stratum.max()) + 1):
        units = sums[home == place]
        members = probability[stratum == place]
        fraction = members[0] if np.ptp(members) == 0 else 0.0
        scale = len(units) / (len(units) - 1) if len(units) > 1 else 1.0
        centred = units - (units.mean(axis=0) if len(units) > 1 else grand_mean)
        found += (1 - fraction) * scale * centred.T @ centred
    return found


def _degrees_of_freedom(domain: pl.DataFrame) -> int:
    units = domain.select(pl.struct("stratum", "psu").n_unique()).item()
    return int(units) - domain["stratum"].n_unique()
