"""The four layers that every turn passes, in order, and how the turn ends."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from ingest.demo.checks import where, write_checks
from ingest.demo.filters import Judgement, Logits, Panel, later
from ingest.demo.world import (
    CLASSIFIER,
    CLASSIFIER_LIVE,
    CLASSIFIER_SHADOW,
    CLASSIFIER_THRESHOLD,
    FILTERS,
    GUARD,
    GUARD_THRESHOLD,
    GUARD_VERSION,
    HAZARDS,
    REFINER,
    REFINER_THRESHOLD,
    REFINER_VERSION,
    SHIFT,
    Booleans,
    Floats,
    Keys,
    Plan,
    sigmoid,
)

# The candidate's score is calibrated: for two normal classes of spread d, log odds of harm have the means
# prior -/+ d*d/2. The live one believes in too much harm, and more so in some languages.
_LIVE = Logits(benign=-4.0, harmful=1.1, spread=2.2, delicate=1.6, shared=0.6)
_SHADOW = Logits(benign=-8.0, harmful=2.1, spread=3.2, delicate=1.0, shared=0.6)
_GUARD = Logits(benign=-6.2, harmful=1.2, spread=2.1, delicate=1.6, shared=0.5)
_REFINER = Logits(benign=-6.2, harmful=1.2, spread=2.0, delicate=1.6, shared=0.5)
_GUARD_SEVERITY_BIAS = 0.3
_MODEL_FAILURE_RATE = 0.0025
_ESCALATION_RATES = (0.25, 0.8)
PRINCIPLES = {hazard: f"principle-{number:02d}" for number, hazard in enumerate(HAZARDS, start=1)}


@dataclass(frozen=True, slots=True)
class CascadeResult:
    """What the layers did.

    Attributes:
        checks: A filter log, in time order.
        turns: The turns with outcome, decided_by (filter whose decision took effect), doubt (the enforced
            classifier's score), keyword_version and filters_ms.
    """

    checks: pl.DataFrame
    turns: pl.DataFrame


def run_cascade(turns: pl.DataFrame, plan: Plan, rng: np.random.Generator) -> CascadeResult:
    """Runs the layers over `turns` (`texts.write_turns` with `model_latency_ms`).

    A check that blocks ends the cascade: later layers have no row, or one that says skipped. A filter that
    times out lets the turn through.
    """
    panel = Panel(turns, plan, rng)
    keyword = panel.judge_keywords()
    live, shadow = _classify(panel, keyword)
    answered = ~keyword.stops & ~live.stops
    model_failed = answered & (rng.random(panel.count) < _MODEL_FAILURE_RATE)
    answered_at = later(live.ended_at, turns["model_latency_ms"].to_numpy())
    guard = _guard(panel, answered_at, answered, model_failed)
    refiner = _refine(panel, guard, model_failed)

    outcome = np.select(
        [
            keyword.stops | live.stops | guard.stops,
            model_failed,
            refiner.triggered & (refiner.decision == "escalate"),
            # Personal details are masked; the rest of the answer stays.
            refiner.triggered & (refiner.category == "privacy"),
            refiner.triggered,
        ],
        ["refusal", "error", "human_escalation", "modified", "safe_completion"],
        "pass",
    )
    decided_by = np.select([keyword.stops, live.stops, guard.stops, refiner.triggered], FILTERS, "")
    filters_ms = np.zeros(panel.count)
    for judgement in (keyword, live, guard, refiner):
        filters_ms += np.where(judgement.asked & ~judgement.skipped, judgement.latency_ms, 0.0)
    return CascadeResult(
        checks=write_checks(turns, (keyword, live, shadow, guard, refiner), rng),
        turns=turns.with_columns(
            outcome=pl.Series(outcome.astype(str)),
            decided_by=where(decided_by != "", decided_by),
            doubt=pl.Series(live.score).fill_nan(None),
            keyword_version=pl.Series(keyword.version.astype(str)),
            filters_ms=pl.Series(filters_ms),
        ),
    )


def _classify(panel: Panel, keyword: Judgement) -> tuple[Judgement, Judgement]:
    """The enforced classifier and, since the shadow run began, the candidate beside it."""
    asked = ~keyword.stops
    logits = panel.draw_logits(_LIVE) + panel.bias
    live = panel.judge(
        CLASSIFIER,
        sigmoid(logits + _shift(logits, asked & (panel.ts >= np.datetime64(panel.plan.shift_since)))),
        version=CLASSIFIER_LIVE,
        threshold=CLASSIFIER_THRESHOLD,
        ts=keyword.ended_at,
        asked=asked,
    )
    shadow = panel.judge(
        CLASSIFIER,
        sigmoid(panel.draw_logits(_SHADOW)),
        version=CLASSIFIER_SHADOW,
        threshold=CLASSIFIER_THRESHOLD,
        ts=keyword.ended_at,
        asked=asked & (panel.ts >= np.datetime64(panel.plan.shadow_since)),
        mode="shadow",
    )
    return live, shadow


def _shift(logits: Floats, shifted: Booleans) -> Floats:
    """What is added to the log odds of `shifted` turns so that `SHIFT` times as many of them reach the threshold."""
    ranked = np.sort(logits[shifted])[::-1]
    threshold = float(np.log(CLASSIFIER_THRESHOLD / (1 - CLASSIFIER_THRESHOLD)))
    wanted = round(SHIFT * int((ranked >= threshold).sum()))
    # Scores are rounded to four places: half a step beyond the last that shall trigger.
    added = threshold - float(ranked[wanted - 1]) + 1e-4 if wanted else 0.0
    moved: Floats = np.where(shifted, added, 0.0)
    return moved


def _guard(panel: Panel, ts: Keys, asked: Booleans, skipped: Booleans) -> Judgement:
    """The guard model: surer of grave harm; while it is silent, everything looks harmless to it."""
    logits = panel.draw_logits(_GUARD) + _GUARD_SEVERITY_BIAS * (panel.severity - 2) * panel.harmful
    plan = panel.plan
    silent = (ts >= np.datetime64(plan.silent_since)) & (ts < np.datetime64(plan.silent_until))
    score = np.where(silent, np.round(0.02 * panel.rng.random(panel.count), 4), sigmoid(logits))
    return panel.judge(
        GUARD, score, version=GUARD_VERSION, threshold=GUARD_THRESHOLD, ts=ts, asked=asked, skipped=skipped
    )


def _refine(panel: Panel, guard: Judgement, model_failed: Booleans) -> Judgement:
    """The refining layer: rewrites an answer by the principle that it breaks, or calls a person."""
    refiner = panel.judge(
        REFINER,
        sigmoid(panel.draw_logits(_REFINER)),
        version=REFINER_VERSION,
        threshold=REFINER_THRESHOLD,
        ts=guard.ended_at,
        asked=guard.asked,
        skipped=model_failed | guard.stops,
    )
    grave = (panel.severity >= 4) | (refiner.category == "suicide_self_harm")
    escalates = panel.rng.random(panel.count) < np.where(grave, _ESCALATION_RATES[1], _ESCALATION_RATES[0])
    principles = np.array([PRINCIPLES[hazard] for hazard in refiner.category], dtype=object)
    return replace(refiner, decision=np.where(escalates, "escalate", "modify").astype(object), rule=principles)
