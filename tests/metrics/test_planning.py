"""Allocation of a review budget, and the interval that it is expected to buy."""

from __future__ import annotations

import itertools
import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import coverage
from core.errors import UsageError
from metrics.confusion import estimate_errors
from metrics.planning import (
    BALANCED,
    TARGETS,
    Stratum,
    allocate,
    allocate_more,
    expect,
    expect_after,
    find_budget,
    guess_harm,
    weigh_reviews,
    weigh_strata,
)

STRATA = (
    Stratum("triggered/high", 300, is_triggered=True, reviewed=40, harmful=36),
    Stratum("triggered/low", 300, is_triggered=True, reviewed=40, harmful=14),
    Stratum("passed/near", 1_200, is_triggered=False, reviewed=50, harmful=6),
    Stratum("passed/far", 23_000, is_triggered=False, reviewed=50, harmful=0),
)
sizes = st.dictionaries(st.text(max_size=3), st.integers(1, 300), min_size=1, max_size=8)


@given(sizes, st.data())
def test_allocation_draws_what_was_asked_and_leaves_no_stratum_out(sizes: dict[str, int], data: st.DataObject) -> None:
    n = data.draw(st.integers(len(sizes), min(sum(sizes.values()) + 10, 600)))
    weights = {name: data.draw(st.floats(0, 1e6)) for name in sizes}
    before = {name: data.draw(st.integers(0, 50)) for name in sizes}
    drawn = allocate(sizes, n=n, weights=weights, before=before)
    assert drawn.keys() == sizes.keys()
    assert sum(drawn.values()) == min(n, sum(sizes.values()))
    assert all(1 <= drawn[name] <= sizes[name] for name in sizes)
    if n >= 2 * len(sizes):
        assert all(drawn[name] + before[name] >= min(2, sizes[name]) for name in sizes)


def test_too_few_for_all_strata_is_refused() -> None:
    with pytest.raises(UsageError, match="2 turns for 3 strata"):
        allocate({"a": 10, "b": 10, "c": 10}, n=2, weights={"a": 1, "b": 1, "c": 1})


@given(st.lists(st.floats(0.1, 100), min_size=3, max_size=3), st.integers(6, 24))
def test_allocation_is_the_best_of_all(weights: list[float], n: int) -> None:
    """Neyman's optimum in whole numbers, against every other way to spend the budget."""
    found = allocate({"a": 9, "b": 9, "c": 9}, n=n, weights=dict(zip("abc", weights, strict=True)))

    def variance(counts: tuple[int, ...]) -> float:
        return sum(weight**2 / count for weight, count in zip(weights, counts, strict=True))

    others = (counts for counts in itertools.product(range(2, 10), repeat=3) if sum(counts) == n)
    assert variance(tuple(found[name] for name in "abc")) == pytest.approx(min(map(variance, others)))


def test_without_earlier_reviews_the_budget_follows_the_root_of_the_size() -> None:
    strata = [Stratum("a", 100, is_triggered=True), Stratum("b", 40_000, is_triggered=False)]
    assert weigh_strata(strata, "missed_harm_rate") == {"a": 10, "b": 200}
    drawn = allocate_more(strata, n=105, target=BALANCED)
    assert drawn["b"] / drawn["a"] == pytest.approx(20, rel=0.05)


def test_every_target_spends_where_its_doubt_is() -> None:
    drawn = {target: allocate_more(STRATA, n=300, target=target) for target in (*TARGETS, BALANCED)}
    assert drawn["wrong_block_share"]["triggered/low"] > drawn["wrong_block_share"]["triggered/high"]
    assert drawn["wrong_block_share"]["passed/far"] <= 2
    assert drawn["missed_harm_rate"]["passed/far"] > 100 > drawn["missed_harm_rate"]["triggered/high"]
    assert drawn["missed_harm_rate"]["passed/near"] / 1_200 > drawn["missed_harm_rate"]["passed/far"] / 23_000
    assert all(drawn[BALANCED][stratum.name] + stratum.reviewed > 50 for stratum in STRATA)


