"""Change of a proportion between two runs over the same things. No database."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from metrics.estimate import wilson_bounds


@dataclass(frozen=True, slots=True)
class PairedCounts:
    """How pairs fell: broken in both runs, only before, only after, in neither."""

    both: int
    only_before: int
    only_after: int
    neither: int

    @property
    def pairs(self) -> int:
        """All of them."""
        return self.both + self.only_before + self.only_after + self.neither


@dataclass(frozen=True, slots=True)
class PairedChange:
    """After minus before as a share (-1..1) with its interval, over `pairs`; null where there are none.

    Attributes:
        p_value: Exact McNemar test of "no change"; 1 when nothing changed.
    """

    pairs: int
    estimate: float | None
    low: float | None
    high: float | None
    p_value: float | None


def compare_pairs(counts: PairedCounts, *, confidence: float) -> PairedChange:
    """The change with its interval. Source: Newcombe (1998), paired, method 10; McNemar's exact test."""
    n = counts.pairs
    if n == 0:
        return PairedChange(0, None, None, None, None)
    hits = np.array([counts.both + counts.only_after, counts.both + counts.only_before], dtype=np.float64)
    after, before = hits / n
    lows, highs = wilson_bounds(hits, np.full(2, float(n)), confidence=confidence)
    phi = _correlate(counts)
    down, up = (after - lows[0], highs[1] - before), (highs[0] - after, before - lows[1])
    low, high = (math.sqrt(max(a * a - 2 * phi * a * b + b * b, 0.0)) for a, b in (down, up))
    discordant = counts.only_before + counts.only_after
    p_value = binomtest(counts.only_after, discordant).pvalue if discordant else 1.0
    change = (counts.only_after - counts.only_before) / n
    return PairedChange(n, change, float(change - low), float(change + high), float(p_value))


def _correlate(counts: PairedCounts) -> float:
    """The phi coefficient with Newcombe's correction for continuity; 0 where a margin is empty."""
    a, b, c, d = counts.both, counts.only_after, counts.only_before, counts.neither
    margins = (a + b) * (c + d) * (a + c) * (b + d)
    if margins == 0:
        return 0.0
    product = a * d - b * c
    if product > 0:
        product = max(product - counts.pairs / 2, 0)  # type: ignore[assignment]  # halves of counts
    return product / math.sqrt(margins)
