"""Agreement against other implementations, and against figures counted by hand."""

from __future__ import annotations

from functools import partial
from itertools import combinations

import krippendorff
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.inter_rater import cohens_kappa
from statsmodels.stats.proportion import proportion_confint

from metrics.reliability import Pair, average_kappa, cohen_kappa, estimate_ac1, estimate_alpha, percent_agreement

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
    if len(pairable) > 1:
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
    assert np.isnan(estimate_ac1(counts, confidence=0.95).estimate)
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
    assert estimate_ac1(counts, confidence=0.95).estimate == pytest.approx((observed - chance) / (1 - chance))
    assert percent_agreement(counts) == (120, 125)


# Worked examples of the R package irrCAC (Gwet): estimate, and the interval that it prints with three digits.
ABSTRACTORS = [[13, 0, 0], [0, 20, 7], [0, 4, 56]]
DISTRIBUTION = (
    "00060 03003 01401 00006 03030 20400 00402 20310 20040 00006 10050 11040 03300 10050 02031"  # distrib.6raters
)
RAW = "111- 2232 3333 3333 2222 1234 4444 1121 2222 -555 --11 --3-"  # cac.raw4raters


def _cross(table: list[list[int]]) -> Pair:
    cells = [(i, j) for i, row in enumerate(table) for j, many in enumerate(row) for _ in range(many)]
    first, second = np.array(cells).T
    return Pair(first, second, np.arange(len(cells)))


def _count(pair: Pair) -> np.ndarray:
    values = int(max(pair.first.max(), pair.second.max())) + 1
    return np.eye(values, dtype=np.int64)[pair.first] + np.eye(values, dtype=np.int64)[pair.second]


@pytest.mark.parametrize(
    ("counts", "estimate", "low", "high"),
    [
        (np.array([[int(cell) for cell in row] for row in DISTRIBUTION.split()]), 0.4448007, 0.264, 0.625),
        (np.array([[row.count(str(value)) for value in range(1, 6)] for row in RAW.split()]), 0.77544, 0.461, 1.0),
    ],
    ids=["six raters", "four raters with gaps"],
)
def test_ac1_is_that_of_its_author_s_package(counts: np.ndarray, estimate: float, low: float, high: float) -> None:
    found = estimate_ac1(counts, confidence=0.95)
    assert found.estimate == pytest.approx(estimate, abs=5e-6)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-4)


def test_two_raters_errors_are_those_of_irrcac() -> None:
    """Its functions for a cross table divide by the items, those for many raters, and ours, by the items less one."""
    pair = _cross(ABSTRACTORS)
    published = [
        (average_kappa([pair], confidence=0.95), 0.7964094, 0.05891072),
        (estimate_ac1(_count(pair), confidence=0.95), 0.8493305, 0.04321747),
    ]
    for found, estimate, error in published:
        assert found.estimate == pytest.approx(estimate, abs=5e-8)
        spread = stats.t.ppf(0.975, 99) * error * np.sqrt(100 / 99)
        assert (found.low, found.high) == pytest.approx((estimate - spread, estimate + spread), abs=1e-7)


@given(st.lists(st.integers(0, 20), min_size=9, max_size=9))
def test_kappa_s_interval_is_that_of_statsmodels_for_any_table(cells: list[int]) -> None:
    table = np.array(cells).reshape(3, 3)
    many = int(table.sum())
    assume(many > 1 and np.trace(table) < many)
    with np.errstate(invalid="ignore"):
        known = cohens_kappa(table)
    assume(np.isfinite(known.kappa) and np.isfinite(known.std_kappa))
    found = average_kappa([_cross(table.tolist())], confidence=0.95)
    spread = stats.t.ppf(0.975, many - 1) * known.std_kappa * np.sqrt(many / (many - 1))
    assert found.estimate == pytest.approx(known.kappa)
    assert (found.low, found.high) == pytest.approx(
        (max(known.kappa - spread, -1), min(known.kappa + spread, 1)), abs=1e-7
    )


def test_intervals_widen_where_items_share_a_conversation() -> None:
    counts = np.array([[2, 0]] * 60 + [[0, 2]] * 25 + [[1, 1]] * 15)
    counts = counts[np.random.default_rng(3).permutation(100)]
    doubled, clusters = np.repeat(counts, 2, axis=0), np.repeat(np.arange(100), 2)
    for estimate in (estimate_ac1, partial(estimate_alpha, is_ordinal=False)):
        alone = estimate(counts, confidence=0.95)
        apart = estimate(doubled, confidence=0.95)
        together = estimate(doubled, clusters, confidence=0.95)
        assert apart.high - apart.low < 0.8 * (together.high - together.low)
        # The same twice tells nothing new: alpha differs by its correction for small samples only.
        assert (together.low, together.high) == pytest.approx((alone.low, alone.high), abs=0.02)


def test_perfect_agreement_of_few_is_not_certain() -> None:
    counts = np.array([[2, 0]] * 3 + [[0, 2]] * 3)
    lower, _ = proportion_confint(6, 6, method="wilson")
    for estimate in (estimate_ac1, partial(estimate_alpha, is_ordinal=False), partial(estimate_alpha, is_ordinal=True)):
        found = estimate(counts, confidence=0.95)
        assert (found.estimate, found.high) == (1, 1)
        assert found.low == pytest.approx(1 - (1 - lower) / 0.5, abs=0.08)
    codes = np.array([0, 0, 0, 1, 1, 1])
    assert average_kappa([Pair(codes, codes, np.arange(6))], confidence=0.95).low == pytest.approx(2 * lower - 1)


def test_the_mean_over_pairs_has_the_interval_of_a_bootstrap() -> None:
    generator = np.random.default_rng(5)
    truth = generator.integers(0, 3, 150)
    codes = np.where(generator.random((4, 150)) < 0.8, truth, generator.integers(0, 3, (4, 150)))
    items = np.arange(150)

    def average(chosen: np.ndarray) -> list[Pair]:
        return [Pair(codes[i][chosen], codes[j][chosen], items) for i, j in combinations(range(4), 2)]

    found = average_kappa(average(items), confidence=0.95)
    drawn = [average_kappa(average(generator.integers(0, 150, 150)), confidence=0.95).estimate for _ in range(400)]
    assert found.estimate == pytest.approx(np.mean(drawn), abs=0.01)
    assert (found.low, found.high) == pytest.approx(np.quantile(drawn, (0.025, 0.975)), abs=0.02)
