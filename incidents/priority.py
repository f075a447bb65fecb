"""Queue order: priority = severity x doubt x exposure, each between 0 and 1, explained on every case.

Severity says how bad it is if the filters are right, doubt how much a verdict will teach, exposure whether
someone saw the text. A product, because a case that scores nothing on one of them can wait.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ingest.crosswalk import HAZARDS

SEVERITY = {
    "child_sexual_exploitation": 4,
    "suicide_self_harm": 4,
    "indiscriminate_weapons": 4,
    "violent_crimes": 4,
    "sex_related_crimes": 3,
    "non_violent_crimes": 3,
    "hate": 3,
    "privacy": 2,
    "defamation": 2,
    "sexual_content": 2,
    "specialized_advice": 2,
    "prompt_attack": 2,
    "intellectual_property": 1,
    "profanity": 1,
    "spam": 1,
}
"""How bad a hazard usually is, 1 to 4 (extreme), on the scale of verdicts; what is not listed counts as 2."""

_USUAL_SEVERITY = 2
# What was replaced or refused reached nobody, or only as a lost answer.
_EXPOSURE = {"modified": 0.6, "safe_completion": 0.5, "refusal": 0.5, "error": 0.3}
DRAWN_PRIORITY = 0.5
"""Random items stand in the middle of the queue: they neither pass likely grave harm nor starve behind it."""


@dataclass(frozen=True, slots=True)
class Priority:
    """Where a case stands in the queue.

    Attributes:
        value: 0 to 1, served from high to low.
        reason: A sentence that explains the value; holds no logged text.
        category: Gravest category among the checks that fired; None when none did.
        severity_hint: Its usual severity, 1 to 4; None without a category.
        doubt: How much a verdict will teach, 0 to 1; None when the case must not show what the filters said.
        exposure: How far the text reached people, 0 to 1; None likewise.
    """

    value: float
    reason: str
    category: str | None
    severity_hint: int | None
    doubt: float | None = None
    exposure: float | None = None


def compute_priority(
    *, turn: dict[str, Any] | None, checks: Sequence[dict[str, Any]], reports: Sequence[dict[str, Any]]
) -> Priority:
    """Priority of a turn from its canonical rows."""
    decided = [check for check in checks if check["triggered"] is not None]
    fired = [check for check in decided if check["triggered"]]
    claimed = [row["category"] for row in (*fired, *reports) if row["category"]]
    category = max(claimed, key=_severity_of, default=None)
    severity = _severity_of(category)
    doubt = max([_disagreement(len(fired), len(decided)), *map(_closeness, fired)])
    outcome = turn["outcome"] if turn else None
    exposure = 1.0 if reports else _EXPOSURE.get(outcome or "", 1.0)
    title = HAZARDS.get(category or "", "category not mapped" if category else "no category")
    seen = "reported by a user" if reports else f"outcome {outcome or 'not logged'}"
    return Priority(
        value=severity / 4 * doubt * exposure,
        reason=(
            f"severity {severity} of 4 ({title}) x doubt {doubt:.2f} ({len(fired)} of {len(decided)} checks fired)"
            f" x exposure {exposure:.1f} ({seen})"
        ),
        category=category,
        severity_hint=severity if category else None,
        doubt=doubt,
        exposure=exposure,
    )


def compute_drawn_priority() -> Priority:
    """Priority of a randomly drawn turn: the same for all, and blind to what the filters said."""
    return Priority(DRAWN_PRIORITY, "drawn at random, so that error rates can be estimated", None, None)


def _severity_of(category: str | None) -> int:
    return SEVERITY.get(category or "", _USUAL_SEVERITY)


def _disagreement(fired: int, decided: int) -> float:
    """1 when half of the checks fired, less the more of them agree, never 0: they may be wrong together.

    The share is Laplace's rule of succession, so that one check alone does not count as unanimity.
    """
    return 1 - abs(2 * (fired + 1) / (decided + 2) - 1)


def _closeness(check: dict[str, Any]) -> float:
    """How near a probability lies to its threshold: 1 on it, 0 at the far end of the scale."""
    score, threshold = check["score"], check["threshold"]
    if check["score_kind"] != "probability" or score is None or threshold is None:
        return 0.0
    if not (0 <= score <= 1 and 0 < threshold < 1):
        return 0.0
    return float(1 - abs(score - threshold) / max(threshold, 1 - threshold))
