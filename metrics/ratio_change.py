"""How much a rate changes when the same reviewed turns are decided by another policy. No database.

Both rates are Hájek ratios over one sample, so that their difference is far surer than two separate intervals suggest.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from scipy.special import stdtrit

from metrics.estimate import MEASURE, exact_bounds
from metrics.survey import Ratio, weigh

Change = dict[str, Any]
"""A record of `metrics.estimate.MEASURE`: after minus before, in shares."""


def estimate_change(sample: pl.DataFrame, *, before: Ratio, after: Ratio, min_sample: int, confidence: float) -> Change:
    """After minus before, with an interval that knows that both come from the same turns.

    The linearised variables of the two ratios are subtracted turn by turn, summed per conversation, and their variance
    taken within strata with the finite-population correction (statistics.md section 3). A census has no sampling
    variance; it is taken for a sample of traffic to come, as for single rates. Where no reviewed conversation tells the
    two apart, the bound is the exact one for an event that was never seen.

    Args:
        sample: Reviewed turns with the columns `metrics.survey.REVIEWS` and those that the ratios name; rows of group
            -1, in which those are false, belong to the design only.
        before: Ratio before.
        after: Ratio after.
        min_sample: Reviews in either denominator below which the record is empty.
        confidence: Level of the interval.

    Source: Särndal, Swensson, Wretman (1992), sections 5.5 to 5.7.
    """
    rows = weigh(sample)
    reviewed = min(int(rows[ratio.of].sum()) for ratio in (before, after))
    if reviewed < max(min_sample, 1):
        return _record(None, None, None, reviewed)
    first, second = (_linearise(rows, ratio) for ratio in (before, after))
    estimate = second[0] - first[0]
    spread, freedom = _spread(rows, second[1] - first[1])
    if freedom < 1:
        return _record(estimate, -1.0, 1.0, reviewed)
    reach = float(stdtrit(freedom, 0.5 + confidence / 2)) * spread
    if spread < 1e-12:
        reach = exact_bounds(0.0, min(_effective(rows, ratio) for ratio in (before, after)), confidence=confidence)[1]
    return _record(estimate, max(estimate - reach, -1.0), min(estimate + reach, 1.0), reviewed)


def _linearise(rows: pl.DataFrame, ratio: Ratio) -> tuple[float, pl.Series]:
    """The ratio and each row's part in its variance."""
    of = (pl.col("weight") * pl.col(ratio.of)).alias("of")
    hits = (pl.col("weight") * (pl.col(ratio.hits) & pl.col(ratio.of))).alias("hits")
    parts = rows.select(of, hits)
    total = float(parts["of"].sum())
    share = float(parts["hits"].sum()) / total
    return share, (parts["hits"] - share * parts["of"]) / total


def _spread(rows: pl.DataFrame, parts: pl.Series) -> tuple[float, int]:
    """Standard error of the sum of `parts`, and its degrees of freedom."""
    units = (
        rows.with_columns(part=parts)
        .group_by("stratum", "psu")
        .agg(
            pl.col("part").sum(),
            least=pl.col("inclusion_probability").min(),
            most=pl.col("inclusion_probability").max(),
        )
    )
    is_census = rows["inclusion_probability"].min() == 1
    strata = units.group_by("stratum").agg(
        n=pl.len(),
        deviation=((pl.col("part") - pl.col("part").mean()) ** 2).sum(),
        alone=pl.col("part").first(),
        fraction=pl.when(pl.col("least").min() == pl.col("most").max()).then(pl.col("least").min()).otherwise(0.0),
    )
    # A stratum with one unit is centred at the grand mean.
    middle = float(units["part"].mean() or 0.0)  # type: ignore[arg-type]  # a mean of floats
    n, one = pl.col("n"), pl.col("n") == 1
    scatter = pl.when(one).then((pl.col("alone") - middle) ** 2).otherwise(pl.col("deviation") * n / (n - 1))
    kept = 1.0 if is_census else 1 - pl.col("fraction")
    variance = float(strata.select((kept * scatter).sum()).item())
    return float(np.sqrt(variance)), units.height - strata.height


def _effective(rows: pl.DataFrame, ratio: Ratio) -> float:
    """Kish's size of the ratio's denominator under unequal weights."""
    weights = rows.filter(pl.col(ratio.of))["weight"].to_numpy()
    return float(weights.sum() ** 2 / (weights**2).sum())


def _record(estimate: float | None, low: float | None, high: float | None, reviewed: int) -> Change:
    values = (estimate, low, high, "linearised-paired", reviewed)
    return {field.name: value for field, value in zip(MEASURE.fields, values, strict=True)}
