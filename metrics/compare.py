"""Two groups of counts against each other. No database."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.special import ndtr, ndtri

from metrics.estimate import Floats, difference_bounds, divide


@dataclass(frozen=True, slots=True)
class Counts:
    """Successes and trials, as arrays of one length."""

    successes: Floats
    trials: Floats

    def shares(self) -> Floats:
        """Proportions; NaN without trials."""
        return divide(self.successes, self.trials)


def compare_shares(now: Counts, before: Counts, *, confidence: float) -> pl.DataFrame:
    """Differences and ratios of independent proportions.

    Returns:
        change, low, high (now minus before, Newcombe's interval); ratio, ratio_low, ratio_high (now / before, half a
        success added to each so that zeros keep an interval; Katz et al. 1978); z (of the difference, pooled; its
        size is the evidence). Null where either side has no trials.
    """
    low, high = difference_bounds((now.successes, now.trials), (before.successes, before.trials), confidence=confidence)
    pooled = divide(now.successes + before.successes, now.trials + before.trials)
    spread = np.sqrt(
        pooled * (1 - pooled) * (divide(np.ones_like(now.trials), now.trials) + 1 / _positive(before.trials))
    )
    change = now.shares() - before.shares()
    logs, errors = log_ratio(now, before)
    reach = float(ndtri(0.5 + confidence / 2)) * errors
    columns = {
        "change": change,
        "low": low,
        "high": high,
        "ratio": np.exp(logs),
        "ratio_low": np.exp(logs - reach),
        "ratio_high": np.exp(logs + reach),
        "z": np.where(spread > 0, change / _positive(spread), 0.0 * change),
    }
    return pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.Float64)).with_columns(pl.all().fill_nan(None))


def log_ratio(now: Counts, before: Counts) -> tuple[Floats, Floats]:
    """Logarithms of the ratios now / before and their standard errors; NaN where either side has no trials."""
    tried_now, tried_before = _positive(now.trials) + 0.5, _positive(before.trials) + 0.5
    hits_now, hits_before = now.successes + 0.5, before.successes + 0.5
    logs: Floats = np.log(hits_now / tried_now) - np.log(hits_before / tried_before)
    variance = 1 / hits_now - 1 / tried_now + 1 / hits_before - 1 / tried_before
    errors: Floats = np.sqrt(np.maximum(variance, 0))
    return logs, errors


def exceeds_effect(now: Counts, before: Counts, *, effect: float) -> Floats:
    """P-values of "the ratio lies within 1/effect and effect", against either side."""
    logs, errors = log_ratio(now, before)
    beyond = np.abs(logs) - np.log(effect)
    p_values: Floats = 2 * ndtr(-np.where(errors > 0, beyond / _positive(errors), 0.0 * beyond))
    return np.minimum(p_values, 1.0)


def discoveries(p_values: Floats, *, rate: float) -> list[bool]:
    """Which p-values stand when the share of false discoveries is held to `rate`. Source: Benjamini, Hochberg (1995)."""
    known = np.nan_to_num(p_values, nan=1.0)
    order = np.argsort(known)
    passed = known[order] <= rate * np.arange(1, known.size + 1) / max(known.size, 1)
    last = int(np.flatnonzero(passed).max(initial=-1))
    stands = np.zeros(known.size, dtype=bool)
    stands[order[: last + 1]] = True
    return [bool(stand) for stand in stands]


def _positive(values: Floats) -> Floats:
    return np.where(values > 0, values, np.nan)
