"""Arms of an experiment side by side: how often the cascade intervened, and what harm got through."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import polars as pl
from ibis.backends import BaseBackend
from ibis.expr.types import Table
from scipy.special import ndtri
from scipy.stats import chisquare

from metrics.estimate import MEASURE, wilson
from metrics.events import fetch, turns
from metrics.query import Query
from metrics.report import Report
from metrics.reviews import complete_design, fetch_verdicts, keep_labelled
from metrics.survey import Ratio, estimate_rates

MISMATCH = 0.001
"""A p-value of the sample ratio below this says that arms were not assigned as planned."""
_PLANNED = 2000
"""Conversations at which the confidence sequence is narrowest."""
_DIFFERENCE: dict[str, pl.DataType] = {
    "difference": MEASURE,
    "sequential_low": pl.Float64(),
    "sequential_high": pl.Float64(),
    "srm_p_value": pl.Float64(),
}


@dataclass(frozen=True, slots=True)
class _Arm:
    """Sums over an arm's conversations: their number, turns n, interventions y, and products."""

    conversations: int
    turns: int
    intervened: int
    turns_squared: float
    intervened_squared: float
    product: float

    @property
    def share(self) -> float:
        return self.intervened / self.turns

    @property
    def variance(self) -> float:
        """Of the share, conversations as clusters; NaN for fewer than two."""
        many = self.conversations
        if many < 2:
            return math.nan
        spread = self.intervened_squared - 2 * self.share * self.product + self.share**2 * self.turns_squared
        return max(spread, 0.0) * many / (many - 1) / self.turns**2


def compute(backend: BaseBackend, query: Query) -> pl.DataFrame:
    """One row per group, experiment and arm; differences are against the arm whose name sorts first."""
    table = _turns_of_arms(backend, query)
    keys = [*query.by, "experiment", "arm"]
    rows = fetch(backend, _sum_arms(table, keys)).sort(keys, nulls_last=True)
    rate = wilson(
        rows, numerator="intervened", denominator="turns", min_sample=query.min_sample, confidence=query.confidence
    )
    compared: list[dict[str, Any]] = []
    for part in rows.partition_by([*query.by, "experiment"], maintain_order=True):
        compared += _compare(part, query)
    differences = pl.DataFrame(compared, schema=_DIFFERENCE)
    return pl.concat(
        [
            rows.select(*query.by, "experiment", "arm", "turns", "conversations", "intervened"),
            pl.DataFrame({"intervention_rate": rate, "missed_harm_prevalence": _missed(backend, query, table, rows)}),
            differences,
        ],
        how="horizontal",
    )


def remark(backend: BaseBackend, query: Query) -> list[str]:
    """Names experiments whose arms were not assigned evenly: their differences say nothing."""
    rows = compute(backend, query)
    broken = rows.filter(pl.col("srm_p_value") < MISMATCH)["experiment"].unique().sort().to_list()
    return [
        f"Sample ratio mismatch in {name or 'the unnamed experiment'}: arms were not assigned evenly; do not read its "
        "differences."
        for name in broken
    ]


def _turns_of_arms(backend: BaseBackend, query: Query) -> Table:
    """Turns of experiments: by columns, experiment, arm, request_id, cluster, whether the cascade intervened."""
    table = turns(backend, query)
    facts = backend.table("turns").select("request_id", "experiment")
    table = table.inner_join(facts, "request_id")
    table = table.filter(table.arm.notnull(), table.outcome.notnull())
    return table.select(
        "request_id",
        "experiment",
        "arm",
        *query.by,
        conversation_id=table.conversation_id.fill_null(table.request_id),
        is_intervened=table.outcome.notin(("pass", "error")),
    )


def _sum_arms(table: Table, keys: list[str]) -> Table:
    whole = table.group_by(*keys, "conversation_id").agg(
        n=table.count().cast("float64"), y=table.is_intervened.cast("int64").sum().cast("float64")
    )
    return whole.group_by(*keys).agg(
        conversations=whole.count(),
        turns=whole.n.sum().cast("int64"),
        intervened=whole.y.sum().cast("int64"),
        turns_squared=(whole.n * whole.n).sum(),
        intervened_squared=(whole.y * whole.y).sum(),
        product=(whole.n * whole.y).sum(),
    )


