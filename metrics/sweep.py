"""Rates of one reviewed sample under many decisions at once, such as every threshold of a filter. No database.

The formulas are those of `metrics.survey`, which asks its library once for each rate; here they are taken for all decisions
in one pass over arrays. A test holds the two equal.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import betaincinv, stdtrit

from metrics.estimate import Floats, divide, exact_bounds, rate_series, wilson_bounds
from metrics.survey import Unseen, find_hidden, weigh

Booleans: TypeAlias = NDArray[np.bool_]
"""Rows of the sample by decisions."""

_NO_SPREAD = 1e-12


class Sweep:
    """A sample and its design: strata, conversations as primary units, weights, finite-population corrections.

    Args:
        sample: Columns `metrics.survey.REVIEWS`, one row per turn; rows of group -1 belong to the design only.

    Attributes:
        rows: The sample in the order of the design: what masks are built from.
    """

    def __init__(self, sample: pl.DataFrame) -> None:
        self.rows = weigh(sample).sort("stratum", "psu")
        self._probability: Floats = self.rows["inclusion_probability"].to_numpy()
        self._weight: Floats = 1 / self._probability
        unit = self.rows.select(pl.struct("stratum", "psu").rle_id()).to_series().to_numpy()
        self._unit_starts = np.flatnonzero(np.diff(unit, prepend=-1))
        stratum = self.rows["stratum"].rle_id().to_numpy()[self._unit_starts]
        self._stratum_starts = np.flatnonzero(np.diff(stratum, prepend=-1))
        self._units: Floats = np.diff(self._stratum_starts, append=len(stratum)).astype(np.float64)
        first = self._unit_starts[self._stratum_starts] if len(stratum) else self._unit_starts
        least, most = (
            function.reduceat(self._probability, first) if len(first) else self._probability
            for function in (np.minimum, np.maximum)
        )
        # The sampling fraction is known where a stratum has but one probability.
        self._kept: Floats = np.where(least == most, 1 - least, 1.0)

    def rates(
        self, hits: Booleans, of: Booleans, *, min_sample: int, confidence: float, is_counted: bool = False
    ) -> pl.Series:
        """The share of `of` that are `hits`, a RATE for each decision.

        Args:
            hits: Rows by decisions; counts only where `of` does.
            of: Rows by decisions.
            min_sample: Reviews in the denominator below which estimate and interval are null.
            confidence: Level of the intervals.
            is_counted: Wilson bounds throughout, for whoever replaces the bounds (as `metrics.survey.count_rates`).
        """
        hits = hits & of
        numerator, denominator = (self._weight @ part for part in (hits, of))
        reviewed = of.sum(axis=0)
        low, high = wilson_bounds(numerator, denominator, confidence=confidence)
        estimate = divide(numerator, denominator)
        is_sampled = (reviewed > 0) & (np.where(of, self._probability[:, None], 1.0).min(axis=0, initial=1.0) < 1)
        if not is_counted and is_sampled.any():
            bounds = self._bounds(hits, of, estimate, denominator, confidence=confidence)
            low, high = (np.where(is_sampled, new, old) for new, old in zip(bounds, (low, high), strict=True))
        return rate_series(
            estimate=estimate,
            low=low,
            high=high,
            numerator=numerator,
            denominator=denominator,
            method=["korn-graubard" if sampled and not is_counted else "wilson" for sampled in is_sampled],
            reviewed=pl.Series(reviewed.astype(np.int64)),
            min_sample=min_sample,
        )

    def errors(self, hits: Booleans, of: Booleans) -> Floats:
        """Standard errors of the shares, one for each decision; NaN where nothing is `of`."""
        denominator = self._weight @ of
        return self._errors(hits & of, of, divide(self._weight @ (hits & of), denominator), denominator)

    def _errors(self, hits: Booleans, of: Booleans, estimate: Floats, denominator: Floats) -> Floats:
        """Linearised ratio: variance within strata of the sums per conversation (statistics.md section 3)."""
        parts = self._weight[:, None] * (hits - estimate * of) / np.where(denominator > 0, denominator, np.nan)
        units: Floats = np.add.reduceat(parts, self._unit_starts, axis=0)
        sums, squares = (np.add.reduceat(values, self._stratum_starts, axis=0) for values in (units, units**2))
        n = self._units[:, None]
        inner = (squares - sums**2 / n) * n / np.maximum(n - 1, 1)
        # A stratum with one unit is centred at the grand mean.
        alone = (sums - units.mean(axis=0)) ** 2
        variance = (self._kept[:, None] * np.where(n == 1, alone, inner)).sum(axis=0)
        error: Floats = np.sqrt(np.maximum(variance, 0.0))
        return error

    def _bounds(
        self, hits: Booleans, of: Booleans, estimate: Floats, denominator: Floats, *, confidence: float
    ) -> tuple[Floats, Floats]:
        """Korn and Graubard's bounds with the sample size truncated at the reviews (Parker et al. 2017)."""
        error = self._errors(hits, of, estimate, denominator)
        reviewed = of.sum(axis=0).astype(np.float64)
        units = np.logical_or.reduceat(of, self._unit_starts, axis=0)
        strata = np.logical_or.reduceat(units, self._stratum_starts, axis=0)
        freedom = (units.sum(axis=0) - strata.sum(axis=0)).astype(np.float64)
        tail = (1 - confidence) / 2
        with np.errstate(divide="ignore", invalid="ignore"):
            adjusted = np.where(
                reviewed > 1,
                (stdtrit(np.maximum(reviewed - 1, 1), 1 - tail) / stdtrit(np.maximum(freedom, 1), 1 - tail)) ** 2,
                1.0,
            )
            size = np.minimum(reviewed, estimate * (1 - estimate) / error**2 * adjusted)
            low = betaincinv(size * estimate, size * (1 - estimate) + 1, tail)
            high = betaincinv(size * estimate + 1, size * (1 - estimate), 1 - tail)
        kish = (self._weight @ of) ** 2 / np.maximum((self._weight**2) @ of, _NO_SPREAD)
        for place in np.flatnonzero((error < _NO_SPREAD) & (reviewed > 0)):
            # No variation was seen inside any stratum, which is no proof that there is none.
            low[place], high[place] = exact_bounds(float(estimate[place]), float(kish[place]), confidence=confidence)
        low, high = self._find_unseen(hits, of, confidence=confidence).widen(
            estimate, error, low, high, confidence=confidence
        )
        # Without degrees of freedom the sample says nothing about its own precision.
        return np.where(freedom > 0, low, 0.0), np.where(freedom > 0, high, 1.0)

    def _find_unseen(self, hits: Booleans, of: Booleans, *, confidence: float) -> Unseen:
        """What the strata may hide, as `metrics.survey.sum_unseen`, for each decision."""
        first = self._unit_starts[self._stratum_starts]
        reviewed, hit, total, squares = (
            np.add.reduceat(values, first, axis=0)
            for values in (
                of.astype(np.float64),
                hits.astype(np.float64),
                self._weight[:, None] * of,
                self._weight[:, None] ** 2 * of,
            )
        )
        units = np.add.reduceat(
            np.logical_or.reduceat(of, self._unit_starts, axis=0).astype(np.float64), self._stratum_starts, axis=0
        )
        size = np.minimum(units, divide(total**2, squares))
        hidden = find_hidden(
            size, total / np.maximum(total.sum(axis=0), _NO_SPREAD), self._kept[:, None], confidence=confidence
        )
        hidden = np.where(reviewed > 0, hidden, 0.0)
        return Unseen(
            below=np.where(hit == reviewed, hidden, 0.0).sum(axis=0), above=np.where(hit == 0, hidden, 0.0).sum(axis=0)
        )
