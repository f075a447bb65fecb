"""Many decisions about one sample in one pass give what the survey library gives for each."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from test_survey import make_sample

from metrics.confusion import ERRORS, add_flags, estimate_errors
from metrics.survey import Ratio, build_survey, count_rates, estimate_proportions, estimate_rates, weigh
from metrics.sweep import Sweep

DECISIONS = 7


def decide(rows: pl.DataFrame, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """For each decision whether a turn is in the denominator, and in the numerator; the last decision takes nothing."""
    random = np.random.default_rng(seed)
    inside = (rows["group"] >= 0).to_numpy()[:, None]
    of = inside & (random.random((rows.height, DECISIONS)) < np.linspace(0.9, 0.0, DECISIONS))
    hits = random.random((rows.height, DECISIONS)) < np.linspace(0.0, 1.0, DECISIONS)
    return hits, of


def expand(rows: pl.DataFrame, hits: np.ndarray, of: np.ndarray) -> pl.DataFrame:
    """As many copies of the sample as decisions, for the library; a decision is a group."""
    design = rows.select("group", "request_id", "conversation_id", "stratum", "inclusion_probability")
    return pl.concat(
        design.with_columns(
            pl.when(pl.col("group") >= 0).then(pl.lit(place, dtype=pl.Int64)).otherwise(-1).alias("group"),
            hit=pl.Series(hits[:, place]),
            of=pl.Series(of[:, place]),
        )
        for place in range(DECISIONS)
    )


def assert_equal(ours: pl.Series, theirs: pl.Series) -> None:
    """The same records, numbers to 1e-9."""
    first, second = (pl.DataFrame({"rate": rates}).unnest("rate") for rates in (ours, theirs))
    assert_frame_equal(first, second, abs_tol=1e-9, rel_tol=1e-9)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("size", [12, 240])
def test_one_pass_equals_the_library(seed: int, size: int) -> None:
    sweep = Sweep(make_sample(seed, size=size, groups=1))
    hits, of = decide(sweep.rows, seed)
    copies = expand(sweep.rows, hits, of)
    ratio = Ratio("hit", "of")
    arguments = {"min_sample": 1, "confidence": 0.95}
    theirs = estimate_rates(copies, {"r": ratio}, groups=DECISIONS, **arguments)["r"]
    ours = sweep.rates(hits, of, **arguments)
    assert_equal(ours, theirs)
    counted = count_rates(copies, {"r": ratio}, groups=DECISIONS, **arguments)["r"]
    assert_equal(sweep.rates(hits, of, is_counted=True, **arguments), counted)
    found = estimate_proportions(build_survey(weigh(copies)), ratio, confidence=0.95)
    errors = sweep.errors(hits, of)
    for place, proportion in found.items():
        if place >= 0:
            assert errors[place] == pytest.approx(proportion.error, abs=1e-9)


def test_a_census_is_an_exact_count() -> None:
    sample = make_sample(1, size=60, groups=1).with_columns(inclusion_probability=pl.lit(1.0))
    sweep = Sweep(sample)
    hits, of = decide(sweep.rows, 1)
    for place, rate in enumerate(sweep.rates(hits, of, min_sample=1, confidence=0.95)):
        assert rate["method"] == "wilson"
        assert rate["numerator"] == (hits & of)[:, place].sum()
        assert rate["denominator"] == of[:, place].sum()


def test_an_empty_sample_has_no_rates() -> None:
    sweep = Sweep(make_sample(1, size=5, groups=1).clear())
    nothing = np.zeros((0, 3), dtype=bool)
    assert [rate["estimate"] for rate in sweep.rates(nothing, nothing, min_sample=1, confidence=0.95)] == [None] * 3


@pytest.mark.parametrize("seed", range(4))
def test_the_errors_of_one_group_are_those_that_the_library_gives_it_among_others(seed: int) -> None:
    reviews = make_sample(seed, size=240, groups=1).rename({"of": "triggered", "hit": "harmful"})
    sample = add_flags(reviews)
    alone, beside = (estimate_errors(sample, groups=groups, min_sample=20, confidence=0.95) for groups in (1, 2))
    for name in ERRORS:
        assert_equal(alone[name], beside[name].head(1))
