"""Estimates, standard errors and bounds against R's `survey` (survey_fixture/reference.R; the values are committed)."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from metrics.estimate import exact_bounds
from metrics.survey import Ratio, build_survey, estimate_proportions, estimate_rates, weigh

FIXTURE = Path(__file__).parent / "survey_fixture"
RATIO = Ratio("hit", "of")
GROUPS = {"classifier": 0, "guard": 1, "keyword": 2}


def read_sample(domain: str) -> pl.DataFrame:
    """The reviews as R reads them; `domain` "all" makes them one group."""
    rows = pl.read_csv(FIXTURE / "reviews.csv", schema_overrides={"conversation_id": pl.String})
    group = pl.lit(0) if domain == "all" else pl.col("domain").replace_strict(GROUPS)
    return rows.with_columns(group.cast(pl.Int64).alias("group"), pl.col("hit", "of") == 1)


EXPECTED = pl.read_csv(FIXTURE / "expected.csv").rows(named=True)


def name(row: dict[str, object]) -> str:
    return f"{row['domain']}-{row['level']}"


@pytest.mark.parametrize("expected", EXPECTED, ids=name)
def test_estimates_and_standard_errors_are_those_of_r(expected: dict[str, float]) -> None:
    domain = str(expected["domain"])
    survey = build_survey(weigh(read_sample(domain)))
    found = estimate_proportions(survey, RATIO, confidence=expected["level"])[GROUPS.get(domain, 0)]
    assert found.estimate == pytest.approx(expected["ratio"], abs=1e-9)
    assert found.error == pytest.approx(expected["ratio_se"], abs=1e-9)
    assert found.estimate == pytest.approx(expected["mean"], abs=1e-9)
    assert found.error == pytest.approx(expected["mean_se"], abs=1e-9)


@pytest.mark.parametrize("expected", EXPECTED, ids=name)
def test_bounds_are_those_of_r_or_wider(expected: dict[str, float]) -> None:
    domain, level = str(expected["domain"]), expected["level"]
    group, sample = GROUPS.get(domain, 0), read_sample(domain)
    found = estimate_proportions(build_survey(weigh(sample)), RATIO, confidence=level)[group]
    if expected["effective"] <= expected["n"]:
        assert found.low == pytest.approx(expected["low"], abs=1e-9)
        assert found.high == pytest.approx(expected["high"], abs=1e-9)
    else:
        # A lucky sample cannot be worth more than its size (Parker et al. 2017), which R does not insist on.
        low, high = exact_bounds(expected["mean"], expected["n"], confidence=level)
        assert (found.low, found.high) == (pytest.approx(low, abs=1e-9), pytest.approx(high, abs=1e-9))
        assert found.low < expected["low"] < expected["high"] < found.high
    rate = estimate_rates(sample, {"r": RATIO}, groups=3, min_sample=5, confidence=level)["r"][group]
    assert rate["n"] == expected["n"]
    # What strata in which all reviews agree may hide, R leaves out.
    inside = sample.filter(pl.col("group") == group, "of")
    if inside.group_by("stratum").agg(pl.col("hit").n_unique() == 1)["hit"].any():
        assert 0 <= rate["low"] <= found.low < found.high <= rate["high"] <= 1
        assert rate["high"] - rate["low"] > found.high - found.low
    else:
        assert (rate["low"], rate["high"]) == (found.low, found.high)


def test_the_fixture_has_every_difficulty() -> None:
    rows = read_sample("all")
    strata = rows.group_by("stratum").agg(pl.len(), pl.col("inclusion_probability").n_unique().alias("probabilities"))
    assert 1 in strata["len"]
    assert strata["probabilities"].max() == 3
    reach = rows.drop_nulls("conversation_id").group_by("conversation_id").agg(pl.col("stratum").n_unique())
    assert reach["stratum"].max() == 2
    assert {row["effective"] <= row["n"] for row in EXPECTED} == {True, False}
