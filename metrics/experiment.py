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
MOST_CROSSED = 0.01
"""Share of conversations seen in more than one arm above which assignment was not by conversation."""
GUARDRAIL_MARGIN = 0.005
"""How much more harm may pass in an arm that is promoted, as a share of turns that passed: half a percentage point."""
_PLANNED = 2000
"""Conversations at which the confidence sequence is narrowest."""
_DIFFERENCE: dict[str, pl.DataType] = {
    "difference": MEASURE,
    "sequential_low": pl.Float64(),
    "sequential_high": pl.Float64(),
    "srm_p_value": pl.Float64(),
    "crossed": pl.Int64(),
    "guardrail_difference": MEASURE,
    "verdict": pl.String(),
    "decided_by": pl.String(),
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
    experiments = keys[:-1]
    rows = rows.join(
        fetch(backend, _count_crossed(table, experiments)),
        on=experiments,
        how="left",
        nulls_equal=True,
        maintain_order="left",
    ).with_columns(missed=_missed(backend, query, table, rows))
    compared: list[dict[str, Any]] = []
    for part in rows.partition_by(experiments, maintain_order=True):
        compared += _compare(part, query)
    differences = pl.DataFrame(compared, schema=_DIFFERENCE)
    return pl.concat(
        [
            rows.select(*query.by, "experiment", "arm", "turns", "conversations", "intervened"),
            pl.DataFrame({"intervention_rate": rate, "missed_harm_prevalence": rows["missed"]}),
            differences,
        ],
        how="horizontal",
    )


def remark(backend: BaseBackend, query: Query) -> list[str]:
    """Names experiments whose readout is blocked, and what the verdicts mean."""
    rows = compute(backend, query)
    broken = rows.filter(pl.col("verdict") == "invalid")
    notes = [
        f"The readout of {name or 'the unnamed experiment'} is blocked: {why}"
        for name, why in broken.select("experiment", "decided_by").unique().sort("experiment", "decided_by").rows()
    ]
    if broken.height < rows.height:
        notes.append(
            "Promote: fewer interventions at every look, and the upper bound of the change in harm that passed is at most "
            f"{100 * GUARDRAIL_MARGIN:.1f} percentage points. Reject: more interventions at every look, or more harm passed for certain. Else hold."
        )
    return notes


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


def _count_crossed(table: Table, experiments: list[str]) -> Table:
    """Per experiment, conversations that were seen in more than one arm."""
    met = table.group_by(*experiments, "conversation_id").agg(arms=table.arm.nunique())
    return met.group_by(*experiments).agg(crossed=(met.arms > 1).cast("int64").sum().cast("int64"))


def _compare(arms: pl.DataFrame, query: Query) -> list[dict[str, Any]]:
    """The columns `_DIFFERENCE` of every arm of one experiment; the first is what the others are compared with.

    Where conversations were not assigned as planned, nothing is compared: the verdict is "invalid".
    """
    columns = ("conversations", "turns", "intervened", "turns_squared", "intervened_squared", "product")
    found = [_Arm(*row) for row in arms.select(columns).rows()]
    mismatch = float(chisquare([arm.conversations for arm in found]).pvalue) if len(found) > 1 else None
    crossed = int(arms["crossed"][0])
    assigned = {"srm_p_value": mismatch, "crossed": crossed}
    rows: list[dict[str, Any]] = [{**dict.fromkeys(_DIFFERENCE), **assigned}]
    broken = _find_broken(mismatch, crossed, sum(arm.conversations for arm in found))
    missed = arms["missed"].to_list()
    for arm, harm in zip(found[1:], missed[1:], strict=True):
        if broken:
            rows.append({**dict.fromkeys(_DIFFERENCE), **assigned, "verdict": "invalid", "decided_by": broken})
            continue
        compared = _differ(arm, found[0], query)
        guardrail = _differ_in_harm(harm, missed[0])
        verdict, decided_by = judge(compared["sequential_low"], compared["sequential_high"], guardrail)
        rows.append(
            {**compared, **assigned, "guardrail_difference": guardrail, "verdict": verdict, "decided_by": decided_by}
        )
    return rows


def _find_broken(mismatch: float | None, crossed: int, conversations: int) -> str | None:
    """Why arms cannot be compared; None when they can."""
    if mismatch is not None and mismatch < MISMATCH:
        return f"conversations did not fall evenly on the arms (sample ratio mismatch, p = {mismatch:.2g})."
    if crossed > MOST_CROSSED * conversations:
        return f"{crossed:,} of {conversations:,} conversations met more than one arm: assign by a hash of the conversation."
    return None


def _differ(arm: _Arm, first: _Arm, query: Query) -> dict[str, Any]:
    """Intervention rate minus that of the first arm: at a planned end, and at every look."""
    estimate = arm.share - first.share
    error = math.sqrt(arm.variance + first.variance)
    many = arm.conversations + first.conversations
    if min(arm.conversations, first.conversations) < max(query.min_sample, 2):
        nothing = {"estimate": None, "low": None, "high": None, "method": "cluster-robust", "n": many}
        return {"difference": nothing, "sequential_low": None, "sequential_high": None}
    low, high = _around(estimate, float(ndtri(0.5 + query.confidence / 2)) * error)
    wide = _around(estimate, error * sequence_factor(many, confidence=query.confidence))
    return {
        "difference": {"estimate": estimate, "low": low, "high": high, "method": "cluster-robust", "n": many},
        "sequential_low": wide[0],
        "sequential_high": wide[1],
    }


def _differ_in_harm(arm: Any, first: Any) -> dict[str, Any]:
    """Harm that passed in an arm minus that of the first, from two independent intervals (Zou, Donner 2008, MOVER)."""
    reviewed = int(arm["n"]) + int(first["n"])
    record: dict[str, Any] = {"estimate": None, "low": None, "high": None, "method": "mover", "n": reviewed}
    if arm["estimate"] is None or first["estimate"] is None:
        return record
    change = arm["estimate"] - first["estimate"]
    down = math.hypot(arm["estimate"] - arm["low"], first["high"] - first["estimate"])
    up = math.hypot(arm["high"] - arm["estimate"], first["estimate"] - first["low"])
    return record | {"estimate": change, "low": change - down, "high": change + up}


def judge(low: float | None, high: float | None, guardrail: dict[str, Any]) -> tuple[str, str]:
    """The verdict on an arm, and the interval that decided it, in words.

    Args:
        low: Lower bound of the difference in interventions that holds at every look; None = too few conversations.
        high: Upper bound.
        guardrail: Difference in harm that passed (MEASURE); estimate None = too few reviews.
    """
    if low is None or high is None:
        return "hold", "too few conversations for an interval"
    sequence = f"interventions {100 * low:+.2f} to {100 * high:+.2f} pp at every look"
    if guardrail["estimate"] is None:
        return ("reject", sequence) if low > 0 else ("hold", f"{sequence}; too few reviews of turns that passed")
    harm = f"harm that passed {100 * guardrail['low']:+.2f} to {100 * guardrail['high']:+.2f} pp"
    if guardrail["low"] > 0:
        return "reject", harm
    if low > 0:
        return "reject", sequence
    if high < 0 and guardrail["high"] <= GUARDRAIL_MARGIN:
        return "promote", f"{sequence}; {harm}, within {100 * GUARDRAIL_MARGIN:+.2f} pp"
    return "hold", f"{sequence}; {harm}" if high < 0 else sequence


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
    "even assignment; Wilson (1927); MOVER (Zou, Donner 2008) for the guardrail.",
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
        "srm_p_value": "test that conversations fell evenly on the arms; below 0.001 the readout is blocked",
        "crossed": "conversations of the experiment seen in more than one arm; above 1 % the readout is blocked",
        "guardrail_difference": "missed_harm_prevalence minus that of the first arm, with its interval",
        "verdict": "promote, hold or reject the arm; invalid where the readout is blocked; null for the first arm",
        "decided_by": "the interval that decided the verdict, or why the readout is blocked",
    },
    dimensions=("model", "app", "language", "suite", "hour", "day"),
    compute=compute,
    remark=remark,
)
