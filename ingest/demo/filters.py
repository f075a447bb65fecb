"""How the simulated filters see a turn: their scores, their errors, and what they take for a hazard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from ingest.demo.traffic import Kind
from ingest.demo.world import (
    CLASSIFIER,
    GUARD,
    HAZARDS,
    KEYWORD,
    NEW_RULES_FROM,
    REFINER,
    RULE_COUNT,
    RULESET_AFTER,
    RULESET_BEFORE,
    Booleans,
    Floats,
    Integers,
    Keys,
    Plan,
    rule_hazard,
    rule_id,
)

_LANGUAGE_BIAS = {"en": 0.0, "de": 0.2, "es": 0.5, "fr": 0.2, "pt": 0.9}
_HAZARD_BIAS = {
    "violent_crimes": 0.6,
    "hate": 0.8,
    "profanity": 0.8,
    "privacy": -0.6,
    "intellectual_property": -1.2,
}
_TIMEOUT_RATES = {CLASSIFIER: 0.002, GUARD: 0.008, REFINER: 0.003}
_TIMEOUT_MS = {CLASSIFIER: 500.0, GUARD: 2000.0, REFINER: 4000.0}
# Median milliseconds and spread of their logarithm.
_LATENCIES = {KEYWORD: (0.4, 0.25), CLASSIFIER: (30.0, 0.3), GUARD: (220.0, 0.35), REFINER: (480.0, 0.4)}
_RIGHT_HAZARD_RATE = 0.85


@dataclass(frozen=True, slots=True)
class Logits:
    """How a filter scores: mean log odds of benign and of harmful turns, their spread, what a dark subject
    adds, and the correlation of its noise with that of other filters."""

    benign: float
    harmful: float
    spread: float
    delicate: float
    shared: float


@dataclass(frozen=True, slots=True)
class Judgement:
    """One filter's view of every turn; arrays are as long as the turns.

    Attributes:
        name: The filter.
        version: Its version at the time.
        mode: Whether its decisions take effect.
        ts: When it ran.
        threshold: Score from which it fires; None for a filter without scores.
        asked: The filter has a row for the turn.
        skipped: It has one, but did not run.
        failed: It ran into its time limit.
        score: Its score; NaN for none.
        triggered: It fired.
        decision: What it does when it fires: block, flag, modify or escalate.
        category: The hazard that it names.
        rule: The rule that fired; "" for none.
        latency_ms: What it took.
    """

    name: str
    version: Keys
    mode: Literal["enforce", "shadow"]
    ts: Keys
    threshold: float | None
    asked: Booleans
    skipped: Booleans
    failed: Booleans
    score: Floats
    triggered: Booleans
    decision: Keys
    category: Keys
    rule: Keys
    latency_ms: Floats

    @property
    def stops(self) -> Booleans:
        """Turns whose answer it replaces with a refusal."""
        stops: Booleans = self.triggered & (self.decision == "block") & (self.mode == "enforce")
        return stops

    @property
    def ended_at(self) -> Keys:
        """When it was done."""
        return later(self.ts, self.latency_ms)


class Panel:
    """The turns as arrays, and the chance that the filters share: they err on the same strange turns."""

    def __init__(self, turns: pl.DataFrame, plan: Plan, rng: np.random.Generator) -> None:
        self.plan = plan
        self.rng = rng
        self.count = turns.height
        self.nobody: Booleans = np.zeros(turns.height, dtype=bool)
        self.ts: Keys = turns["ts"].to_numpy()
        self.harmful: Booleans = turns["harmful"].to_numpy()
        self.severity: Integers = turns["severity"].to_numpy()
        self._category: Keys = turns["category"].fill_null("").to_numpy()
        self._rule: Integers = turns["rule"].to_numpy()
        self._delicate: Booleans = turns["kind"].is_in([Kind.AMBIGUOUS, Kind.DELICATE]).to_numpy()
        self._strangeness: Floats = rng.standard_normal(turns.height)
        language = turns["language"].replace_strict(_LANGUAGE_BIAS, return_dtype=pl.Float64)
        hazard = turns["category"].replace_strict(_HAZARD_BIAS, default=0.0, return_dtype=pl.Float64)
        self.bias: Floats = language.to_numpy() + hazard.to_numpy()

    def draw_logits(self, logits: Logits) -> Floats:
        """Log odds of harm, one per turn."""
        own = np.sqrt(1 - logits.shared**2) * self.rng.standard_normal(self.count)
        benign = logits.benign + logits.delicate * self._delicate
        drawn: Floats = np.where(self.harmful, logits.harmful, benign) + logits.spread * (
            logits.shared * self._strangeness + own
        )
        return drawn

    def judge(
        self,
        name: str,
        score: Floats,
        *,
        version: str,
        threshold: float,
        ts: Keys,
        asked: Booleans,
        skipped: Booleans | None = None,
        mode: Literal["enforce", "shadow"] = "enforce",
    ) -> Judgement:
        """What a scoring filter says of the turns that it is asked about; it blocks when it fires."""
        skipped = self.nobody if skipped is None else asked & skipped
        failed = asked & ~skipped & (self.rng.random(self.count) < _TIMEOUT_RATES[name])
        ran = asked & ~skipped & ~failed
        guesses = np.array(HAZARDS, dtype=object)[self.rng.integers(0, len(HAZARDS), self.count)]
        right = self.harmful & (self.rng.random(self.count) < _RIGHT_HAZARD_RATE)
        return Judgement(
            name=name,
            version=np.full(self.count, version, dtype=object),
            mode=mode,
            ts=ts,
            threshold=threshold,
            asked=asked,
            skipped=skipped,
            failed=failed,
            score=np.where(ran, score, np.nan),
            triggered=ran & (score >= threshold),
            decision=np.full(self.count, "block", dtype=object),
            category=np.where(right, self._category, guesses),
            rule=np.full(self.count, "", dtype=object),
            latency_ms=np.where(failed, _TIMEOUT_MS[name], self._draw_latency(name)),
        )

    def judge_keywords(self) -> Judgement:
        """The blocklist fires where a prompt holds a rule's word and the rule set in force has that rule."""
        deployed = self.ts >= np.datetime64(self.plan.deploy_at)
        triggered = (self._rule > 0) & (deployed | (self._rule < NEW_RULES_FROM))
        numbers = range(1, RULE_COUNT + 1)
        category = np.array(["", *map(rule_hazard, numbers)], dtype=object)[self._rule]
        return Judgement(
            name=KEYWORD,
            version=np.where(deployed, RULESET_AFTER, RULESET_BEFORE).astype(object),
            mode="enforce",
            ts=self.ts,
            threshold=None,
            asked=~self.nobody,
            skipped=self.nobody,
            failed=self.nobody,
            score=np.full(self.count, np.nan),
            triggered=triggered,
            # Rude words are tagged, not blocked.
            decision=np.where(category == "profanity", "flag", "block").astype(object),
            category=category,
            rule=np.where(triggered, np.array(["", *map(rule_id, numbers)], dtype=object)[self._rule], ""),
            latency_ms=self._draw_latency(KEYWORD),
        )

    def _draw_latency(self, name: str) -> Floats:
        median, spread = _LATENCIES[name]
        drawn: Floats = np.round(self.rng.lognormal(np.log(median), spread, self.count), 2)
        return drawn


def later(ts: Keys, elapsed_ms: Floats) -> Keys:
    """`ts` moved by `elapsed_ms`, to whole milliseconds."""
    moved: Keys = ts + np.round(elapsed_ms).astype("timedelta64[ms]")
    return moved
