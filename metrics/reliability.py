"""Agreement between raters beyond chance. No database.

Ratings come as a count matrix: one row per item, one column per value, holding how many raters gave the item that
value. Items are told apart only by their row, so equal rows are counted once and weighted: a bootstrap over a hundred
thousand items is one over the few patterns that occur.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metrics.estimate import Floats

RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Alpha:
    """Krippendorff's alpha with a percentile interval; NaN where fewer than two values occur."""

    estimate: float
    low: float
    high: float


def estimate_alpha(counts: NDArray[np.int64], *, is_ordinal: bool, confidence: float) -> Alpha:
    """Alpha of a count matrix (items x values, values in order), its interval by resampling items.

    Source: Krippendorff (2011), "Computing Krippendorff's alpha-reliability"; nominal or ordinal difference.
    """
    patterns, times = np.unique(counts[counts.sum(axis=1) > 1], axis=0, return_counts=True)
    if not times.size:
        return Alpha(np.nan, np.nan, np.nan)
    pairs = _pair_values(patterns)
    (estimate,) = _alphas(pairs, times[None, :].astype(np.float64), is_ordinal=is_ordinal)
    generator = np.random.default_rng(0)  # the same votes give the same interval
    drawn = generator.multinomial(times.sum(), times / times.sum(), size=RESAMPLES).astype(np.float64)
    resampled = _alphas(pairs, drawn, is_ordinal=is_ordinal)
    known = resampled[~np.isnan(resampled)]
    if np.isnan(estimate) or not known.size:
        return Alpha(float(estimate), np.nan, np.nan)
    tail = (1 - confidence) / 2
    low, high = np.quantile(known, (tail, 1 - tail))
    return Alpha(float(estimate), min(float(low), float(estimate)), max(float(high), float(estimate)))


def ordinal_alphas(counts: NDArray[np.int64], times: Floats) -> Floats:
    """Ordinal alpha for each row of `times`, which says how often each item (row of `counts`) counts; NaN where undefined."""
    rated = counts.sum(axis=1) > 1
    return _alphas(_pair_values(counts[rated]), times[:, rated], is_ordinal=True)


def percent_agreement(counts: NDArray[np.int64]) -> tuple[int, int]:
    """Items on which all raters agree, and items with at least two ratings."""
    rated = counts[counts.sum(axis=1) > 1]
    return int((rated.max(axis=1, initial=0) == rated.sum(axis=1)).sum()), len(rated)


def gwet_ac1(counts: NDArray[np.int64]) -> float:
    """Gwet's AC1, which stays meaningful when nearly all ratings are one value; NaN where fewer than two values occur.

    Source: Gwet (2008), "Computing inter-rater reliability in the presence of high agreement", any number of raters.
    """
    used = counts[:, counts.sum(axis=0) > 0]
    raters = used.sum(axis=1)
    rated, many = used[raters > 1], raters[raters > 1]
    if used.shape[1] < 2 or not many.size:
        return float("nan")
    observed = float(((rated * (rated - 1)).sum(axis=1) / (many * (many - 1))).mean())
    share = (used[raters > 0] / raters[raters > 0, None]).mean(axis=0)
    chance = float((share * (1 - share)).sum()) / int(used.shape[1] - 1)
    return (observed - chance) / (1 - chance)


def cohen_kappa(table: NDArray[np.int64]) -> float:
    """Cohen's kappa of two raters' cross table; NaN where chance alone explains everything. Source: Cohen (1960)."""
    total = float(table.sum())
    if not total:
        return float("nan")
    observed = float(np.trace(table)) / total
    chance = float((table.sum(axis=0) * table.sum(axis=1)).sum()) / total**2
    return float("nan") if chance == 1 else (observed - chance) / (1 - chance)


def _pair_values(patterns: NDArray[np.int64]) -> Floats:
    """Coincidences within an item of each pattern: patterns x values x values."""
    raters = patterns.sum(axis=1)
    pairs = patterns[:, :, None] * patterns[:, None, :] - patterns[:, :, None] * np.eye(patterns.shape[1], dtype=int)
    coincidences: Floats = pairs / (raters - 1)[:, None, None]
    return coincidences


def _alphas(pairs: Floats, times: Floats, *, is_ordinal: bool) -> Floats:
    """Alpha for each row of `times` (how often each pattern occurs)."""
    coincidences = np.tensordot(times, pairs, axes=1)
    of_value = coincidences.sum(axis=2)
    total = of_value.sum(axis=1)
    apart = _squared_ranks(of_value) if is_ordinal else 1 - np.eye(pairs.shape[1])
    observed = (coincidences * apart).sum(axis=(1, 2))
    expected = (of_value[:, :, None] * of_value[:, None, :] * apart).sum(axis=(1, 2)) / (total - 1)
    alphas = np.full(total.shape, np.nan)
    np.divide(observed, expected, out=alphas, where=expected > 0)
    result: Floats = 1 - alphas
    return result


def _squared_ranks(of_value: Floats) -> Floats:
    """The ordinal difference of two values: squared number of ratings between their middles."""
    middle = of_value.cumsum(axis=1) - of_value / 2
    distance: Floats = (middle[:, :, None] - middle[:, None, :]) ** 2
    return distance
