"""Whether intervals hold the truth where a thinly reviewed stratum speaks for most of the traffic: `python -m benchmarks.thin_strata [SAMPLES]`.

Each design is a stratum near the threshold, 5 % of the turns, that is looked at hard, and the rest, of which few turns are
reviewed, mostly without finding anything. Beside the product's interval stands that of Korn and Graubard alone (R's
`svyciprop(method = "beta")` with the effective size capped at the reviews), which takes a stratum of one mind for certain.
"""

from __future__ import annotations

import sys

import numpy as np
import polars as pl

from metrics.survey import Ratio, build_survey, estimate_proportions, estimate_rates, weigh

NEAR, FAR = 1_150, 21_850
HARM = Ratio("harmful", "of")
CONFIDENCE = 0.95
_AT_ONCE = 20
# Reviews near and far, harmful share near and far.
DESIGNS = (
    (180, 200, 0.06, 0.002),
    (180, 200, 0.02, 0.01),
    (180, 200, 0.20, 0.001),
    (280, 100, 0.01, 0.02),
    (330, 50, 0.02, 0.03),
    (360, 20, 0.02, 0.02),
    (360, 20, 0.98, 0.97),
)


def draw_samples(samples: int, design: tuple[int, int, float, float], *, seed: int) -> pl.DataFrame:
    """So many samples of one design, one in each group, as `metrics.survey.estimate_rates` takes them."""
    random = np.random.default_rng(seed)
    parts = []
    for stratum, size, drawn, share in (("near", NEAR, design[0], design[2]), ("far", FAR, design[1], design[3])):
        count = samples * drawn
        parts.append(
            pl.DataFrame(
                {
                    "group": np.repeat(np.arange(samples), drawn),
                    "request_id": np.char.add(stratum, np.arange(count).astype(str)),
                    "conversation_id": pl.Series([None] * count, dtype=pl.String),
                    "stratum": [stratum] * count,
                    "inclusion_probability": [drawn / size] * count,
                    "harmful": random.random(count) < share,
                    "of": [True] * count,
                }
            )
        )
    return pl.concat(parts)


def bound(design: tuple[int, int, float, float], *, samples: int) -> pl.DataFrame:
    """low and high of the product, seen_low and seen_high of Korn and Graubard alone; one row per sample."""
    parts = []
    # Domains of one survey cost the square of their number.
    for seed in range(samples // _AT_ONCE):
        sample = draw_samples(_AT_ONCE, design, seed=seed)
        rates = estimate_rates(sample, {"r": HARM}, groups=_AT_ONCE, min_sample=1, confidence=CONFIDENCE)["r"]
        alone = estimate_proportions(build_survey(weigh(sample)), HARM, confidence=CONFIDENCE)
        parts.append(
            rates.struct.unnest().select(
                "low",
                "high",
                seen_low=pl.Series([alone[group].low for group in range(_AT_ONCE)]),
                seen_high=pl.Series([alone[group].high for group in range(_AT_ONCE)]),
            )
        )
    return pl.concat(parts)


def get_truth(design: tuple[int, int, float, float]) -> float:
    """Harmful share of all turns."""
    return (NEAR * design[2] + FAR * design[3]) / (NEAR + FAR)


def hold(bounds: pl.DataFrame, truth: float, *, prefix: str = "") -> tuple[float, float]:
    """Share of the intervals that hold the truth, and their mean width."""
    low, high = bounds[f"{prefix}low"], bounds[f"{prefix}high"]
    return float(((low <= truth) & (truth <= high)).mean()), float((high - low).mean())


def main() -> None:
    """Prints a row for each design."""
    samples = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    print("| reviews near, far | harmful near, far | Korn-Graubard alone holds | width | Weir holds | width |")
    print("|---|---|---|---|---|---|")
    for design in DESIGNS:
        bounds, truth = bound(design, samples=samples), get_truth(design)
        (seen, seen_width), (held, width) = hold(bounds, truth, prefix="seen_"), hold(bounds, truth)
        print(
            f"| {design[0]}, {design[1]} | {design[2]:.1%}, {design[3]:.1%} | {seen:.1%} | {seen_width * 100:.1f} pp "
            f"| {held:.1%} | {width * 100:.1f} pp |",
            flush=True,
        )


if __name__ == "__main__":
    main()
