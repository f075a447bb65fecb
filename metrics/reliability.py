"""Agreement between raters beyond chance. No database.

Ratings come as a count matrix: one row per item, one column per value, holding how many raters gave the item that
value. Beside it may stand the cluster of each item, the number of its conversation: items of one cluster are correlated, so intervals are taken
over clusters. Without, each item is its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from metrics.estimate import Floats, wilson_bounds

RESAMPLES = 1000
_CHUNK = 100
Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Coefficient:
    """A coefficient of agreement with its interval; NaN where it is undefined, the interval also where a single cluster says it."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Pair:
    """What two raters said about the items that both rated: codes of values, and the cluster of each item."""

    first: Counts
    second: Counts
    clusters: Counts


UNDEFINED = Coefficient(np.nan, np.nan, np.nan)


def estimate_alpha(
    counts: Counts, clusters: Counts | None = None, *, is_ordinal: bool, confidence: float
) -> Coefficient:
    """Krippendorff's alpha of a count matrix (items x values, values in order), a percentile interval by resampling clusters.

    Equal clusters are counted once and weighted: a bootstrap over a hundred thousand items is one over the few patterns
    that occur. Source: Krippendorff (2011), "Computing Krippendorff's alpha-reliability"; nominal or ordinal difference.
    """
    rated = counts.sum(axis=1) > 1
    if not rated.any():
        return UNDEFINED
    clusters = np.arange(len(counts)) if clusters is None else clusters
    patterns, pattern = np.unique(counts[rated], axis=0, return_inverse=True)
    kinds, times = _count_kinds(pattern.ravel(), clusters[rated], len(patterns))
    pairs = np.tensordot(kinds, _pair_values(patterns), axes=1)
    (estimate,) = _alphas(pairs, times[None, :], is_ordinal=is_ordinal)
    many = int(times.sum())
    if np.isnan(estimate) or many < 2:
        return Coefficient(float(estimate), np.nan, np.nan)
    if estimate == 1:
        low = _least(many, _disagreement_by_chance(pairs, times, is_ordinal=is_ordinal), confidence)
        return Coefficient(1.0, low, 1.0)
    generator = np.random.default_rng(0)  # the same votes give the same interval
    resampled = [
        _alphas(pairs, drawn.astype(np.float64), is_ordinal=is_ordinal)
        for drawn in (generator.multinomial(many, times / many, size=_CHUNK) for _ in range(RESAMPLES // _CHUNK))
    ]
    known = np.concatenate(resampled)
    tail = (1 - confidence) / 2
    low, high = np.nanquantile(known, (tail, 1 - tail)) if not np.isnan(known).all() else (np.nan, np.nan)
    return Coefficient(float(estimate), min(float(low), float(estimate)), max(float(high), float(estimate)))


def ordinal_alphas(counts: NDArray[np.int64], times: Floats) -> Floats:
    """Ordinal alpha for each row of `times`, which says how often each item (row of `counts`) counts; NaN where undefined."""
    rated = counts.sum(axis=1) > 1
    return _alphas(_pair_values(counts[rated]), times[:, rated], is_ordinal=True)


def percent_agreement(counts: NDArray[np.int64]) -> tuple[int, int]:
    """Items on which all raters agree, and items with at least two ratings."""
    rated = counts[counts.sum(axis=1) > 1]
    return int((rated.max(axis=1, initial=0) == rated.sum(axis=1)).sum()), len(rated)


def estimate_ac1(counts: Counts, clusters: Counts | None = None, *, confidence: float) -> Coefficient:
    """Gwet's AC1, which stays meaningful when nearly all ratings are one value; undefined where fewer than two values occur.

    Source: Gwet (2008), "Computing inter-rater reliability in the presence of high agreement", any number of raters, its
    variance with respect to the sampling of items as in the R package `irrCAC`, summed within clusters.
    """
    used = counts[counts.sum(axis=1) > 0][:, counts.sum(axis=0) > 0]
    raters = used.sum(axis=1)
    rated = raters > 1
    if used.shape[1] < 2 or not rated.any():
        return UNDEFINED
    shares = used / raters[:, None]
    same = np.where(rated, (used * (used - 1)).sum(axis=1) / np.maximum(raters * (raters - 1), 1), 0)
    share = shares.mean(axis=0)
    scale = 1 / (used.shape[1] - 1)
    chance = float((share * (1 - share)).sum()) * scale
    clusters = np.arange(len(counts)) if clusters is None else clusters
    clusters = clusters[counts.sum(axis=1) > 0]
    estimate = (float(same[rated].mean()) - chance) / (1 - chance)
    if estimate == 1:
        return Coefficient(1.0, _least(np.unique(clusters[rated]).size, 1 - chance, confidence), 1.0)
    # An item that one person rated says nothing of agreement, only of chance.
    weight = rated * len(used) / rated.sum()
    own_chance = scale * (shares @ (1 - share))
    parts = (weight * (same - chance) - 2 * (1 - estimate) * (own_chance - chance)) / (1 - chance) - estimate
    return _interval(estimate, parts / len(used), clusters, confidence)


def average_kappa(pairs: Sequence[Pair], *, confidence: float) -> Coefficient:
    """Mean of Cohen's kappa over pairs of raters; a pair is left out where chance alone explains everything.

    Source: Cohen (1960), for several pairs Light (1971); variance of Fleiss, Cohen and Everitt (1969) by each item's linear
    part. An item that several pairs share counts in each, and its parts are summed within its cluster before they are squared.
    """
    known = [found for found in map(_kappa_parts, pairs) if found is not None]
    if not known:
        return UNDEFINED
    estimate = float(np.mean([kappa for kappa, _, _ in known]))
    parts = np.concatenate([part for _, part, _ in known]) / len(known)
    clusters = np.concatenate([own for _, _, own in known])
    if estimate == 1:
        chance = float(np.mean([_chance(pair) for pair in pairs if _chance(pair) < 1]))
        return Coefficient(1.0, _least(np.unique(clusters).size, 1 - chance, confidence), 1.0)
    return _interval(estimate, parts, clusters, confidence)


def cohen_kappa(table: Counts) -> float:
    """Cohen's kappa of two raters' cross table; NaN where chance alone explains everything. Source: Cohen (1960)."""
    total = float(table.sum())
    if not total:
        return float("nan")
    observed = float(np.trace(table)) / total
    chance = float((table.sum(axis=0) * table.sum(axis=1)).sum()) / total**2
    return float("nan") if chance == 1 else (observed - chance) / (1 - chance)


def _kappa_parts(pair: Pair) -> tuple[float, Floats, Counts] | None:
    """Kappa, each item's linear part of it, and its clusters; None where kappa is undefined."""
    many = len(pair.first)
    chance = _chance(pair)
    if not many or chance == 1:
        return None
    first, second = _shares(pair)
    same = (pair.first == pair.second).astype(np.float64)
    kappa = (float(same.mean()) - chance) / (1 - chance)
    own_chance = (second[pair.first] + first[pair.second]) / 2
    part: Floats = (same - chance - 2 * (1 - kappa) * (own_chance - chance)) / (1 - chance) - kappa
    return kappa, part / many, pair.clusters


def _chance(pair: Pair) -> float:
    first, second = _shares(pair)
    return float(first @ second)


def _shares(pair: Pair) -> tuple[Floats, Floats]:
    """How often each of the two gives each value."""
    values = int(max(pair.first.max(initial=0), pair.second.max(initial=0))) + 1
    many = max(len(pair.first), 1)
    return np.bincount(pair.first, minlength=values) / many, np.bincount(pair.second, minlength=values) / many


def _interval(estimate: float, parts: Floats, clusters: Counts, confidence: float) -> Coefficient:
    """Student's interval from each item's part, which sum to 0, with the clusters' number less one degrees of freedom."""
    _, number = np.unique(clusters, return_inverse=True)
    sums = np.bincount(number.ravel(), weights=parts)
    if sums.size < 2:
        return Coefficient(estimate, np.nan, np.nan)
    error = float(np.sqrt(sums.size / (sums.size - 1) * (sums**2).sum()))
    spread = float(stdtrit(sums.size - 1, 0.5 + confidence / 2)) * error
    return Coefficient(estimate, max(estimate - spread, -1.0), min(estimate + spread, 1.0))


def _least(clusters: int, by_chance: float, confidence: float) -> float:
    """The lower end where all agree, and no variance can be seen: at the lower bound of the agreement itself.

    Args:
        clusters: Items or clusters, all of which agree.
        by_chance: Disagreement by chance.
        confidence: Level.
    """
    if clusters < 2:
        return float("nan")
    low, _ = wilson_bounds(np.array([float(clusters)]), np.array([float(clusters)]), confidence=confidence)
    return max(1 - (1 - float(low[0])) / by_chance, -1.0)


def _count_kinds(pattern: Counts, clusters: Counts, patterns: int) -> tuple[Counts, Floats]:
    """Clusters that hold the same patterns: kinds x patterns with how often, and how many clusters are of each kind."""
    order = np.lexsort((pattern, clusters))
    starts = np.flatnonzero(np.diff(clusters[order]) != 0) + 1
    alike = Counter(part.tobytes() for part in np.split(pattern[order], starts))
    kinds = np.zeros((len(alike), patterns), dtype=np.int64)
    for row, held in enumerate(sorted(alike)):
        np.add.at(kinds[row], np.frombuffer(held, dtype=pattern.dtype), 1)
    return kinds, np.array([alike[held] for held in sorted(alike)], dtype=np.float64)


def _disagreement_by_chance(pairs: Floats, times: Floats, *, is_ordinal: bool) -> float:
    """Expected disagreement as a share of the largest difference that there is."""
    of_value = np.tensordot(times, pairs, axes=1).sum(axis=1)[None, :]
    apart = _squared_ranks(of_value)[0] if is_ordinal else 1 - np.eye(pairs.shape[1])
    total = float(of_value.sum())
    expected = float((of_value.T * of_value * apart).sum()) / (total * (total - 1))
    return expected / float(apart.max())


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
