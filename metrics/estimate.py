"""Rates as records, and intervals of proportions. No database.

The two interval formulas are written out, because the library that has them vectorised takes seconds to import;
tests compare them with it.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import betaincinv, ndtri

Floats = NDArray[np.float64]

MIN_CELL = 5
"""People below which nothing is told about a group of them."""

RATE = pl.Struct(
    {
        "estimate": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
        "numerator": pl.Float64,
        "denominator": pl.Float64,
        "method": pl.String,
        "n": pl.Int64,
    }
)
"""estimate and interval in 0..1, null below the minimum sample; numerator and denominator weighted where sampled;
n = things actually counted or reviewed in the denominator."""

_SHOWN = ("estimate", "low", "high")

MEASURE = pl.Struct({"estimate": pl.Float64, "low": pl.Float64, "high": pl.Float64, "method": pl.String, "n": pl.Int64})
"""A number that is no share, such as a difference or a coefficient, with its interval; n = things that it rests on."""


def wilson(frame: pl.DataFrame, *, numerator: str, denominator: str, min_sample: int, confidence: float) -> pl.Series:
    """Rates of two count columns of things that were all observed.

    Returns:
        A RATE series as long as `frame`; method "wilson".
    """
    successes = frame[numerator].cast(pl.Float64).to_numpy()
    trials = frame[denominator].cast(pl.Float64).to_numpy()
    low, high = wilson_bounds(successes, trials, confidence=confidence)
    return rate_series(
        estimate=divide(successes, trials),
        low=low,
        high=high,
        numerator=successes,
        denominator=trials,
        method=["wilson"] * frame.height,
        reviewed=frame[denominator].cast(pl.Int64),
        min_sample=min_sample,
    )


def wilson_bounds(successes: Floats, trials: Floats, *, confidence: float) -> tuple[Floats, Floats]:
    """Bounds of the score interval of proportions, NaN where there were no trials. Source: Wilson (1927)."""
    z = float(ndtri(0.5 + confidence / 2))
    share = divide(successes, trials)
    safe = np.where(trials > 0, trials, np.nan)
    spread = z * np.sqrt(share * (1 - share) / safe + z**2 / (4 * safe**2))
    middle = share + z**2 / (2 * safe)
    scale = 1 + z**2 / safe
    # At 0 and 1 the formula misses the bound by rounding.
    low = np.where(share == 0, 0.0, (middle - spread) / scale)
    high = np.where(share == 1, 1.0, (middle + spread) / scale)
    return low, high


def exact_bounds(share: float, trials: float, *, confidence: float) -> tuple[float, float]:
    """Bounds of a proportion by inverting the binomial test; `trials` may be an effective, fractional size.

    Source: Clopper and Pearson (1934), beta form.
    """
    successes, tail = share * trials, (1 - confidence) / 2
    low = 0.0 if share <= 0 else float(betaincinv(successes, trials - successes + 1, tail))
    high = 1.0 if share >= 1 else float(betaincinv(successes + 1, trials - successes, 1 - tail))
    return low, high


def difference_bounds(
    now: tuple[Floats, Floats], before: tuple[Floats, Floats], *, confidence: float
) -> tuple[Floats, Floats]:
    """Bounds of a difference of two independent proportions.

    Args:
        now: Successes and trials.
        before: Successes and trials.
        confidence: Level.

    Returns:
        Bounds of now minus before; NaN where either has no trials. Source: Newcombe (1998), method 10.
    """
    first, second = divide(*now), divide(*before)
    low_1, high_1 = wilson_bounds(*now, confidence=confidence)
    low_2, high_2 = wilson_bounds(*before, confidence=confidence)
    change = first - second
    low = change - np.hypot(first - low_1, high_2 - second)
    high = change + np.hypot(high_1 - first, second - low_2)
    return low, high


def divide(numerator: Floats, denominator: Floats) -> Floats:
    """Quotients; NaN where the denominator is 0."""
    quotients: Floats = np.full(denominator.shape, np.nan)
    np.divide(numerator, denominator, out=quotients, where=denominator > 0)
    return quotients


def rate_series(
    *,
    estimate: Floats,
    low: Floats,
    high: Floats,
    numerator: Floats,
    denominator: Floats,
    method: list[str],
    reviewed: pl.Series,
    min_sample: int,
) -> pl.Series:
    """RATE records from their parts; estimate and bounds become null where `reviewed` is below `min_sample`."""
    frame = pl.DataFrame(
        {
            "estimate": estimate,
            "low": low,
            "high": high,
            "numerator": numerator,
            "denominator": denominator,
            "method": pl.Series(method, dtype=pl.String),
            "n": reviewed,
        }
    )
    return _hide(frame.with_columns(pl.col(*_SHOWN).fill_nan(None)), min_sample)


def hide_small(rates: pl.Series, *, min_sample: int) -> pl.Series:
    """`rates` without estimate and bounds where fewer than `min_sample` were counted."""
    return _hide(pl.DataFrame({"rate": rates}).unnest("rate"), min_sample)


def _hide(frame: pl.DataFrame, min_sample: int) -> pl.Series:
    is_enough = pl.col("n") >= max(min_sample, 1)
    shown = [pl.when(is_enough).then(name).alias(name) for name in _SHOWN]
    return frame.with_columns(shown).select(pl.struct(list(frame.columns)).cast(RATE)).to_series()


def complement(rates: pl.Series) -> pl.Series:
    """Rates of the opposite event: same denominator, estimate and bounds mirrored."""
    parts = pl.DataFrame({"rate": rates}).unnest("rate")
    return parts.select(
        pl.struct(
            estimate=1 - pl.col("estimate"),
            low=1 - pl.col("high"),
            high=1 - pl.col("low"),
            numerator=pl.col("denominator") - pl.col("numerator"),
            denominator="denominator",
            method="method",
            n="n",
        ).cast(RATE)
    ).to_series()
