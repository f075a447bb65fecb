"""The change of a rate between two policies on one sample: against the survey library, at its edges, and its coverage."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from metrics.ratio_change import _linearise, _spread, estimate_change
from metrics.survey import REVIEWS, Ratio, build_survey, estimate_proportions, weigh

BEFORE, AFTER = Ratio("wrong_before", "fired_before"), Ratio("wrong_after", "fired_after")
LIMITS = {"min_sample": 5, "confidence": 0.95}


def draw(rng: np.random.Generator, size: int, *, probability: float = 0.3) -> pl.DataFrame:
    """Turns of conversations in two strata: a rule that is often wrong, and a second opinion that is seldom."""
    harmful = rng.random(size) < 0.3
    fired = rng.random(size) < 0.7
    opinion = rng.random(size) < np.where(harmful, 0.9, 0.2)
    frame = pl.DataFrame(
        {
            "group": np.zeros(size, dtype=np.int64),
            "request_id": [f"r{row}" for row in range(size)],
            "conversation_id": [f"c{row // 2}" for row in range(size)],
            "stratum": ["a" if row < size // 2 else "b" for row in range(size)],
            "inclusion_probability": np.where(np.arange(size) < size // 2, probability, probability / 3),
            "fired_before": fired,
            "fired_after": fired & opinion,
            "wrong_before": fired & ~harmful,
            "wrong_after": fired & opinion & ~harmful,
        }
    )
    return frame.cast(REVIEWS)


def test_a_single_ratio_has_the_survey_librarys_standard_error() -> None:
    sample = weigh(draw(np.random.default_rng(1), 200))
    share, parts = _linearise(sample, BEFORE)
    reference = estimate_proportions(build_survey(sample), BEFORE, confidence=0.95)[0]
    assert share == pytest.approx(reference.estimate, abs=1e-12)
    assert _spread(sample, parts)[0] == pytest.approx(reference.error, abs=1e-9)


def test_a_paired_change_is_surer_than_two_intervals() -> None:
    sample = draw(np.random.default_rng(2), 400)
    change = estimate_change(sample, before=BEFORE, after=AFTER, **LIMITS)
    rows = weigh(sample)
    errors = [_spread(rows, _linearise(rows, ratio)[1])[0] for ratio in (BEFORE, AFTER)]
    assert change["high"] - change["low"] < 2 * 1.97 * np.hypot(*errors)


def test_nothing_changed_is_bounded_not_certain() -> None:
    sample = draw(np.random.default_rng(3), 100)
    change = estimate_change(sample, before=BEFORE, after=BEFORE, **LIMITS)
    assert change["estimate"] == 0
    assert change["low"] == -change["high"]
    assert 0.02 < change["high"] < 0.15


def test_too_few_reviews_give_no_figure() -> None:
    sample = draw(np.random.default_rng(4), 100).with_columns(
        fired_after=pl.lit(value=False), wrong_after=pl.lit(value=False)
    )
    change = estimate_change(sample, before=BEFORE, after=AFTER, **LIMITS)
    assert (change["estimate"], change["low"], change["high"], change["n"]) == (None, None, None, 0)


def test_intervals_hold_the_truth() -> None:
    """95 % intervals over drawn samples of one population; the drawn share of a stratum is its inclusion probability."""
    rng = np.random.default_rng(5)
    population = draw(rng, 3000)
    shares = [population[ratio.hits].sum() / population[ratio.of].sum() for ratio in (BEFORE, AFTER)]
    truth = shares[1] - shares[0]
    held, runs = 0, 200
    units = population.select("stratum", "conversation_id").unique(maintain_order=True)
    for _ in range(runs):
        taken = pl.concat(
            [
                part.sample(round(part.height * (0.1 if name == ("a",) else 0.1 / 3)), seed=int(rng.integers(1 << 31)))
                for name, part in units.group_by("stratum", maintain_order=True)
            ]
        )
        sample = population.join(taken, on=["stratum", "conversation_id"]).with_columns(
            inclusion_probability=pl.when(pl.col("stratum") == "a").then(0.1).otherwise(0.1 / 3)
        )
        change = estimate_change(sample, before=BEFORE, after=AFTER, **LIMITS)
        held += change["low"] <= truth <= change["high"]
    assert held / runs >= 0.92
