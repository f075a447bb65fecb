"""The trade-off frontier: each point is what the other reports say of it, and the Pareto set is what brute force finds."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from canonical_rows import add
from hypothesis import given
from hypothesis import strategies as st

from core.events import EventStore
from metrics.estimate import RATE
from metrics.frontier import mark_frontier
from metrics.query import Query
from metrics.run import run_report

RATES = ("benign_blocked_rate", "missed_harm_rate")


def fill(events: EventStore) -> None:
    """40 judged turns in two arms; a blocklist that stops every eighth, and a scored classifier in two versions."""
    turns: list[dict[str, Any]] = [
        {"request_id": f"r{place}", "conversation_id": f"c{place // 2}", "arm": "ab"[place % 2]} for place in range(40)
    ]
    checks: list[dict[str, Any]] = []
    for place, turn in enumerate(turns):
        hit = place % 8 == 0
        checks.append(
            {"request_id": turn["request_id"], "filter_name": "list", "triggered": hit}
            | ({"enforced": True, "decision": "block"} if hit else {"decision": "allow"})
        )
        score = (place * 7 % 40) / 40
        for version, mode, limit in (("1", "enforce", 0.5), ("2", "shadow", 0.7)):
            fired = score >= limit
            checks.append(
                {"request_id": turn["request_id"], "filter_name": "clf", "filter_version": version, "mode": mode}
                | {"score": score, "triggered": fired, "decision": "flag" if fired else "allow", "enforced": False}
            )
    labels = [
        {"request_id": turn["request_id"], "conversation_id": turn["conversation_id"], "selection": "sample"}
        | {"harmful": place % 5 == 0, "stratum": "s", "inclusion_probability": 0.25}
        for place, turn in enumerate(turns)
    ]
    add(events, turns=turns, checks=checks, labels=labels)


def rows_of(events: EventStore, report: str, query: Query) -> list[dict[str, Any]]:
    return run_report(events, report, query).rows.to_dicts()


def same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    """Two rates with the same numbers."""
    numbers = ("estimate", "low", "high", "numerator", "denominator", "n")
    return [first[name] for name in numbers] == pytest.approx([second[name] for name in numbers], abs=1e-9)


def test_a_version_s_point_is_the_report_errors(events: EventStore) -> None:
    fill(events)
    points = {
        (row["filter_name"], row["filter_version"]): row
        for row in rows_of(events, "frontier", Query())
        if row["point"] == "version"
    }
    errors = rows_of(events, "errors", Query(by=("filter_name", "filter_version")))
    assert len(points) == len(errors) == 3
    for row in errors:
        point = points[row["filter_name"], row["filter_version"]]
        assert all(same(point[name], row[name]) for name in RATES)
        assert point["reviewed"] == row["reviewed"]
    assert points["clf", "2"]["mode"] == "shadow"


def test_a_threshold_s_point_is_the_report_thresholds(events: EventStore) -> None:
    fill(events)
    points = {
        row["threshold"]: row
        for row in rows_of(events, "frontier", Query())
        if row["point"] == "threshold" and row["filter_version"] == "1"
    }
    one = Query(filters=(("filter_name", "clf"), ("filter_version", "1")))
    rows = rows_of(events, "thresholds", one)
    assert [row["threshold"] for row in rows] == list(points)
    assert all(same(points[row["threshold"]]["benign_blocked_rate"], row["benign_blocked_rate"]) for row in rows)


def test_the_cascade_counts_what_any_enforced_filter_stopped(events: EventStore) -> None:
    fill(events)
    rows = rows_of(events, "frontier", Query(min_sample=1))
    cascade = rows[0]
    # The classifier only flags: of the list's five turns (0, 8, 16, 24, 32), one is harmful (0); harmful are 8 of 40.
    assert (cascade["point"], cascade["filter_name"], cascade["reviewed"]) == ("cascade", None, 40)
    assert cascade["benign_blocked_rate"]["estimate"] == pytest.approx(4 / 32)
    assert cascade["missed_harm_rate"]["estimate"] == pytest.approx(7 / 8)
    arms = {row["arm"]: row for row in rows if row["point"] == "arm" and row["filter_name"] is None}
    assert {name: row["reviewed"] for name, row in arms.items()} == {"a": 20, "b": 20}
    assert arms["a"]["missed_harm_rate"]["estimate"] == pytest.approx(3 / 4)
    # No reviewed turn of the other arm was stopped: what share of its harm that would have been is not known.
    assert (arms["b"]["missed_harm_rate"]["estimate"], arms["b"]["on_frontier"]) == (None, None)


def test_a_filter_s_question_leaves_the_cascade_whole(events: EventStore) -> None:
    fill(events)
    rows = rows_of(events, "frontier", Query(filters=(("filter_name", "clf"), ("filter_version", "1"))))
    assert {row["filter_name"] for row in rows} == {None, "clf"}
    assert {row["filter_version"] for row in rows} == {None, "1"}
    assert rows[0]["benign_blocked_rate"]["estimate"] == pytest.approx(4 / 32)


def make_rate(estimate: float | None) -> dict[str, Any]:
    return dict.fromkeys(field.name for field in RATE.fields) | {"estimate": estimate}


shares = st.one_of(st.none(), st.sampled_from([0.0, 0.1, 0.2, 0.3, 1.0]))


@given(st.lists(st.tuples(st.sampled_from([None, "f", "g"]), shares, shares), max_size=25))
def test_the_frontier_is_the_pareto_set(points: list[tuple[str | None, float | None, float | None]]) -> None:
    rows = pl.DataFrame(
        {
            "group": [0] * len(points),
            "filter_name": [name for name, _, _ in points],
            **{name: [make_rate(point[place]) for point in points] for place, name in enumerate(RATES, start=1)},
        },
        schema={"group": pl.Int64, "filter_name": pl.String, **dict.fromkeys(RATES, RATE)},
    )
    expected = []
    for name, blocked, missed in points:
        if blocked is None or missed is None:
            expected.append(None)
            continue
        rivals = [(b, m) for other, b, m in points if other == name and b is not None and m is not None]
        beaten = any((b <= blocked and m < missed) or (b < blocked and m <= missed) for b, m in rivals)
        expected.append(not beaten)
    assert mark_frontier(rows)["on_frontier"].to_list() == expected
