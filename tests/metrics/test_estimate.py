"""Intervals of counts, against well-kept libraries."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from metrics.compare import Counts, compare_shares, discoveries
from metrics.estimate import RATE, complement, difference_bounds, exact_bounds, wilson, wilson_bounds

pairs = st.integers(1, 5000).flatmap(lambda trials: st.tuples(st.integers(0, trials), st.just(trials)))


@given(pair=pairs, confidence=st.sampled_from([0.8, 0.95, 0.99]))
def test_wilson_agrees_with_statsmodels(pair: tuple[int, int], confidence: float) -> None:
    low, high = wilson_bounds(np.array([pair[0]], float), np.array([pair[1]], float), confidence=confidence)
    expected = proportion_confint(*pair, alpha=1 - confidence, method="wilson")
    assert (low[0], high[0]) == pytest.approx(expected, abs=1e-12)
    assert 0 <= low[0] <= pair[0] / pair[1] <= high[0] <= 1


@given(pair=pairs)
def test_exact_bounds_agree_with_statsmodels(pair: tuple[int, int]) -> None:
    found = exact_bounds(pair[0] / pair[1], pair[1], confidence=0.95)
    expected = proportion_confint(*pair, alpha=0.05, method="beta")
    assert found == pytest.approx(np.nan_to_num(expected, nan=0.0), abs=1e-9) or pair[0] == pair[1]


def test_exact_bounds_follow_the_rule_of_three() -> None:
    assert exact_bounds(0.0, 300, confidence=0.95)[0] == 0
    assert exact_bounds(0.0, 300, confidence=0.90)[1] == pytest.approx(3 / 300, rel=0.02)
    assert exact_bounds(1.0, 300, confidence=0.90)[1] == 1


@given(now=pairs, before=pairs)
def test_differences_agree_with_statsmodels(now: tuple[int, int], before: tuple[int, int]) -> None:
    low, high = difference_bounds(
        (np.array([now[0]], float), np.array([now[1]], float)),
        (np.array([before[0]], float), np.array([before[1]], float)),
        confidence=0.95,
    )
    expected = confint_proportions_2indep(*now, *before, method="newcomb", compare="diff")
    assert (low[0], high[0]) == pytest.approx(expected, abs=1e-9)


def test_a_rate_is_hidden_below_the_minimum_sample_but_its_counts_stay() -> None:
    frame = pl.DataFrame({"hits": [1, 1, 0], "of": [4, 5, 0]})
    rates = wilson(frame, numerator="hits", denominator="of", min_sample=5, confidence=0.95)
    assert rates.dtype == RATE
    few, enough, none = rates.to_list()
    assert (few["estimate"], few["low"], few["high"]) == (None, None, None)
    assert (few["numerator"], few["denominator"], few["n"]) == (1, 4, 4)
    assert enough["estimate"] == 0.2
    assert none == few | {"numerator": 0, "denominator": 0, "n": 0}


def test_no_minimum_still_hides_a_rate_of_nothing() -> None:
    frame = pl.DataFrame({"hits": [0], "of": [0]})
    assert wilson(frame, numerator="hits", denominator="of", min_sample=0, confidence=0.95)[0]["estimate"] is None


def test_the_complement_mirrors_estimate_and_bounds() -> None:
    frame = pl.DataFrame({"hits": [3], "misses": [7], "of": [10]})
    rate = wilson(frame, numerator="hits", denominator="of", min_sample=1, confidence=0.95)
    other = wilson(frame, numerator="misses", denominator="of", min_sample=1, confidence=0.95)
    mirrored = complement(rate)[0]
    for name, value in other[0].items():
        assert mirrored[name] == (pytest.approx(value) if isinstance(value, float) else value)


def test_ratios_keep_an_interval_at_zero() -> None:
    now = Counts(np.array([0.0, 30.0]), np.array([1000.0, 1000.0]))
    before = Counts(np.array([50.0, 10.0]), np.array([1000.0, 1000.0]))
    rows = compare_shares(now, before, confidence=0.95).to_dicts()
    assert rows[0]["ratio_high"] < 0.5
    assert 1 < rows[1]["ratio_low"] < rows[1]["ratio"] < rows[1]["ratio_high"]
    assert rows[1]["ratio"] == pytest.approx(3, rel=0.05)
    assert rows[0]["z"] < 0 < rows[1]["z"]


def test_no_trials_on_one_side_is_no_change() -> None:
    rows = compare_shares(
        Counts(np.array([3.0]), np.array([10.0])), Counts(np.array([0.0]), np.array([0.0])), confidence=0.95
    )
    assert all(value is None for value in rows.row(0))


def test_discoveries_are_benjamini_hochbergs() -> None:
    # The example of the 1995 paper: at 5 % the four smallest of fifteen stand.
    p_values = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459]
    p_values += [0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.000]
    assert discoveries(np.array(p_values), rate=0.05) == [True] * 4 + [False] * 11
    assert discoveries(np.array([np.nan, 0.9]), rate=0.05) == [False, False]
    assert discoveries(np.array([]), rate=0.05) == []
