"""Figures of the reports on small stores that can be counted by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import ibis
import numpy as np
import pytest
from canonical_rows import START, add
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.events import Connection, EventStore
from ingest.schema import create_tables
from metrics import REPORTS
from metrics.additive import check_counts, turn_counts
from metrics.confusion import average_precision
from metrics.query import Query
from metrics.run import run_report

on_one_store = settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
ALL = Query(min_sample=1)


def rows_of(events: EventStore, name: str, query: Query = ALL) -> list[dict[str, Any]]:
    return REPORTS[name].compute(events.backend(), query).to_dicts()


def clear(events: EventStore) -> None:
    for table in ("turns", "checks", "labels", "check_rollup", "turn_rollup", "ingests"):
        events.write(lambda connection, name=table: connection.execute(f"DELETE FROM {name}"))
    events.forget()


checks_of_any_kind = st.lists(
    st.fixed_dictionaries(
        {
            "request_id": st.sampled_from(["a", "b", "c"]),
            "filter_name": st.sampled_from(["f", "g"]),
            "layer": st.sampled_from(["keyword", "classifier", None]),
            "rule_id": st.sampled_from(["x", None]),
            "status": st.sampled_from(["ok", "error", "not_run", "undecided"]),
            "triggered": st.sampled_from([True, False, None]),
            "enforced": st.sampled_from([True, False, None]),
            "ts": st.integers(0, 300).map(lambda second: START + timedelta(seconds=second)),
        }
    ),
    max_size=20,
)
turns_of_any_kind = st.lists(
    st.fixed_dictionaries(
        {
            "request_id": st.uuids().map(str),
            "outcome": st.sampled_from(["pass", "refusal", None]),
            "app": st.sampled_from(["tutor", None]),
            "is_logged": st.booleans(),
            "ts": st.integers(0, 300).map(lambda second: START + timedelta(seconds=second)),
        }
    ),
    max_size=20,
)


@on_one_store
@given(batches=st.lists(st.tuples(turns_of_any_kind, checks_of_any_kind), max_size=3), start=st.integers(0, 4))
def test_rollups_give_the_same_numbers_as_the_rows(
    events: EventStore, batches: Sequence[tuple[list[dict[str, Any]], list[dict[str, Any]]]], start: int
) -> None:
    clear(events)
    for number, (turns, checks) in enumerate(batches):
        add(events, turns=turns, checks=checks, ingest_id=number + 1)
    since = START + timedelta(minutes=start)
    rolled = Query(since=since, until=START + timedelta(minutes=4), filters=(("filter_name", "f"),), min_sample=1)
    # A window that is off by a microsecond holds the same rows, but no rollup can answer for it.
    if start == 4:
        rolled = replace(rolled, since=None)
    raw = replace(rolled, until=START + timedelta(minutes=3, seconds=59, microseconds=999_999))
    assert "check_rollup" in _sql(check_counts(events.backend(), rolled))
    assert "check_rollup" not in _sql(check_counts(events.backend(), raw))
    for by in ((), ("layer", "rule_id", "day"), ("hour", "filter_name")):
        found = REPORTS["triggers"].compute(events.backend(), replace(rolled, by=by))
        assert found.equals(REPORTS["triggers"].compute(events.backend(), replace(raw, by=by)))
    rolled, raw = replace(rolled, filters=(("app", "tutor"),)), replace(raw, filters=(("app", "tutor"),))
    assert "turn_rollup" in _sql(turn_counts(events.backend(), rolled))
    assert "turn_rollup" not in _sql(turn_counts(events.backend(), raw))
    for by in ((), ("app", "hour")):
        found = REPORTS["outcomes"].compute(events.backend(), replace(rolled, by=by))
        assert found.equals(REPORTS["outcomes"].compute(events.backend(), replace(raw, by=by)))


def _sql(table: Any) -> str:
    return str(ibis.to_sql(table))


def test_failed_and_skipped_checks_are_neither_passes_nor_triggers(events: EventStore) -> None:
    statuses = ["ok", "ok", "error", "not_run", "undecided", "hit"]
    add(
        events,
        checks=[
            {"request_id": str(n), "status": status, "triggered": n != 1 if status in ("ok", "hit") else None}
            for n, status in enumerate(statuses)
        ],
    )
    (row,) = rows_of(events, "triggers")
    assert (row["evaluated"], row["triggered"], row["errors"], row["not_run"], row["undecided"]) == (2, 1, 1, 1, 1)
    assert row["trigger_rate"]["estimate"] == 0.5
    coverage = run_report(events, "triggers", Query()).coverage
    # Of a hit nobody knows how many checks were due.
    assert (coverage["checks"], coverage["evaluated_share"]) == (6, 0.4)


def test_the_model_is_the_filter_logs_else_the_turns(events: EventStore) -> None:
    add(
        events,
        turns=[{"request_id": "a", "model": "of turn"}, {"request_id": "b", "model": "of turn"}],
        checks=[
            {"request_id": "a", "triggered": True},
            {"request_id": "b", "triggered": False, "model": "of check"},
            {"request_id": "unknown", "triggered": False},
        ],
    )
    rows = rows_of(events, "triggers", replace(ALL, by=("model",)))
    assert {row["model"]: row["evaluated"] for row in rows} == {"of turn": 1, "of check": 1, None: 1}


def test_the_funnel_counts_distinct_turns_in_cascade_order(events: EventStore) -> None:
    block = {"triggered": True, "decision": "block", "enforced": True}
    passed = {"triggered": False, "decision": "allow"}
    add(
        events,
        checks=[
            {"request_id": "a", "layer": "keyword", **block},
            {"request_id": "a", "layer": "keyword", "filter_name": "second", **block},
            {"request_id": "b", "layer": "keyword", **passed},
            {"request_id": "b", "layer": "classifier", "triggered": True, "decision": "flag", "enforced": True},
            {"request_id": "b", "layer": "own layer", **block},
            {"request_id": "c", "layer": "keyword", **passed},
            {"request_id": "c", "layer": "classifier", "status": "error"},
            {"request_id": "d", "layer": "classifier", "status": "not_run"},
            {"request_id": "c", "layer": "guard_llm", "mode": "shadow", **block},
            {"request_id": "c", "layer": None, **passed},
        ],
    )
    counts = [tuple(row.values()) for row in rows_of(events, "funnel")]
    assert counts == [
        ("keyword", 3, 1, 1, 1),
        ("classifier", 2, 1, 0, 0),
        ("own layer", 1, 1, 1, 0),
        (None, 1, 0, 0, 0),
    ]
    assert [row["layer"] for row in rows_of(events, "funnel", replace(ALL, filters=(("mode", "shadow"),)))] == [
        "guard_llm"
    ]
    first = replace(ALL, layers=("own layer", "classifier", "keyword"))
    assert [row["layer"] for row in rows_of(events, "funnel", first)] == ["own layer", "classifier", "keyword", None]


def test_a_catch_is_unique_among_all_layers_whatever_is_filtered(events: EventStore) -> None:
    hit = {"triggered": True, "enforced": True, "decision": "block"}
    add(
        events,
        checks=[
            {"request_id": "a", "layer": "keyword", "stage": "input", **hit},
            {"request_id": "a", "layer": "classifier", "stage": "output", **hit},
            {"request_id": "b", "layer": "keyword", "stage": "input", **hit},
        ],
    )
    for query in (replace(ALL, filters=(("layer", "keyword"),)), replace(ALL, filters=(("stage", "input"),))):
        (row,) = rows_of(events, "funnel", query)
        assert (row["triggered"], row["unique_catches"]) == (2, 1)
    rows = rows_of(events, "funnel", replace(ALL, by=("stage",)))
    assert {(row["stage"], row["layer"]): row["unique_catches"] for row in rows} == {
        ("input", "keyword"): 1,
        ("output", "classifier"): 0,
    }


def test_more_layers_than_bits_are_counted_as_other(events: EventStore) -> None:
    add(events, checks=[{"request_id": "r", "layer": f"layer {n:03}", "triggered": True} for n in range(100)])
    rows = rows_of(events, "funnel")
    assert len(rows) == 61
    assert rows[-1] == {"layer": "other", "reached": 1, "triggered": 1, "stopped": 0, "unique_catches": 0}


def test_escalations_by_outcome_or_by_an_enforced_check(events: EventStore) -> None:
    escalate = {"decision": "escalate", "triggered": True}
    add(
        events,
        turns=[
            {"request_id": "outcome", "outcome": "human_escalation", "app": "tutor"},
            {"request_id": "check", "app": "tutor"},
            {"request_id": "both", "outcome": "human_escalation", "app": "chat"},
            {"request_id": "shadow", "outcome": "pass", "app": "chat"},
        ],
        checks=[
            {"request_id": "check", "enforced": True, **escalate},
            {"request_id": "both", "enforced": True, **escalate},
            {"request_id": "shadow", "enforced": False, "mode": "shadow", **escalate},
        ],
        labels=[{"request_id": "both", "harmful": True, "category": "hate"}],
    )
    rows = rows_of(events, "escalations", replace(ALL, by=("app",)))
    assert [(row["app"], row["turns"], row["escalated"]) for row in rows] == [("chat", 2, 1), ("tutor", 2, 2)]
    rows = rows_of(events, "escalations", replace(ALL, by=("category",)))
    assert [(row["category"], row["escalated"]) for row in rows] == [("hate", 1), (None, 2)]
    (row,) = rows_of(events, "escalations", replace(ALL, filters=(("category", "hate"),)))
    assert (row["turns"], row["escalation_rate"]["estimate"], row["median_ack_s"]) == (1, 1.0, None)


def test_outcomes_share_their_group(events: EventStore) -> None:
    ends = [("en", "pass"), ("en", "pass"), ("en", "refusal"), ("de", None)]
    add(
        events,
        turns=[{"request_id": str(n), "language": tag, "outcome": end} for n, (tag, end) in enumerate(ends)],
    )
    rows = rows_of(events, "outcomes", replace(ALL, by=("language",)))
    assert [(row["language"], row["outcome"], row["turns"], row["share"]["denominator"]) for row in rows] == [
        ("de", None, 1, 1),
        ("en", "pass", 2, 3),
        ("en", "refusal", 1, 3),
    ]


def test_a_store_of_an_earlier_version_is_counted_once(events: EventStore) -> None:
    add(
        events,
        turns=[{"request_id": name, "outcome": name} for name in ("pass", "refusal", "human_escalation")],
        checks=[
            {"request_id": name, "decision": "escalate", "enforced": name == "pass"} for name in ("pass", "refusal")
        ],
    )

    def age(connection: Connection) -> None:
        connection.execute("DELETE FROM properties WHERE name = 'escalated_counted'")
        connection.execute("ALTER TABLE turns DROP COLUMN is_escalated")
        connection.execute("ALTER TABLE turn_rollup DROP COLUMN escalated")

    events.write(age)
    for _ in range(2):
        create_tables(events)
        assert [(row["turns"], row["escalated"]) for row in rows_of(events, "escalations")] == [(3, 2)]
        exact = replace(ALL, since=START - timedelta(microseconds=1))  # which the rollups cannot answer
        assert [(row["turns"], row["escalated"]) for row in rows_of(events, "escalations", exact)] == [(3, 2)]


def test_harm_reached_the_user_when_nothing_stopped_it(events: EventStore) -> None:
    outcomes = ["pass", "modified", None, "refusal", "safe_completion", "human_escalation", "error"]
    add(
        events,
        turns=[{"request_id": str(n), "outcome": outcome} for n, outcome in enumerate([*outcomes, "pass"])],
        labels=[{"request_id": str(n), "harmful": n < 7, "inclusion_probability": 1.0} for n in range(8)],
    )
    (row,) = rows_of(events, "prevalence")
    assert (row["harm_prevalence"]["numerator"], row["reached_user_prevalence"]["numerator"]) == (7, 3)
    assert row["reviewed"] == 8


@on_one_store
@given(turns=st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=30))
def test_a_census_is_the_plain_confusion_matrix(events: EventStore, turns: list[tuple[bool, bool]]) -> None:
    clear(events)
    add(
        events,
        turns=[{"request_id": str(n)} for n in range(len(turns))],
        checks=[{"request_id": str(n), "triggered": fired} for n, (fired, _) in enumerate(turns)],
        labels=[
            {"request_id": str(n), "harmful": harm, "inclusion_probability": 1.0} for n, (_, harm) in enumerate(turns)
        ],
    )
    (row,) = rows_of(events, "errors")
    tp, fp, fn, tn = (turns.count(cell) for cell in ((True, True), (True, False), (False, True), (False, False)))
    assert (row["reviewed"], row["tp"], row["fp"], row["fn"], row["tn"]) == (len(turns), tp, fp, fn, tn)
    plain = {
        "agreement": (tp + tn, len(turns)),
        "wrong_block_share": (fp, tp + fp),
        "benign_blocked_rate": (fp, fp + tn),
        "missed_harm_rate": (fn, tp + fn),
        "precision": (tp, tp + fp),
        "recall": (tp, tp + fn),
        "f1": (2 * tp, 2 * tp + fp + fn),
    }
    for name, (numerator, denominator) in plain.items():
        rate = row[name]
        assert (rate["numerator"], rate["denominator"], rate["method"]) == (numerator, denominator, "wilson")
        if denominator:
            assert rate["estimate"] == pytest.approx(numerator / denominator, abs=1e-15)
        else:
            assert rate["estimate"] is None


def test_a_turn_is_triggered_when_any_decided_check_of_it_is(events: EventStore) -> None:
    add(
        events,
        checks=[
            {"request_id": "a", "filter_name": "f", "triggered": False},
            {"request_id": "a", "filter_name": "g", "triggered": True},
            {"request_id": "b", "filter_name": "f", "triggered": False},
            {"request_id": "b", "filter_name": "g", "status": "error"},
            {"request_id": "c", "filter_name": "g", "status": "error"},
        ],
        labels=[{"request_id": turn, "harmful": True, "inclusion_probability": 1.0} for turn in "abc"],
    )
    (row,) = rows_of(events, "errors")
    assert (row["reviewed"], row["tp"], row["fn"]) == (2, 1, 1)
    by_filter = {row["filter_name"]: row for row in rows_of(events, "errors", replace(ALL, by=("filter_name",)))}
    assert (by_filter["f"]["fn"], by_filter["g"]["tp"], by_filter["g"]["reviewed"]) == (2, 1, 1)


def test_reviews_outside_a_sample_are_noted_and_left_out(events: EventStore) -> None:
    add(
        events,
        turns=[{"request_id": "a"}, {"request_id": "b"}],
        checks=[{"request_id": "a", "triggered": True}, {"request_id": "b", "triggered": True}],
        labels=[
            {"request_id": "a", "harmful": False, "inclusion_probability": 1.0},
            {"request_id": "b", "harmful": False, "selection": "priority"},
        ],
    )
    for name in ("errors", "prevalence"):
        result = run_report(events, name, ALL)
        assert result.rows["reviewed"].to_list() == [1]
        assert result.notes[0].startswith("1 reviewed outside a probability sample")


def test_a_verdict_about_the_filter_goes_before_one_about_the_turn(events: EventStore) -> None:
    certain = {"request_id": "a", "inclusion_probability": 1.0}
    add(
        events,
        checks=[{"request_id": "a", "filter_name": name, "triggered": True} for name in "fg"],
        labels=[{**certain, "harmful": True}, {**certain, "harmful": False, "filter_name": "f"}],
    )
    by_filter = rows_of(events, "errors", replace(ALL, by=("filter_name",)))
    assert [(row["filter_name"], row["tp"], row["fp"]) for row in by_filter] == [("f", 0, 1), ("g", 1, 0)]
    assert [row["fp"] for row in rows_of(events, "errors", replace(ALL, filters=(("filter_name", "f"),)))] == [1]
    assert [row["tp"] for row in rows_of(events, "errors")] == [1]


def test_missed_harm_keeps_room_for_what_a_small_sample_cannot_see(events: EventStore) -> None:
    turns = [(f"t{n}", True, n % 2 == 0, 1.0) for n in range(100)] + [(f"p{n}", False, False, 0.01) for n in range(50)]
    add(
        events,
        turns=[{"request_id": turn, "conversation_id": turn} for turn, *_ in turns],
        checks=[{"request_id": turn, "triggered": fired} for turn, fired, *_ in turns],
        labels=[
            {"request_id": turn, "harmful": harm, "inclusion_probability": pi, "stratum": turn[0]}
            for turn, _, harm, pi in turns
        ],
    )
    (row,) = rows_of(events, "errors")
    missed = row["missed_harm_rate"]
    # 50 harmful turns were caught; of 5,000 passed ones 50 were seen, none harmful: up to 7 % of them may be.
    assert (missed["estimate"], missed["low"]) == (0, 0)
    assert missed["high"] == pytest.approx(350 / 400, abs=0.05)
    assert row["wrong_block_share"]["method"] == "wilson"
    assert (row["reviewed"], row["tp"], row["tn"]) == (150, 50, 5000)


def test_without_reviewed_passes_missed_harm_is_unknown(events: EventStore) -> None:
    turns = [f"t{n}" for n in range(20)]
    add(
        events,
        checks=[{"request_id": turn, "triggered": True} for turn in turns],
        labels=[{"request_id": turn, "harmful": True, "inclusion_probability": 0.5, "stratum": "t"} for turn in turns],
    )
    (row,) = rows_of(events, "errors")
    assert row["missed_harm_rate"]["estimate"] is None
    assert row["precision"]["estimate"] == 1


def test_average_precision_is_the_step_sum() -> None:
    scores, harmful = np.array([0.9, 0.8, 0.7, 0.6]), np.array([1.0, 0.0, 1.0, 0.0])
    assert average_precision(scores, harmful, np.ones(4)) == pytest.approx((1 + 2 / 3) / 2)
    assert average_precision(np.full(4, 0.5), harmful, np.ones(4)) == pytest.approx(0.5)
    assert average_precision(scores, harmful, np.array([1.0, 3.0, 1.0, 1.0])) == pytest.approx((1 + 2 / 5) / 2)


def test_average_precision_needs_every_score_on_one_scale(events: EventStore) -> None:
    def store(scores: list[float | None], version: str) -> float | None:
        clear(events)
        add(
            events,
            checks=[
                {"request_id": str(n), "triggered": True, "score": score, "filter_version": version if n else "1"}
                for n, score in enumerate(scores)
            ],
            labels=[
                {"request_id": str(n), "harmful": n % 2 == 0, "inclusion_probability": 1.0} for n in range(len(scores))
            ],
        )
        value: float | None = rows_of(events, "errors")[0]["average_precision"]
        return value

    assert store([0.9, 0.8, 0.7, 0.6], "1") == pytest.approx((1 + 2 / 3) / 2)
    assert store([0.9, None, 0.7, 0.6], "1") is None
    assert store([0.9, 0.8, 0.7, 0.6], "2") is None


def test_latency_quantiles(events: EventStore) -> None:
    add(
        events,
        checks=[{"request_id": str(n), "latency_ms": float(n), "status": "ok"} for n in range(101)]
        + [{"request_id": "x", "status": "error"}],
    )
    (row,) = rows_of(events, "latency")
    assert (row["p50_ms"], row["p95_ms"], row["p99_ms"], row["errors"], row["measured"]) == (50, 95, 99, 1, 101)


def test_rejected_counts_open_records_of_the_windows_ingests(events: EventStore) -> None:
    add(
        events,
        checks=[{"request_id": "a", "triggered": True}],
        quarantine=[{"reason": "bad"}, {"reason": "bad", "state": "resolved"}],
    )
    hour = timedelta(hours=1)
    assert run_report(events, "triggers", Query()).coverage["rejected"] == 1
    assert run_report(events, "triggers", Query(since=START, until=START + hour)).coverage["rejected"] == 1
    assert run_report(events, "triggers", Query(since=START + hour)).coverage["rejected"] == 0
    assert run_report(events, "triggers", Query(until=START)).coverage["rejected"] == 0


def test_orphans_are_counted(events: EventStore) -> None:
    add(events, turns=[{"request_id": "a"}, {"request_id": "b", "is_logged": False}])
    coverage = run_report(events, "outcomes", Query()).coverage
    assert (coverage["turns"], coverage["orphans"]) == (2, 1)


@pytest.mark.parametrize("apart", [timedelta(hours=-40), timedelta(hours=40)])
def test_a_turn_is_known_to_checks_that_ran_on_another_day(events: EventStore, apart: timedelta) -> None:
    add(
        events,
        turns=[{"request_id": "r", "ts": START + apart, "app": "shop"}],
        checks=[{"request_id": "r", "ts": START, "filter_name": "f", "triggered": True}],
    )
    moment = {"since": START, "until": START + timedelta(minutes=1)}
    checked = run_report(events, "triggers", Query(**moment, filters=(("app", "shop"),))).rows
    assert checked["evaluated"].to_list() == [1]
    turn = {name: at + apart for name, at in moment.items()}
    assert run_report(events, "outcomes", Query(**turn, filters=(("app", "shop"),))).rows["turns"].to_list() == [1]
    asked = Query(**turn, filters=(("filter_name", "f"),))
    assert run_report(events, "escalations", asked).rows["turns"].to_list() == [1]
