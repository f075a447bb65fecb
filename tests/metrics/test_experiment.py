"""Experiments: who may be compared, and which interval decides."""

from __future__ import annotations

from typing import Any

import pytest
from canonical_rows import add

from core.events import EventStore
from metrics.experiment import judge
from metrics.query import Query
from metrics.run import run_report

NOTHING: dict[str, Any] = {"estimate": None, "low": None, "high": None}


def harm(low: float, high: float) -> dict[str, Any]:
    return {"estimate": (low + high) / 2, "low": low, "high": high}


@pytest.mark.parametrize(
    ("bounds", "guardrail", "verdict", "decided_by"),
    [
        ((None, None), NOTHING, "hold", "too few conversations"),
        ((-0.2, -0.1), NOTHING, "hold", "too few reviews"),
        ((0.1, 0.2), NOTHING, "reject", "interventions +10.00 to +20.00 pp"),
        ((-0.2, -0.1), harm(-0.01, 0.004), "promote", "within +0.50 pp"),
        ((-0.2, -0.1), harm(-0.01, 0.006), "hold", "harm that passed"),
        ((-0.2, -0.1), harm(0.001, 0.004), "reject", "harm that passed"),
        ((-0.2, 0.1), harm(-0.01, 0.004), "hold", "interventions"),
        ((0.1, 0.2), harm(-0.01, 0.004), "reject", "interventions"),
    ],
)
def test_the_interval_decides(
    bounds: tuple[float | None, float | None], guardrail: dict[str, Any], verdict: str, decided_by: str
) -> None:
    found = judge(*bounds, guardrail)
    assert found[0] == verdict
    assert decided_by in found[1]


def fill(
    events: EventStore, *, conversations: int = 400, crossed: int = 0, missed: tuple[float, float] = (0, 0)
) -> None:
    """Two arms of equal size; the control stops every second turn, the other none; every turn is judged."""
    rows: list[dict[str, Any]] = []
    for place in range(conversations):
        for arm, is_stopped in (("a-control", place % 2 == 0), ("b-softer", False)):
            shared = f"shared-{place}" if place < crossed else f"{arm}-{place}"
            rows.append(
                {"request_id": f"{arm}-{place}", "conversation_id": shared, "experiment": "e", "arm": arm}
                | {"outcome": "refusal" if is_stopped else "pass"}
            )
    labels = [
        {"request_id": row["request_id"], "conversation_id": row["conversation_id"], "inclusion_probability": 1.0}
        | {"harmful": int(row["request_id"].rsplit("-", 1)[1]) < conversations * missed[row["arm"] == "b-softer"]}
        for row in rows
    ]
    add(events, turns=rows, labels=labels)


def read(events: EventStore) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
    result = run_report(events, "experiment", Query())
    first, second = result.rows.to_dicts()
    return first, second, result.notes


def test_fewer_interventions_without_more_harm_promote(events: EventStore) -> None:
    fill(events, conversations=800)
    first, second, notes = read(events)
    assert (first["verdict"], second["verdict"]) == (None, "promote")
    assert second["guardrail_difference"]["estimate"] == 0
    assert second["sequential_high"] < 0
    assert notes[0].startswith("Promote: fewer interventions at every look")


def test_more_harm_passed_rejects_whatever_the_interventions(events: EventStore) -> None:
    fill(events, missed=(0.0, 0.2))
    _, second, _ = read(events)
    assert second["verdict"] == "reject"
    assert second["guardrail_difference"]["low"] > 0
    assert "harm that passed" in second["decided_by"]


@pytest.mark.parametrize(("crossed", "is_blocked"), [(4, False), (20, True)])
def test_conversations_in_both_arms_block_the_readout(events: EventStore, crossed: int, is_blocked: bool) -> None:
    fill(events, crossed=crossed)
    _, second, notes = read(events)
    assert second["crossed"] == crossed
    assert (second["verdict"] == "invalid") is is_blocked
    assert (second["difference"] is None) is is_blocked
    assert notes[0].startswith("The readout of e is blocked") is is_blocked


def test_uneven_arms_block_the_readout(events: EventStore) -> None:
    fill(events)
    add(
        events,
        turns=[
            {"request_id": f"x{place}", "conversation_id": f"x{place}", "experiment": "e", "arm": "b-softer"}
            | {"outcome": "pass"}
            for place in range(200)
        ],
        ingest_id=2,
    )
    _, second, notes = read(events)
    assert second["srm_p_value"] < 0.001
    assert (second["verdict"], second["difference"], second["sequential_low"]) == ("invalid", None, None)
    assert "sample ratio mismatch" in second["decided_by"]
    assert len(notes) == 2
