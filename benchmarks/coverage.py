"""How often intervals hold the truth, on populations whose truth is known: `python -m benchmarks.coverage [POPULATIONS]`.

Each population is some 24,000 turns of a fresh simulated world: conversations of unequal length whose turns resemble each
other, 1 % harm, a scored filter that misses a part of it and blocks harmless turns. A review sample is drawn from
strata as `weir sample` makes them (verdict x score band, so that probabilities differ by two orders of magnitude), and each rate is
estimated by the functions that the reports call. `docs/coverage.svg` shows the result.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import polars as pl
from scipy import stats

from benchmarks.coverage_picture import draw_picture
from metrics.confusion import add_flags, estimate_errors
from metrics.estimate import exact_bounds
from metrics.survey import Ratio, build_survey, estimate_proportions, estimate_rates, weigh

PICTURE = Path(__file__).parents[1] / "docs" / "coverage.svg"
SEED = 20261125
CONVERSATIONS = 12_000
STRATA = ("triggered/high", "triggered/low", "passed/near", "passed/far")
# Reviews drawn from each stratum.
DRAWN = (80, 140, 180, 200)
THRESHOLD = 2.5
PREVALENCE = Ratio("harmful", "judged")
MEASURES = ("harm_prevalence", "wrong_block_share", "benign_blocked_rate", "missed_harm_rate")


def simulate_turns(random: np.random.Generator, *, conversations: int = CONVERSATIONS) -> pl.DataFrame:
    """One population: conversation_id, request_id, harmful, score (higher = likelier harm), triggered, stratum."""
    lengths = 1 + random.poisson(1.0, conversations)
    conversation = np.repeat(np.arange(conversations), lengths)
    # Harm comes in bad conversations; so do false alarms, in conversations about touchy things.
    is_risky = random.random(conversations) < 0.025
    is_touchy = random.random(conversations) < 0.05
    harmful = random.random(conversation.size) < np.where(is_risky, 0.32, 0.002)[conversation]
    score = random.normal(size=conversation.size) + 1.1 * is_touchy[conversation] + 3.2 * harmful
    triggered = score >= THRESHOLD
    fired, passed = score[triggered], score[~triggered]
    high, near = np.quantile(fired, 0.5), np.quantile(passed, 0.95)
    band = np.where(triggered, np.where(score >= high, 0, 1), np.where(score >= near, 2, 3))
    return pl.DataFrame(
        {
            "request_id": np.char.add("r", np.arange(conversation.size).astype(str)),
            "conversation_id": np.char.add("c", conversation.astype(str)),
            "harmful": harmful,
            "score": score,
            "triggered": triggered,
            "stratum": np.array(STRATA)[band],
        }
    )


def draw_reviews(turns: pl.DataFrame, random: np.random.Generator) -> pl.DataFrame:
    """A stratified random sample of `turns` as the estimators take it: with flags and inclusion probabilities."""
    parts = []
    for stratum, drawn in zip(STRATA, DRAWN, strict=True):
        members = turns.filter(pl.col("stratum") == stratum)
        count = min(drawn, members.height)
        chosen = members[np.sort(random.choice(members.height, count, replace=False))]
        parts.append(chosen.with_columns(inclusion_probability=pl.lit(count / members.height)))
    return add_flags(pl.concat(parts)).with_columns(group=pl.lit(0, dtype=pl.Int64))


def read_rates(turns: pl.DataFrame) -> dict[str, float]:
    """The measures as plain ratios of counts: the truth of a population, the raw figure of a sample."""
    flags = add_flags(turns)
    return {
        "harm_prevalence": _divide(flags["harmful"], flags["judged"]),
        "wrong_block_share": _divide(flags["fp"], flags["triggered"]),
        "benign_blocked_rate": _divide(flags["fp"], flags["benign"]),
        "missed_harm_rate": _divide(flags["fn"], flags["harmful"]),
    }


def _divide(part: pl.Series, whole: pl.Series) -> float:
    return float(part.sum() / whole.sum()) if whole.sum() else float("nan")


def run(populations: int, *, seed: int = SEED, confidence: float = 0.95) -> pl.DataFrame:
    """Estimates beside the truth: population, measure, truth, raw, estimate, low, high; one row per population and measure."""
    random = np.random.default_rng(seed)
    settings = {"groups": 1, "min_sample": 1, "confidence": confidence}
    rows = []
    for population in range(populations):
        turns = simulate_turns(random)
        sample = draw_reviews(turns, random)
        truth, raw = read_rates(turns), read_rates(sample)
        rates = estimate_errors(sample, **settings)
        rates |= estimate_rates(sample, {"harm_prevalence": PREVALENCE}, **settings)
        for measure in MEASURES:
            bounds = {name: rates[measure][0][name] for name in ("estimate", "low", "high")}
            rows.append(
                {"population": population, "measure": measure, "truth": truth[measure], "raw": raw[measure], **bounds}
            )
        rows.append({**rows[-len(MEASURES)], "measure": "uncapped", **_bound_uncapped(sample, confidence)})
    return pl.DataFrame(rows, infer_schema_length=None)


def _bound_uncapped(sample: pl.DataFrame, confidence: float) -> dict[str, float]:
    """Harm prevalence as R's `svyciprop(method = "beta")` bounds it: an effective size above the number of reviews counts."""
    found = estimate_proportions(build_survey(weigh(sample)), PREVALENCE, confidence=confidence)[0]
    if found.error == 0:
        return {"low": found.estimate, "high": found.estimate}
    freedom = sample.select(pl.struct("stratum", "conversation_id").n_unique()).item() - sample["stratum"].n_unique()
    spread = stats.t.ppf(0.5 + confidence / 2, np.array([sample.height - 1, freedom]))
    effective = found.estimate * (1 - found.estimate) / found.error**2 * (spread[0] / spread[1]) ** 2
    low, high = exact_bounds(found.estimate, effective, confidence=confidence)
    return {"low": low, "high": high}


def summarise(results: pl.DataFrame) -> pl.DataFrame:
    """One row per measure: mean truth, estimate and raw figure, share of intervals that hold the truth, mean width."""
    holds = (pl.col("low") <= pl.col("truth")) & (pl.col("truth") <= pl.col("high"))
    return results.group_by("measure", maintain_order=True).agg(
        populations=pl.len(),
        truth=pl.col("truth").mean(),
        estimate=pl.col("estimate").mean(),
        raw=pl.col("raw").mean(),
        held=holds.fill_null(value=True).mean(),
        width=(pl.col("high") - pl.col("low")).mean(),
    )


def main() -> None:
    populations = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    results = run(populations)
    summary = summarise(results)
    with pl.Config(tbl_cols=-1, tbl_width_chars=200):
        print(summary)
    PICTURE.write_text(draw_picture(results, summary), encoding="utf-8")


if __name__ == "__main__":
    main()
