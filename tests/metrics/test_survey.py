"""Estimates from a reviewed sample: against an independent implementation, and by simulation."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.thin_strata import bound, get_truth, hold
from metrics.survey import Ratio, build_survey, estimate_proportions, estimate_rates, weigh

RATIO = Ratio("hit", "of")


def make_sample(seed: int, *, size: int, groups: int) -> pl.DataFrame:
    """Reviews of conversations of a few turns, in strata with unequal probabilities, one of a single unit."""
    random = np.random.default_rng(seed)
    strata = random.choice(["a", "b", "c"], size)
    strata[0] = "d"
    probability = {"a": 0.5, "b": 0.05, "c": 1.0, "d": 0.2}
    return pl.DataFrame(
        {
            "group": random.integers(-1, groups, size),
            "request_id": [f"r{row}" for row in range(size)],
            "conversation_id": [None if row % 7 == 0 else f"c{row // 3}" for row in range(size)],
            "stratum": strata,
            "inclusion_probability": [probability[stratum] for stratum in strata],
            "hit": random.random(size) < 0.3,
            "of": random.random(size) < 0.7,
        }
    )


def linearized(sample: pl.DataFrame, group: int) -> tuple[float, float]:
    """Estimate and standard error by the formula of statistics.md section 3, written without the library."""
    columns = sample.to_dicts()
    weight = np.array([1 / row["inclusion_probability"] for row in columns])
    x = np.array([row["of"] and row["group"] == group for row in columns], dtype=float)
    y = x * np.array([row["hit"] for row in columns], dtype=float)
    total = (weight * x).sum()
    ratio = (weight * y).sum() / total
    z = weight * (y - ratio * x) / total
    units: dict[str, dict[str, float]] = {}
    for row, value in zip(columns, z, strict=True):
        unit = row["conversation_id"] or row["request_id"]
        of_stratum = units.setdefault(row["stratum"], {})
        of_stratum[unit] = of_stratum.get(unit, 0.0) + value
    grand_mean = np.mean([value for of_stratum in units.values() for value in of_stratum.values()])
    fraction = {row["stratum"]: row["inclusion_probability"] for row in columns}
    variance = 0.0
    for stratum, of_stratum in units.items():
        values = np.array(list(of_stratum.values()))
        if values.size == 1:
            variance += (1 - fraction[stratum]) * float((values[0] - grand_mean) ** 2)
        else:
            spread = ((values - values.mean()) ** 2).sum() * values.size / (values.size - 1)
            variance += (1 - fraction[stratum]) * float(spread)
    return float(ratio), float(np.sqrt(variance))


@pytest.mark.parametrize("seed", range(8))
def test_estimate_and_error_agree_with_the_formula(seed: int) -> None:
    sample = make_sample(seed, size=240, groups=4)
    found = estimate_proportions(build_survey(weigh(sample)), RATIO, confidence=0.95)
    for group in range(4):
        estimate, error = linearized(sample, group)
        assert found[group].estimate == pytest.approx(estimate, abs=1e-9)
        assert found[group].error == pytest.approx(error, abs=1e-9)


def test_rates_carry_weighted_sums_and_unweighted_n() -> None:
    sample = make_sample(3, size=240, groups=2)
    rate = estimate_rates(sample, {"r": RATIO}, groups=2, min_sample=5, confidence=0.95)["r"][1]
    domain = sample.filter(pl.col("of"), pl.col("group") == 1)
    weight = 1 / domain["inclusion_probability"]
    assert rate["denominator"] == pytest.approx(weight.sum())
    assert rate["numerator"] == pytest.approx(weight.filter(domain["hit"]).sum())
    assert rate["estimate"] == pytest.approx(rate["numerator"] / rate["denominator"])
    assert rate["n"] == domain.height
    assert rate["method"] == "korn-graubard"
    assert 0 <= rate["low"] < rate["estimate"] < rate["high"] <= 1


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), size=st.integers(1, 60))
def test_bounds_hold_the_estimate_inside_zero_and_one(seed: int, size: int) -> None:
    sample = make_sample(seed, size=size, groups=3)
    for rate in estimate_rates(sample, {"r": RATIO}, groups=3, min_sample=1, confidence=0.95)["r"]:
        if rate["n"]:
            assert 0 <= rate["low"] <= rate["estimate"] + 1e-12
            assert rate["estimate"] - 1e-12 <= rate["high"] <= 1
            assert rate["low"] < rate["high"]
        else:
            assert rate["estimate"] is None


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000))
def test_a_census_is_the_plain_count_ratio(seed: int) -> None:
    sample = make_sample(seed, size=50, groups=2).with_columns(inclusion_probability=pl.lit(1.0))
    for group, rate in enumerate(estimate_rates(sample, {"r": RATIO}, groups=2, min_sample=1, confidence=0.95)["r"]):
        domain = sample.filter(pl.col("of"), pl.col("group") == group)
        assert rate["numerator"] == domain["hit"].sum()
        assert rate["denominator"] == domain.height
        assert rate["method"] == "wilson"
        if domain.height:
            assert rate["estimate"] == domain["hit"].sum() / domain.height


def test_zero_counts_have_the_rule_of_threes_upper_bound() -> None:
    size = 300
    sample = pl.DataFrame(
        {
            "group": [0] * size,
            "request_id": [f"r{row}" for row in range(size)],
            "conversation_id": [None] * size,
            "stratum": ["passed"] * size,
            "inclusion_probability": [0.01] * size,
            "hit": [False] * size,
            "of": [True] * size,
        },
        schema_overrides={"conversation_id": pl.String},
    )
    rate = estimate_rates(sample, {"r": RATIO}, groups=1, min_sample=5, confidence=0.90)["r"][0]
    assert (rate["estimate"], rate["low"]) == (0, 0)
    assert rate["high"] == pytest.approx(3 / size, rel=0.05)


def test_a_sample_of_one_unit_says_nothing_about_its_precision() -> None:
    sample = make_sample(0, size=40, groups=1).with_columns(
        stratum=pl.lit("a"), conversation_id=pl.lit("c"), group=pl.lit(0), inclusion_probability=pl.lit(0.5)
    )
    rate = estimate_rates(sample, {"r": RATIO}, groups=1, min_sample=5, confidence=0.95)["r"][0]
    assert (rate["low"], rate["high"]) == (0.0, 1.0)


@pytest.mark.parametrize("design", [(165, 25, 0.02, 0.03), (165, 25, 0.98, 0.97)])
def test_a_stratum_in_which_all_agree_still_hides_something(design: tuple[int, int, float, float]) -> None:
    """Half of the samples have 25 reviews of one mind that speak for 95 % of the turns: their variance is not zero."""
    bounds, truth = bound(design, samples=60), get_truth(design)
    assert hold(bounds, truth, prefix="seen_")[0] < 0.85
    held, width = hold(bounds, truth)
    # They hold it by knowing what 25 reviews can tell, not by saying nothing.
    assert held >= 0.93
    assert width < 0.25
