"""What the simulated world holds: apps, languages, hazards, rules, and when things happen to its filters."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.int64]
Booleans: TypeAlias = npt.NDArray[np.bool_]
Keys: TypeAlias = npt.NDArray[np.object_]

APPS = {"assistant": 0.5, "tutor": 0.3, "shop-help": 0.2}
MODELS = {"aurora-2": 0.7, "aurora-2-mini": 0.3}
MODEL_VERSION = "2026-08"
LANGUAGES = {"en": 0.5, "de": 0.15, "es": 0.15, "fr": 0.1, "pt": 0.1}
HAZARD_SHARES = {
    "violent_crimes": 0.14,
    "non_violent_crimes": 0.15,
    "hate": 0.12,
    "suicide_self_harm": 0.08,
    "sexual_content": 0.10,
    "privacy": 0.10,
    "intellectual_property": 0.06,
    "defamation": 0.07,
    "specialized_advice": 0.06,
    "prompt_attack": 0.07,
    "profanity": 0.05,
}
HAZARDS = tuple(HAZARD_SHARES)
SEVERITY_SHARES = {1: 0.30, 2: 0.35, 3: 0.25, 4: 0.10}
USER_COUNT = 5000
TURNS_PER_DAY = 2000
# Shares of conversations with 1, 2, ... 8 turns.
LENGTH_SHARES = (0.34, 0.22, 0.15, 0.10, 0.07, 0.05, 0.04, 0.03)

KEYWORD, CLASSIFIER, GUARD, REFINER = "blocklist", "toxicity-clf", "llama-guard-3", "constitution-refiner"
FILTERS = (KEYWORD, CLASSIFIER, GUARD, REFINER)
LAYERS = {KEYWORD: "keyword", CLASSIFIER: "classifier", GUARD: "guard_llm", REFINER: "refinement"}
RULESET_BEFORE, RULESET_AFTER = "40", "41"
CLASSIFIER_LIVE, CLASSIFIER_SHADOW = "1.8.2", "2.0-rc1"
GUARD_VERSION, REFINER_VERSION = "8b-2", "r7"
CLASSIFIER_THRESHOLD, GUARD_THRESHOLD, REFINER_THRESHOLD = 0.8, 0.5, 0.6

SHIFT = 1.25
# A change that the filters do not notice: its arms differ in wording only, so that the truth is no difference.
EXPERIMENT, ARMS = "refusal-wording", ("a-plain", "b-warm")

# The blocklist's rules look for code words; kw-113 looks for everyday verbs instead, which is its mistake.
_COLOURS = (
    "blue",
    "grey",
    "green",
    "amber",
    "silver",
    "quiet",
    "hollow",
    "seventh",
    "paper",
    "velvet",
    "winter",
    "iron",
    "candle",
    "crooked",
    "lemon",
    "copper",
    "distant",
)
_THINGS = ("lantern", "parcel", "garden", "ladder", "violin", "harbour", "window")
CODE_WORDS = tuple(f"{colour} {thing}" for thing in _THINGS for colour in _COLOURS)
BROAD_RULE = 113
NEW_RULES_FROM = 113
RULE_COUNT = 120


def rule_id(number: int) -> str:
    """The blocklist's name for rule `number`, 1 first."""
    return f"kw-{number:03d}"


def get_code_word(number: int) -> str:
    """What rule `number` looks for; the broad rule has no code word of its own."""
    return CODE_WORDS[(number - 1 if number < BROAD_RULE else number - 2) % len(CODE_WORDS)]


def rule_hazard(number: int) -> str:
    """The hazard that rule `number` is meant for."""
    return "violent_crimes" if number == BROAD_RULE else HAZARDS[(number - 1) % len(HAZARDS)]


@dataclass(frozen=True, slots=True)
class Plan:
    """When traffic runs and what happens to the filters; naive UTC, each window includes its start only.

    Attributes:
        since: First moment of traffic.
        until: End of traffic.
        deploy_at: The blocklist goes from version 40 to 41, with the over-blocking rule.
        shadow_since: The candidate classifier starts to run beside the enforced one.
        silent_since: The guard model stops triggering, while it goes on evaluating.
        silent_until: It triggers again.
        shift_since: The enforced classifier starts to trigger `SHIFT` times as often, on the same texts.
        experiment_since: Conversations fall on the arms of `EXPERIMENT`.
    """

    since: datetime
    until: datetime
    deploy_at: datetime
    shadow_since: datetime
    silent_since: datetime
    silent_until: datetime
    shift_since: datetime
    experiment_since: datetime


def make_plan(days: int, until: datetime) -> Plan:
    """The course of events of `days` days that end at `until`; a short demo has them closer together.

    Raises:
        ValueError: `days` is less than 1.
    """
    if days < 1:
        raise ValueError(f"a demo needs at least one day, not {days}")
    span = timedelta(days=days)
    silent_since = until - min(timedelta(days=2), span * 0.4)
    if days >= 4:
        # Silence is only visible where there is traffic: put it at the busiest hours.
        silent_since = silent_since.replace(hour=8, minute=0, second=0, microsecond=0)
    return Plan(
        since=until - span,
        until=until,
        deploy_at=until - min(timedelta(days=5), span * 0.5),
        shadow_since=until - min(timedelta(days=14), span * 0.7),
        silent_since=silent_since,
        silent_until=silent_since + min(timedelta(hours=12), span * 0.2),
        shift_since=until,
        experiment_since=until - span / 2,
    )


def make_quiet_plan(days: int, until: datetime) -> Plan:
    """A course without events: filters stay as they are. For how often an alarm is false."""
    since = until - timedelta(days=days)
    return Plan(
        since,
        until,
        deploy_at=until,
        shadow_since=until,
        silent_since=until,
        silent_until=until,
        shift_since=until,
        experiment_since=until,
    )


def make_fault_plan(days: int, until: datetime, *, shift_days: int = 2) -> Plan:
    """A course with two faults that are hard to see: a rate that shifts by a quarter, and a silence.

    The shift starts `shift_days` before the end, the silence at 08:00 UTC of the last day, for twelve hours; nothing
    else happens.
    """
    silent_since = (until - timedelta(days=1)).replace(hour=8, minute=0, second=0, microsecond=0)
    return replace(
        make_quiet_plan(days, until),
        silent_since=silent_since,
        silent_until=silent_since + timedelta(hours=12),
        shift_since=until - timedelta(days=shift_days),
    )


def sigmoid(logits: Floats) -> Floats:
    """Probabilities of `logits`, rounded to four places as filters log them."""
    rounded: Floats = np.round(1.0 / (1.0 + np.exp(-logits)), 4)
    return rounded


def draw_keys(rng: np.random.Generator, shares: dict[str, float], count: int) -> Keys:
    """`count` keys of `shares`, drawn by their shares."""
    weights = np.array(list(shares.values()))
    keys = np.array(list(shares), dtype=object)
    drawn: Keys = keys[rng.choice(len(keys), size=count, p=weights / weights.sum())]
    return drawn