def test_the_target_s_own_allocation_expects_the_narrowest_interval() -> None:
    for target in TARGETS:
        widths = {
            other: expect_after(STRATA, allocate_more(STRATA, n=400, target=other), confidence=0.95)[target].width
            for other in (*TARGETS, BALANCED)
        }
        assert widths[target] <= min(widths.values()) * 1.06, (target, widths)


def test_few_reviews_without_harm_do_not_make_a_stratum_certain() -> None:
    shares = guess_harm(STRATA)
    assert 0 < shares["passed/far"] < 0.02 < shares["passed/near"]
    assert all(0 < share < 1 for share in shares.values())


def test_the_expected_interval_is_the_one_that_comes() -> None:
    """The plan's width against the mean width of real estimates from such samples."""
    random = np.random.default_rng(7)
    turns = coverage.simulate_turns(random)
    sizes = dict(turns["stratum"].value_counts().iter_rows())
    shares = dict(turns.group_by("stratum").agg(pl.col("harmful").mean()).iter_rows())
    drawn = dict(zip(coverage.STRATA, coverage.DRAWN, strict=True))
    known = [
        Stratum(name, sizes[name], name.startswith("triggered"), reviewed=10_000, harmful=10_000 * shares[name])
        for name in coverage.STRATA
    ]
    expected = expect(known, drawn, confidence=0.95)
    widths: dict[str, list[float]] = {name: [] for name in TARGETS if name != "harm_prevalence"}
    for _ in range(12):
        rates = estimate_errors(coverage.draw_reviews(turns, random), groups=1, min_sample=1, confidence=0.95)
        for name, found in widths.items():
            found.append(rates[name][0]["high"] - rates[name][0]["low"])
    for name, found in widths.items():
        assert expected[name].width == pytest.approx(np.mean(found), rel=0.3), name  # type: ignore[index]


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(TARGETS), st.floats(0.02, 0.5))
def test_the_budget_for_a_width_is_the_smallest_that_buys_it(target: str, width: float) -> None:
    n = find_budget(STRATA, target=target, width=width, confidence=0.95)  # type: ignore[arg-type]

    def expected(count: int) -> float:
        return expect_after(STRATA, allocate_more(STRATA, n=count, target=target), confidence=0.95)[target].width  # type: ignore[index]

    if n is None:
        assert expected(sum(stratum.left for stratum in STRATA)) > width
    else:
        assert expected(n) <= width
        assert n == len(STRATA) or expected(n - 1) > width * 0.99


def test_what_cannot_be_bought_has_no_budget() -> None:
    only = [Stratum("passed", 500, is_triggered=False)]
    assert find_budget(only, target="wrong_block_share", width=0.1, confidence=0.95) is None
    done = [Stratum("passed", 500, is_triggered=False, drawn=500, reviewed=500)]
    assert find_budget(done, target="harm_prevalence", width=0.1, confidence=0.95) is None


def test_more_reviews_narrow_every_interval() -> None:
    before = None
    for n in (50, 100, 200, 400, 800):
        found = expect_after(STRATA, allocate_more(STRATA, n=n, target=BALANCED), confidence=0.95)
        assert set(found) == set(TARGETS)
        for rate in found.values():
            assert 0 <= rate.low <= rate.estimate <= rate.high <= 1
            assert math.isclose(rate.width, rate.high - rate.low)
            assert before is None or rate.width < before[rate.measure].width
        before = found


def test_reviews_that_are_there_are_worth_what_today_s_interval_says() -> None:
    plain = expect_after(STRATA, {}, confidence=0.95)
    for factor in (1.0, 1.6):
        widths = {target: min(rate.width * factor, 0.95) for target, rate in plain.items()}
        worth = weigh_reviews(STRATA, widths, confidence=0.95)
        again = expect_after(STRATA, {}, confidence=0.95, worth=worth)
        for target, width in widths.items():
            assert again[target].width == pytest.approx(width, rel=0.05), target
            assert (worth[target] < 0.8) == (factor > 1), target
    narrowed = expect_after(STRATA, allocate_more(STRATA, n=100, target=BALANCED), confidence=0.95, worth=worth)
    assert all(narrowed[target].width < again[target].width for target in TARGETS)