def _compare(arms: pl.DataFrame, query: Query) -> list[dict[str, Any]]:
    """The columns `_DIFFERENCE` of every arm of one experiment; null for the first."""
    columns = ("conversations", "turns", "intervened", "turns_squared", "intervened_squared", "product")
    found = [_Arm(*row) for row in arms.select(columns).rows()]
    mismatch = float(chisquare([arm.conversations for arm in found]).pvalue) if len(found) > 1 else None
    rows: list[dict[str, Any]] = [{**dict.fromkeys(_DIFFERENCE), "srm_p_value": mismatch}]
    for arm in found[1:]:
        estimate = arm.share - found[0].share
        error = math.sqrt(arm.variance + found[0].variance)
        many = arm.conversations + found[0].conversations
        is_enough = min(arm.conversations, found[0].conversations) >= max(query.min_sample, 2)
        half = float(ndtri(0.5 + query.confidence / 2)) * error
        wide = error * sequence_factor(many, confidence=query.confidence)
        shown = [value if is_enough else None for value in _around(estimate, half)]
        rows.append(
            {
                "difference": {
                    "estimate": estimate if is_enough else None,
                    "low": shown[0],
                    "high": shown[1],
                    "method": "cluster-robust",
                    "n": many,
                },
                "sequential_low": _around(estimate, wide)[0] if is_enough else None,
                "sequential_high": _around(estimate, wide)[1] if is_enough else None,
                "srm_p_value": mismatch,
            }
        )
    return rows


def sequence_factor(observations: int, *, confidence: float) -> float:
    """Standard errors to either side of an estimate that may be looked at after every observation.

    Source: Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas (2021), asymptotic confidence sequences, Gaussian mixture,
    narrowest at 2,000 observations.
    """
    alpha = 1 - confidence
    rho = (-2 * math.log(alpha) + math.log(-2 * math.log(alpha)) + 1) / _PLANNED
    scaled = observations * rho
    return math.sqrt(2 * (scaled + 1) / scaled * math.log(math.sqrt(scaled + 1) / alpha))


def _around(middle: float, half: float) -> tuple[float, float]:
    return max(middle - half, -1.0), min(middle + half, 1.0)


def _missed(backend: BaseBackend, query: Query, table: Table, rows: pl.DataFrame) -> pl.Series:
    """Harmful turns among those that passed, per row: what fewer interventions may cost."""
    verdicts = fetch_verdicts(backend).filter(
        pl.col("judged_filter").is_null(), pl.col("inclusion_probability").is_not_null()
    )
    keys = [*query.by, "experiment", "arm"]
    numbered = rows.select(keys).with_columns(group=pl.int_range(pl.len(), dtype=pl.Int64))
    sample = (
        fetch(backend, keep_labelled(backend, table))
        .join(verdicts.drop("judged_filter", "label_conversation_id"), on="request_id")
        .join(numbered, on=keys, nulls_equal=True)
        .with_columns(passed=~pl.col("is_intervened"))
    )
    rates = estimate_rates(
        complete_design(sample, verdicts),
        {"missed": Ratio("harmful", "passed")},
        groups=rows.height,
        min_sample=query.min_sample,
        confidence=query.confidence,
    )
    return rates["missed"]


REPORT = Report(
    key="experiment",
    title="Experiment",
    unit="turn",
    better="lower",
    description="Arms of each experiment in the model log: how often the cascade did not let an answer pass, against the arm "
    "whose name sorts first, and what harm passed. Turns without an arm or an outcome are left out.",
    source="Linearised ratio with conversations as clusters; Waudby-Smith et al. (2021) for the sequence; chi-square test of "
    "even assignment; Wilson (1927).",
    columns={
        "experiment": "name as logged; null = not named",
        "arm": "its arm",
        "turns": "turns of the arm with a known outcome",
        "conversations": "conversations (turns without one count singly)",
        "intervened": "turns that ended otherwise than pass or error",
        "intervention_rate": "intervened / turns",
        "missed_harm_prevalence": "harmful / reviewed turns that passed: the guardrail",
        "difference": "intervention rate minus that of the first arm, with its interval at a planned end",
        "sequential_low": "lower bound that holds however often one looks",
        "sequential_high": "upper bound that holds however often one looks",
        "srm_p_value": "test that conversations fell evenly on the arms; below 0.001 the differences say nothing",
    },
    dimensions=("model", "app", "language", "suite", "hour", "day"),
    compute=compute,
    remark=remark,
)
