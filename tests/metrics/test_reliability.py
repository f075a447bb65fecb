"""Agreement against other implementations, and against figures counted by hand."""

from __future__ import annotations

import krippendorff
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from statsmodels.stats.inter_rater import cohens_kappa

from metrics.reliability import cohen_kappa, estimate_alpha, gwet_ac1, percent_agreement

matrices = st.integers(2, 4).flatmap(
    lambda values: st.lists(st.lists(st.integers(0, 3), min_size=values, max_size=values), min_size=2, max_size=12)
)


@given(matrices, st.booleans())
def test_alpha_is_that_of_the_field_s_library(rows: list[list[int]], is_ordinal: bool) -> None:
    counts = np.array(rows)
    pairable = counts[counts.sum(axis=1) > 1]
    assume((pairable.sum(axis=0) > 0).sum() > 1)
    expected = krippendorff.alpha(value_counts=counts, level_of_measurement="ordinal" if is_ordinal else "nominal")
    found = estimate_alpha(counts, is_ordinal=is_ordinal, confidence=0.95)
    assert found.estimate == pytest.approx(expected, abs=1e-9)
    assert found.low <= found.estimate <= found.high


def test_alpha_s_interval_is_that_of_a_plain_bootstrap() -> None:
    counts = np.array([[2, 0]] * 60 + [[0, 2]] * 25 + [[1, 1]] * 15)
    found = estimate_alpha(counts, is_ordinal=False, confidence=0.95)
    generator = np.random.default_rng(1)
    drawn = [
        krippendorff.alpha(value_counts=counts[generator.integers(0, 100, 100)], level_of_measurement="nominal")
        for _ in range(1000)
    ]
    assert (found.low, found.high) == pytest.approx(np.quantile(drawn, (0.025, 0.975)), abs=0.03)


def test_one_value_only_says_nothing_beyond_chance() -> None:
    counts = np.array([[2, 0], [3, 0]])
    assert np.isnan(estimate_alpha(counts, is_ordinal=False, confidence=0.95).estimate)
    assert np.isnan(gwet_ac1(counts))
    assert percent_agreement(counts) == (2, 2)


@given(st.lists(st.integers(0, 20), min_size=9, max_size=9))
def test_kappa_is_that_of_statsmodels(cells: list[int]) -> None:
    table = np.array(cells).reshape(3, 3)
    chance = (table.sum(axis=0) * table.sum(axis=1)).sum()
    assume(chance < table.sum() ** 2)
    assert cohen_kappa(table) == pytest.approx(cohens_kappa(table).kappa)


def test_ac1_of_gwet_s_example() -> None:
    """Gwet (2008), table 1: two raters, 118 + 2 agreements of 125; kappa fails where AC1 does not."""
    counts = np.array([[2, 0]] * 118 + [[1, 1]] * 5 + [[0, 2]] * 2)
    observed, share = 120 / 125, (118 * 2 + 5) / 250
    chance = 2 * share * (1 - share)
    assert gwet_ac1(counts) == pytest.approx((observed - chance) / (1 - chance))
    assert percent_agreement(counts) == (120, 125)
