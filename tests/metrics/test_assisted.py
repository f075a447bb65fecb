"""Shares assisted by a score: against ppi-python's values, under the design, by simulation, and in the report."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from canonical_rows import add

from core.events import EventStore
from metrics.assisted import METHOD, assist_share, estimate_covariance, tune
from metrics.query import Query
from metrics.run import run_report
from metrics.survey import Ratio, build_survey, estimate_proportions, estimate_rates, weigh

RATIO = Ratio("hit", "of")
POPULATIONS = 1000 if os.environ.get("WEIR_SOAK") else 60
FIXTURE = Path(__file__).parent / "survey_fixture" / "reviews.csv"
# ppi-python 0.2.3, `ppi_mean_pointestimate` and `ppi_mean_ci` (alpha 0.05) on `make_reference`, tuning weight chosen by it.
REFERENCE = {"classical": 0.44, "tuned": 0.43844065937004906, "low": 0.37420066599198293, "high": 0.5026806527481152}


def make_reference() -> tuple[pl.DataFrame, float]:
    """The 200 labelled of 2,000 scored things that ppi-python was given, and the mean score of all of them."""
    index = np.arange(1, 2001)
    score = (index * 0.6180339887498949) % 1.0
    hit = (index * 0.7548776662466927) % 1.0 < 0.15 + 0.6 * score
    rows = {
        "group": 0,
        "conversation_id": None,
        "stratum": "all",
        "inclusion_probability": 0.1,
        "of": True,
    }
    sample = pl.DataFrame({"request_id": index[:200].astype(str), "hit": hit[:200], "score": score[:200]}).with_columns(
        pl.lit(value).alias(name) for name, value in rows.items()
    )
    return sample.with_columns(pl.col("conversation_id").cast(pl.String)), float(score.mean())


def test_estimate_and_interval_are_those_of_ppi_python() -> None:
    sample, mean = make_reference()
    assert sample["hit"].mean() == pytest.approx(REFERENCE["classical"])
    found = assist_share(sample, RATIO, group=0, score_mean=mean, confidence=0.95)
    assert found is not None
    assert found.estimate == pytest.approx(REFERENCE["tuned"], abs=2e-4)
    # Its interval is normal and knows no finite population: ours is Clopper-Pearson's on the corrected variance.
    assert found.low == pytest.approx(REFERENCE["low"], abs=0.01)
    assert found.high == pytest.approx(REFERENCE["high"], abs=0.01)


def test_variances_are_those_of_the_whole_design() -> None:
    """On the fixture that R's `survey` is compared on, so that they are R's too."""
    sample = pl.read_csv(FIXTURE, schema_overrides={"conversation_id": pl.String}).with_columns(
        pl.col("hit", "of") == 1, group=pl.lit(0, dtype=pl.Int64)
    )
    rows = weigh(sample)
    expected = estimate_proportions(build_survey(rows), RATIO, confidence=0.95)[0]
    weight, inside = rows["weight"].to_numpy(), rows["of"].to_numpy()
    hit = rows["hit"].to_numpy().astype(float)
    linear = np.where(inside, weight * (hit - expected.estimate) / weight[inside].sum(), 0.0)
    covariance = estimate_covariance(rows, np.column_stack([linear, 2 * linear]))
    assert covariance[0, 0] == pytest.approx(expected.error**2, rel=1e-9)
    assert covariance[0, 1] == pytest.approx(2 * expected.error**2, rel=1e-9)


def draw(random: np.random.Generator, *, is_useful: bool) -> tuple[float, float, pl.DataFrame]:
    """A population's true share and mean score, and 300 reviews of it from two strata, with conversations of two turns."""
    size = 12_000
    conversation = np.repeat(np.arange(size // 2), 2)
    doubt = 0.7 * random.normal(size=size // 2)[conversation] + 0.7 * random.normal(size=size)
    harmful = random.random(size) < 1 / (1 + np.exp(0.5 - 2 * doubt))
    score = 1 / (1 + np.exp(-doubt)) if is_useful else random.random(size)
    stratum = np.where(random.random(size) < 0.3, "a", "b")
    drawn = np.concatenate([random.choice(np.flatnonzero(stratum == name), 150, replace=False) for name in "ab"])
    sample = pl.DataFrame(
        {
            "request_id": np.char.add("r", drawn.astype(str)),
            "conversation_id": np.char.add("c", conversation[drawn].astype(str)),
            "stratum": stratum[drawn],
            "hit": harmful[drawn],
            "score": score[drawn],
        }
    ).with_columns(
        group=pl.lit(0, dtype=pl.Int64),
        of=pl.lit(value=True),
        inclusion_probability=150 / pl.col("stratum").replace_strict({n: (stratum == n).sum() for n in "ab"}),
    )
    return float(harmful.mean()), float(score.mean()), sample


@pytest.mark.parametrize("is_useful", [True, False])
def test_the_interval_narrows_only_where_the_score_helps_and_holds_the_truth_all_the_same(is_useful: bool) -> None:
    random = np.random.default_rng(5)
    held, used, widths, plain_widths = 0, 0, [], []
    for _ in range(POPULATIONS):
        truth, mean, sample = draw(random, is_useful=is_useful)
        plain = estimate_rates(sample, {"r": RATIO}, groups=1, min_sample=1, confidence=0.95)["r"][0]
        found = assist_share(sample, RATIO, group=0, score_mean=mean, confidence=0.95)
        low, high = (plain["low"], plain["high"]) if found is None else (found.low, found.high)
        assert found is None or found.gain >= 1
        held += low <= truth <= high
        used += found is not None
        widths.append(high - low)
        plain_widths.append(plain["high"] - plain["low"])
    assert held / POPULATIONS >= 0.93
    if is_useful:
        assert used == POPULATIONS
        assert np.mean(widths) < 0.9 * np.mean(plain_widths)
    else:
        assert used / POPULATIONS < 0.2
        assert np.mean(widths) == pytest.approx(np.mean(plain_widths), rel=0.01)


def test_the_weight_falls_to_nothing_when_the_score_says_nothing() -> None:
    assert tune(np.array([[1.0, 0.05], [0.05, 1.0]]), 200) == 0
    assert tune(np.array([[1.0, 0.9], [0.9, 1.0]]), 200) == pytest.approx(0.9, rel=0.01)
    assert tune(np.array([[1.0, 0.0], [0.0, 0.0]]), 200) == 0


def test_few_reviews_on_one_side_are_not_assisted() -> None:
    sample, mean = make_reference()
    rare = sample.with_columns(hit=pl.col("hit") & (pl.int_range(pl.len()) < 18))
    assert rare["hit"].sum() < 10
    assert assist_share(rare, RATIO, group=0, score_mean=mean, confidence=0.95) is None


def fill(events: EventStore, *, unscored: int = 0) -> None:
    """1,000 triggers of a scored filter, 100 of them reviewed: the higher the score, the likelier the harm."""
    random = np.random.default_rng(1)
    score = random.random(1000)
    harmful = random.random(1000) < score
    add(
        events,
        turns=[{"request_id": f"r{i}", "conversation_id": f"c{i}"} for i in range(1000)],
        checks=[
            {"request_id": f"r{i}", "score": None if 1000 - i <= unscored else score[i], "triggered": True}
            for i in range(1000)
        ],
        labels=[
            {"request_id": f"r{i}", "harmful": bool(harmful[i]), "stratum": "s", "inclusion_probability": 0.1}
            for i in range(100)
        ],
    )


@pytest.mark.parametrize(("unscored", "method"), [(0, METHOD), (1, "korn-graubard")])
def test_the_report_names_the_method_and_needs_every_turn_scored(
    events: EventStore, unscored: int, method: str
) -> None:
    fill(events, unscored=unscored)
    row = run_report(events, "errors", Query(by=("filter_name",))).rows.row(0, named=True)
    rate = row["wrong_block_share"]
    assert rate["method"] == row["precision"]["method"] == method
    assert rate["numerator"] == pytest.approx(rate["estimate"] * rate["denominator"])
    assert rate["denominator"] == pytest.approx(1000)
    assert row["precision"]["estimate"] == pytest.approx(1 - rate["estimate"])
    is_plain = rate["estimate"] == pytest.approx(row["fp"] / 1000)
    assert is_plain == (unscored > 0)


@pytest.mark.parametrize(("unscored", "method"), [(0, METHOD), (1, "korn-graubard")])
def test_prevalence_is_assisted_where_one_filter_scored_every_turn(
    events: EventStore, unscored: int, method: str
) -> None:
    fill(events, unscored=unscored)
    row = run_report(events, "prevalence", Query()).rows.row(0, named=True)
    assert row["harm_prevalence"]["method"] == method
    assert row["harm_prevalence"]["low"] < 0.5 < row["harm_prevalence"]["high"]


def test_a_score_does_not_prove_what_a_stratum_of_one_mind_may_hide() -> None:
    """Twenty reviews of the far traffic found nothing: one in six of it may be harmful all the same."""
    index = np.arange(120)
    is_near = index < 100
    score = np.where(is_near, (index * 0.6180339887498949) % 1.0, 0.01)
    hit = is_near & ((index * 0.7548776662466927) % 1.0 < score)
    sample = pl.DataFrame(
        {
            "group": 0,
            "request_id": index.astype(str),
            "conversation_id": None,
            "stratum": np.where(is_near, "near", "far"),
            "inclusion_probability": np.where(is_near, 0.1, 0.001),
            "of": True,
            "hit": hit,
            "score": score,
        },
        schema_overrides={"conversation_id": pl.String, "group": pl.Int64},
    )
    mean = (score[is_near].sum() * 10 + score[~is_near].sum() * 1000) / 21_000
    found = assist_share(sample, RATIO, group=0, score_mean=mean, confidence=0.95)
    assert found is not None
    assert found.weight > 0
    bound = 1 - 0.025 ** (1 / 20)
    assert found.high >= found.estimate + 20 / 21 * bound * np.sqrt(0.999)
