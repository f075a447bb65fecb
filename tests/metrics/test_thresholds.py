"""Thresholds at a scale's own steps, within a budget, and as fast as one pass allows."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from canonical_rows import START, add

from core.errors import UsageError
from core.events import EventStore
from metrics.query import Query
from metrics.run import run_report
from metrics.scores import name_level, pick_thresholds
from metrics.thresholds import find_smallest


@pytest.mark.parametrize(
    ("values", "kind", "steps"),
    [
        ([0, 2], "severity", [0, 2, 4, 6]),
        ([0, 3, 4], "severity", list(range(8))),
        ([0.2, 0.4], "severity", [0.2, 0.4]),
        ([1, 2], "ordinal", [0, 1, 2, 3]),
        ([0, 5], "ordinal", [0, 1, 2, 3, 4, 5]),
        ([0.25, 0.75], "probability", [0.25, 0.75]),
        ([2, 4], None, [2, 4]),
    ],
)
def test_few_scores_keep_their_own_steps(values: list[float], kind: str | None, steps: list[float]) -> None:
    assert list(pick_thresholds(np.array(values, dtype=float), kind)) == steps


@pytest.mark.parametrize(
    ("low", "high", "first", "last", "holds"),
    [(0.01, 0.9, 0, 1, 0.3), (-0.9, 0.8, -1, 1, 0), (-7, 13, -7, 13, 1)],
)
def test_many_scores_get_an_even_grid(low: float, high: float, first: float, last: float, holds: float) -> None:
    steps = pick_thresholds(np.linspace(low, high, 400), "margin")
    assert (len(steps), steps[0], steps[-1]) == (51, first, last)
    assert holds in steps


def test_levels_have_words() -> None:
    assert [name_level(value, "ordinal") for value in (0.0, 3.0, 4.0)] == ["0 (none)", "3 (high)", "4"]
    assert name_level(2.0, "severity") == "2"


def fill(events: EventStore) -> None:
    """Two days of 100 judged turns; harm from 0.7 on, benign turns at every score."""
    scores = [place / 100 for place in range(100)]
    rows: list[dict[str, Any]] = [
        {"request_id": f"r{place}", "ts": START + timedelta(hours=48 * place / 99)} for place in range(100)
    ]
    add(
        events,
        turns=rows,
        checks=[{**row, "score": score, "triggered": score >= 0.5} for row, score in zip(rows, scores, strict=True)],
        labels=[
            {**row, "harmful": place >= 70 and place % 2 == 0, "inclusion_probability": 1.0, "selection": "sample"}
            for place, row in enumerate(rows)
        ],
    )


def test_the_smallest_threshold_within_the_budget(events: EventStore) -> None:
    fill(events)
    result = run_report(events, "thresholds", Query(budget=0.2))
    rows = result.rows
    highs = rows["benign_blocked_rate"].struct.field("high")
    assert rows["within_budget"].to_list() == [high is not None and high <= 0.2 for high in highs]
    smallest = find_smallest(rows)
    assert smallest == min(row["threshold"] for row in rows.to_dicts() if row["benign_blocked_rate"]["high"] <= 0.2)
    assert result.notes == [
        f"{smallest:g} is the smallest threshold that keeps the benign-blocked rate within 0.2: "
        "its interval's upper bound counts."
    ]
    row = rows.row(35, named=True)
    assert (row["threshold"], row["triggers"]) == (0.7, 30)
    assert row["triggers_per_day"] == pytest.approx(15.0)


def test_no_budget_recommends_nothing_and_an_impossible_one_says_so(events: EventStore) -> None:
    fill(events)
    free = run_report(events, "thresholds", Query())
    assert (free.notes, free.rows["within_budget"].null_count()) == ([], free.rows.height)
    by_version = run_report(events, "thresholds", Query(budget=0.0, by=("filter_name",)))
    assert by_version.notes[0].startswith("f: no threshold is known to keep")
    assert find_smallest(by_version.rows) is None
    with pytest.raises(UsageError, match="Not a budget"):
        run_report(events, "thresholds", Query(budget=1.5))


def test_days_of_a_closed_window_are_its_own(events: EventStore) -> None:
    fill(events)
    rows = run_report(events, "thresholds", Query(since=START, until=START + timedelta(days=10))).rows
    assert rows.row(0, named=True)["triggers_per_day"] == pytest.approx(10.0)
