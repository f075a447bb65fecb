"""Queue order: bounded, explained, and in the direction that its words promise."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from incidents.priority import SEVERITY, compute_drawn_priority, compute_priority
from ingest.crosswalk import HAZARDS
from ingest.schema import OUTCOMES


def check(**changes: Any) -> dict[str, Any]:
    return {
        "triggered": True,
        "category": "hate",
        "score": None,
        "threshold": None,
        "score_kind": None,
    } | changes


checks = st.lists(
    st.builds(
        check,
        triggered=st.sampled_from([True, False, None]),
        category=st.sampled_from([*HAZARDS, None, "unmapped:<b>x"]),
        score=st.none() | st.floats(),
        threshold=st.none() | st.floats(),
        score_kind=st.sampled_from(["probability", "severity", None]),
    ),
    max_size=6,
)


@given(checks, st.sampled_from([*OUTCOMES, None]), st.booleans(), st.booleans())
def test_it_stays_between_0_and_1_and_shows_no_logged_text(
    rows: list[dict[str, Any]], outcome: str | None, is_known: bool, is_reported: bool
) -> None:
    priority = compute_priority(
        turn={"outcome": outcome} if is_known else None,
        checks=rows,
        reports=[{"category": None}] if is_reported else [],
    )
    assert 0 < priority.value <= 1
    assert "<b>" not in priority.reason
    assert "severity" in priority.reason
    assert (priority.category is None) == (priority.severity_hint is None)


def value(*rows: dict[str, Any], outcome: str | None = "pass", reports: int = 0) -> float:
    return compute_priority(turn={"outcome": outcome}, checks=rows, reports=[{"category": None}] * reports).value


@pytest.mark.parametrize(
    ("higher", "lower"),
    [
        (value(check(category="suicide_self_harm")), value(check(category="spam"))),
        (value(check(), check(triggered=False)), value(check(), check())),
        (value(check(), check(triggered=None)), value(check(), check())),
        (
            value(check(), check(), check(score=0.51, threshold=0.5, score_kind="probability")),
            value(check(), check(), check(score=0.99, threshold=0.5, score_kind="probability")),
        ),
        (value(check(), outcome="pass"), value(check(), outcome="refusal")),
        (value(check(), outcome="refusal", reports=1), value(check(), outcome="refusal")),
    ],
)
def test_worse_less_certain_and_more_exposed_comes_first(higher: float, lower: float) -> None:
    assert higher > lower


def test_it_is_the_product_of_what_it_says() -> None:
    priority = compute_priority(
        turn={"outcome": "refusal"},
        checks=[check(category="privacy"), *[check(triggered=False)] * 3, check(triggered=None)],
        reports=[],
    )
    assert priority.value == pytest.approx(2 / 4 * 2 / 3 * 0.5)
    assert priority.reason == (
        "severity 2 of 4 (Privacy) x doubt 0.67 (1 of 4 checks fired) x exposure 0.5 (outcome refusal)"
    )
    assert (priority.category, priority.severity_hint) == ("privacy", 2)


def test_severities_name_hazards_that_exist() -> None:
    assert SEVERITY.keys() <= HAZARDS.keys()
    assert set(SEVERITY.values()) <= {1, 2, 3, 4}


def test_random_items_are_blind_to_the_filters() -> None:
    priority = compute_drawn_priority()
    assert (priority.category, priority.severity_hint) == (None, None)
