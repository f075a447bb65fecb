"""Overlap of filters, and what layers cost, counted by hand."""

from __future__ import annotations

import pytest
from canonical_rows import add

from core.events import EventStore
from metrics.query import Query
from metrics.run import run_report


def fill(events: EventStore) -> None:
    """Ten turns: words sees all and fires on three; guard misses the first and fires on three of the rest."""
    layers = {"words": "keyword", "guard": "guard_llm"}

    def check(turn: int, name: str, **facts: object) -> dict[str, object]:
        return {"request_id": f"r{turn}", "filter_name": name, "layer": layers[name], **facts}

    add(
        events,
        turns=[{"request_id": f"r{i}", "outcome": {8: "refusal", 9: None}.get(i, "pass")} for i in range(10)],
        checks=[
            *(check(i, "words", triggered=i < 3, latency_ms=float(i)) for i in range(10)),
            # A second check of the same turn adds its time.
            *(check(i, "words", triggered=False, latency_ms=10.0) for i in range(10)),
            *(check(i, "guard", triggered=i in (1, 2, 5)) for i in range(1, 7)),
            *(check(i, "guard", status="error", triggered=None) for i in (7, 8, 9)),
            check(0, "guard", status="not_run", triggered=None),
            check(3, "guard", triggered=True, mode="shadow"),
        ],
    )


def test_overlap_counts_turns_that_both_filters_decided_on(events: EventStore) -> None:
    fill(events)
    rows = {(row["first"], row["second"]): row for row in run_report(events, "overlap", Query()).rows.to_dicts()}
    assert list(rows) == [("words", "words"), ("words", "guard"), ("guard", "guard")]
    pair = rows["words", "guard"]
    counts = {name: pair[name] for name in ("evaluated", "first_triggered", "second_triggered", "both")}
    assert counts == {"evaluated": 6, "first_triggered": 2, "second_triggered": 3, "both": 2}
    assert pair["overlap"]["numerator"] == 2
    assert pair["overlap"]["denominator"] == 3
    assert pair["overlap"]["estimate"] is None  # three are fewer than the minimum sample
    own = rows["words", "words"]
    assert (own["evaluated"], own["both"], own["overlap"]["denominator"]) == (10, 3, 3)


def test_overlap_by_a_dimension_and_of_shadow_checks(events: EventStore) -> None:
    fill(events)
    by_outcome = run_report(events, "overlap", Query(by=("outcome",))).rows
    assert by_outcome["evaluated"].sum() == 10 + 6 + 6
    shadow = run_report(events, "overlap", Query(filters=(("mode", "shadow"),))).rows.to_dicts()
    assert [(row["first"], row["both"]) for row in shadow] == [("guard", 1)]


def test_layers_add_up_a_turn_s_checks_and_tell_how_failures_ended(events: EventStore) -> None:
    fill(events)
    keyword, guard = run_report(events, "layers", Query()).rows.to_dicts()
    assert (keyword["layer"], keyword["turns"], keyword["failed"]) == ("keyword", 10, 0)
    assert (keyword["added_p50_ms"], keyword["added_p95_ms"]) == (14.5, pytest.approx(18.55))
    assert (guard["layer"], guard["turns"], guard["added_p50_ms"]) == ("guard_llm", 9, None)
    # One passed, one was refused, and one logged no outcome.
    assert (guard["failed"], guard["failed_open"], guard["failed_closed"]) == (3, 1, 1)
