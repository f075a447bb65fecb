"""What is true of the simulated traffic: known here, never stored in the event tables."""

from __future__ import annotations

from typing import Any, TypeAlias

import polars as pl

from core.clock import isoformat
from ingest.demo.world import (
    ARMS,
    BROAD_RULE,
    CLASSIFIER,
    CLASSIFIER_LIVE,
    CLASSIFIER_SHADOW,
    EXPERIMENT,
    FILTERS,
    GUARD,
    KEYWORD,
    RULESET_AFTER,
    RULESET_BEFORE,
    SHIFT,
    Plan,
    rule_id,
)

Facts: TypeAlias = dict[str, Any]

_REACHED = ("pass", "modified")
_STOPPED = ("refusal", "safe_completion", "human_escalation", "modified")


def state_truth(turns: pl.DataFrame) -> pl.DataFrame:
    """One row per turn: request_id, harmful, category, severity, over_blocked (benign, but changed)."""
    return turns.select(
        "request_id",
        "harmful",
        "category",
        "severity",
        over_blocked=~pl.col("harmful") & pl.col("outcome").is_in(_STOPPED),
    ).sort("request_id")


def state_facts(truth: pl.DataFrame, turns: pl.DataFrame, checks: pl.DataFrame, plan: Plan) -> Facts:
    """Events and true rates, as plain values for JSON; rates are shares from 0 to 1."""
    judged = checks.filter(pl.col("triggered").is_not_null()).join(
        truth.select("request_id", "harmful"), on="request_id"
    )
    enforced = judged.filter(pl.col("mode") == "enforce")
    keyword = enforced.filter(pl.col("filter_name") == KEYWORD)
    # Whole days on both sides, of equal length, so that the rhythm of the day does not bias the comparison.
    span = min(plan.until - plan.deploy_at, plan.deploy_at - plan.since)
    before = _count_errors(
        keyword.filter(pl.col("ts").is_between(plan.deploy_at - span, plan.deploy_at, closed="left"))
    )
    after = _count_errors(keyword.filter(pl.col("ts") >= plan.deploy_at))
    silence = pl.col("ts").is_between(plan.silent_since, plan.silent_until, closed="left")
    guard = enforced.filter(pl.col("filter_name") == GUARD)
    pairs = judged.filter((pl.col("filter_name") == CLASSIFIER) & (pl.col("ts") >= plan.shadow_since))
    live = pairs.filter(
        (pl.col("mode") == "enforce")
        & pl.col("request_id").is_in(pairs.filter(pl.col("mode") == "shadow")["request_id"].implode())
    )
    shadow = pairs.filter((pl.col("mode") == "shadow") & pl.col("request_id").is_in(live["request_id"].implode()))
    broad = keyword.filter(pl.col("rule_id") == rule_id(BROAD_RULE))
    reached = turns.select((pl.col("harmful") & pl.col("outcome").is_in(_REACHED)).mean()).item()
    return {
        "window": {"since": isoformat(plan.since), "until": isoformat(plan.until)},
        "turns": turns.height,
        "harm_prevalence": turns["harmful"].mean(),
        "reached_user_prevalence": reached,
        "over_blocking": {
            "filter_name": KEYWORD,
            "rule_id": rule_id(BROAD_RULE),
            "since": isoformat(plan.deploy_at),
            "version_before": RULESET_BEFORE,
            "version_after": RULESET_AFTER,
            "triggered": broad.height,
            "wrong_blocks": int((~broad["harmful"]).sum()),
            "benign_blocked_rate_before": before["benign_blocked_rate"],
            "benign_blocked_rate_after": after["benign_blocked_rate"],
        },
        "silence": {
            "filter_name": GUARD,
            "since": isoformat(plan.silent_since),
            "until": isoformat(plan.silent_until),
            "evaluated": guard.filter(silence).height,
            "triggers_expected": guard.filter(silence).height * _share(guard.filter(~silence)["triggered"]),
        },
        "shadow": {
            "filter_name": CLASSIFIER,
            "reference": CLASSIFIER_LIVE,
            "candidate": CLASSIFIER_SHADOW,
            "since": isoformat(plan.shadow_since),
            "pairs": shadow.height,
            "reference_errors": _count_errors(live),
            "candidate_errors": _count_errors(shadow),
            "reference_calibration_error": _calibration_error(live),
            "candidate_calibration_error": _calibration_error(shadow),
            "verdict": "promote",
        },
        "shift": _state_shift(enforced, plan),
        "experiment": {
            "name": EXPERIMENT,
            "arms": list(ARMS),
            "since": isoformat(plan.experiment_since),
            "effect": 0.0,
            "verdict": "hold",
        },
        "filters": {name: _count_errors(enforced.filter(pl.col("filter_name") == name)) for name in FILTERS},
    }


def _state_shift(enforced: pl.DataFrame, plan: Plan) -> Facts | None:
    """The enforced classifier's rate before and since it shifted; None where it did not."""
    if plan.shift_since >= plan.until:
        return None
    own = enforced.filter(pl.col("filter_name") == CLASSIFIER)
    return {
        "filter_name": CLASSIFIER,
        "since": isoformat(plan.shift_since),
        "factor": SHIFT,
        "trigger_rate_before": _share(own.filter(pl.col("ts") < plan.shift_since)["triggered"]),
        "trigger_rate_after": _share(own.filter(pl.col("ts") >= plan.shift_since)["triggered"]),
    }


def _count_errors(judged: pl.DataFrame) -> dict[str, float | None]:
    """Confusion counts and rates of decided checks with their truth; a rate over nothing is null."""
    counts = judged.select(
        tp=(pl.col("triggered") & pl.col("harmful")).sum(),
        fp=(pl.col("triggered") & ~pl.col("harmful")).sum(),
        fn=(~pl.col("triggered") & pl.col("harmful")).sum(),
        tn=(~pl.col("triggered") & ~pl.col("harmful")).sum(),
    ).row(0, named=True)
    tp, fp, fn, tn = counts["tp"], counts["fp"], counts["fn"], counts["tn"]
    return {
        **counts,
        "wrong_block_share": fp / (tp + fp) if tp + fp else None,
        "benign_blocked_rate": fp / (fp + tn) if fp + tn else None,
        "missed_harm_rate": fn / (tp + fn) if tp + fn else None,
    }


def _share(flags: pl.Series) -> float:
    """Share of true values; 0 of none."""
    return float(flags.sum()) / max(1, len(flags))


def _calibration_error(judged: pl.DataFrame) -> float:
    """Expected calibration error over ten equal score bands (Naeini, Cooper, Hauskrecht 2015)."""
    bands = (
        judged.group_by(band=(pl.col("score") * 10).floor().clip(0, 9))
        .agg(n=pl.len(), score=pl.col("score").mean(), harmful=pl.col("harmful").mean())
        .with_columns(gap=(pl.col("score") - pl.col("harmful")).abs() * pl.col("n"))
        # A fixed order: floating-point sums depend on it, and the same seed must give the same bytes.
        .sort("band")
    )
    return round(float(bands["gap"].sum()) / max(1, judged.height), 6)
