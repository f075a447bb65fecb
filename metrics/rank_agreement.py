"""How far several people's orders of the same things agree. No database.

Every set of orders is a matrix, raters x things, of average ranks: 1 = best, tied things share the mean of their places.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.stats import rankdata

from metrics.estimate import MEASURE, Floats
from metrics.reliability import RESAMPLES, ordinal_alphas


def average_ranks(ranks: Sequence[int]) -> Floats:
    """Average ranks of one rater's dense ranks."""
    averaged: Floats = rankdata(ranks, method="average")
    return averaged


def estimate_concordance(matrices: Sequence[Floats], *, min_sample: int, confidence: float) -> dict[str, Any]:
    """Kendall's W, averaged over prompts, with a bootstrap interval over prompts; 1 = all agree.

    For m raters without any agreement its mean is 1/m, not 0. Source: Kendall and Smith (1939), corrected for ties
    (Kendall, *Rank Correlation Methods*, 1962, chapter 6). A prompt that every rater ties throughout counts nowhere.
    """
    values = np.array([_concordance(matrix) for matrix in matrices])
    values = values[~np.isnan(values)]

    def average(drawn: Floats) -> Floats:
        means: Floats = drawn @ values / drawn.sum(axis=1)
        return means

    return _bootstrap(values.size, average, min_sample=min_sample, confidence=confidence)


def estimate_rank_alpha(matrices: Sequence[Floats], *, min_sample: int, confidence: float) -> dict[str, Any]:
    """Krippendorff's ordinal alpha over (prompt, response) with average ranks as values; interval over prompts.

    Responses of one prompt are ranked against each other, hence the bootstrap draws whole prompts. 0 = chance.
    """
    if not matrices:
        return _record(None, None, None, 0)
    values = np.unique(np.concatenate([matrix.ravel() for matrix in matrices]))
    counts = [
        (matrix.T[:, :, None] == values[None, None, :]).sum(axis=1) for matrix in matrices
    ]  # per prompt: responses x values
    items = np.concatenate(counts)
    owner = np.repeat(np.arange(len(counts)), [len(part) for part in counts])

    def alphas(drawn: Floats) -> Floats:
        return ordinal_alphas(items, drawn[:, owner])

    return _bootstrap(len(matrices), alphas, min_sample=min_sample, confidence=confidence)


def _concordance(matrix: Floats) -> float:
    raters, things = matrix.shape
    sums = matrix.sum(axis=0)
    scatter = ((sums - sums.mean()) ** 2).sum()
    ties = sum(float((count**3 - count).sum()) for row in matrix for count in [np.unique(row, return_counts=True)[1]])
    largest = raters**2 * (things**3 - things) - raters * ties
    return float(12 * scatter / largest) if largest else float("nan")


def _bootstrap(size: int, measure: Callable[[Floats], Floats], *, min_sample: int, confidence: float) -> dict[str, Any]:
    """`measure` takes how often each prompt counts, a row per resample."""
    if size < max(min_sample, 1):
        return _record(None, None, None, size)
    (estimate,) = measure(np.ones((1, size)))
    generator = np.random.default_rng(0)  # the same orders give the same interval
    drawn = generator.multinomial(size, np.full(size, 1 / size), size=RESAMPLES).astype(np.float64)
    resampled = measure(drawn)
    known = resampled[~np.isnan(resampled)]
    if np.isnan(estimate) or not known.size:
        return _record(None, None, None, size)
    tail = (1 - confidence) / 2
    low, high = np.quantile(known, (tail, 1 - tail))
    return _record(float(estimate), min(float(low), float(estimate)), max(float(high), float(estimate)), size)


def _record(estimate: float | None, low: float | None, high: float | None, size: int) -> dict[str, Any]:
    values = (estimate, low, high, "bootstrap over prompts", size)
    return {field.name: value for field, value in zip(MEASURE.fields, values, strict=True)}
