"""Figures of the reports that compare: thresholds, shadow, experiment, agreement, transparency."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import krippendorff
import numpy as np
import pytest
from canonical_rows import START, add
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.contingency_tables import mcnemar

from core.errors import UsageError
from core.events import EventStore
from core.settings import Settings
from ingest.load import load_records
from metrics import REPORTS
from metrics.estimate import MIN_CELL
from metrics.experiment import sequence_factor
from metrics.query import Query
from metrics.run import run_report

ALL = Query(min_sample=1)


def rows_of(events: EventStore, name: str, query: Query = ALL) -> list[dict[str, Any]]:
    return REPORTS[name].compute(events.backend(), query).to_dicts()


def fill_scores(events: EventStore, scores: list[float], harmful: list[bool], version: str = "1") -> None:
    names = [f"{version}-{number}" for number in range(len(scores))]
    add(
        events,
        turns=[{"request_id": name, "ts": START} for name in names],
        checks=[
            {"request_id": name, "score": score, "triggered": score >= 0.5, "filter_version": version}
            for name, score in zip(names, scores, strict=True)
        ],
        labels=[
            {"request_id": name, "harmful": is_harmful, "inclusion_probability": 1.0}
            for name, is_harmful in zip(names, harmful, strict=True)
        ],
    )


def test_thresholds_are_the_confusion_matrix_at_each_score(events: EventStore) -> None:
    scores, harmful = [0.1, 0.4, 0.5, 0.8, 0.8, 0.9], [False, False, True, False, True, True]
    fill_scores(events, scores, harmful)
    add(events, turns=[{"request_id": "stopped earlier", "ts": START}], ingest_id=2)
    rows = rows_of(events, "thresholds")
    assert [row["threshold"] for row in rows] == [0.1, 0.4, 0.5, 0.8, 0.9]
    for row in rows:
        fired = [score >= row["threshold"] for score in scores]
        caught = sum(f and h for f, h in zip(fired, harmful, strict=True))
        assert row["triggers"] == sum(fired)
        assert row["precision"]["estimate"] == pytest.approx(caught / sum(fired))
        assert row["recall"]["estimate"] == pytest.approx(caught / 3)
        assert row["benign_blocked_rate"]["estimate"] == pytest.approx((sum(fired) - caught) / 3)
        assert row["unknown"] == 1
    (errors,) = rows_of(events, "errors")
    (logged,) = [row for row in rows if row["threshold"] == 0.5]
    assert [logged[name] for name in ("precision", "recall")] == [errors[name] for name in ("precision", "recall")]


@settings(deadline=None, max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.floats(0, 1, allow_subnormal=False), min_size=60, max_size=200))
def test_triggers_on_a_grid_are_counts(events: EventStore, scores: list[float]) -> None:
    for table in ("turns", "checks", "labels", "check_rollup", "turn_rollup", "ingests"):
        events.write(lambda connection, name=table: connection.execute(f"DELETE FROM {name}"))
    events.forget()
    fill_scores(events, scores, [False] * len(scores))
    for row in rows_of(events, "thresholds"):
        assert row["triggers"] == sum(score >= row["threshold"] for score in scores)


def test_scores_of_two_versions_share_no_threshold(events: EventStore) -> None:
    fill_scores(events, [0.2, 0.7], [False, True])
    fill_scores(events, [0.3], [True], version="2")
    with pytest.raises(UsageError, match="threshold"):
        rows_of(events, "thresholds")
    rows = rows_of(events, "thresholds", Query(by=("filter_version",), min_sample=1))
    assert [(row["filter_version"], row["triggers"]) for row in rows] == [("1", 2), ("1", 1), ("2", 1)]


def fill_pairs(events: EventStore, cells: dict[tuple[bool, bool], int], harmful: bool | None = None) -> int:
    """Turns by what reference and candidate said; disagreements judged alike."""
    checks, labels, number = [], [], 0
    for (first, second), many in cells.items():
        for _ in range(many):
            name, number = f"r{number}", number + 1
            common = {"request_id": name, "filter_name": "guard"}
            checks.append({**common, "filter_version": "1", "triggered": first})
            checks.append({**common, "filter_version": "2", "triggered": second, "mode": "shadow"})
            if harmful is not None and first != second:
                labels.append({"request_id": name, "harmful": harmful, "inclusion_probability": 1.0})
    add(events, turns=[{"request_id": f"r{place}"} for place in range(number)], checks=checks, labels=labels)
    return number


def test_shadow_is_the_paired_table_with_mcnemar(events: EventStore) -> None:
    fill_pairs(events, {(True, True): 20, (True, False): 15, (False, True): 4, (False, False): 61}, harmful=False)
    add(
        events,
        checks=[{"request_id": "alone", "filter_name": "guard", "filter_version": "1", "triggered": True}],
        ingest_id=2,
    )
    (row,) = rows_of(events, "shadow")
    assert (row["reference"], row["candidate"]) == ("guard@1", "guard@2")
    assert [row[name] for name in ("pairs", "both", "only_reference", "only_candidate", "neither", "unpaired")] == [
        *(100, 20, 15, 4, 61, 1)
    ]
    assert row["p_value"] == pytest.approx(mcnemar([[20, 15], [4, 61]], exact=True).pvalue)
    assert row["difference"]["estimate"] == pytest.approx(-0.11)
    # The candidate passed 15 benign turns that the reference stopped, and stopped 4 others.
    assert row["candidate_right"]["estimate"] == pytest.approx(15 / 19)
    assert row["verdict"] == "promote"


@pytest.mark.parametrize(("harmful", "verdict"), [(True, "reject"), (None, "hold")])
def test_shadow_s_verdict_follows_people(events: EventStore, harmful: bool | None, verdict: str) -> None:
    fill_pairs(events, {(True, False): 15, (False, True): 2, (False, False): 10}, harmful=harmful)
    assert rows_of(events, "shadow")[0]["verdict"] == verdict


def test_any_two_can_be_named_and_modes_are_no_filter(events: EventStore) -> None:
    fill_pairs(events, {(True, False): 3, (False, False): 1})
    (row,) = rows_of(events, "shadow", Query(pair=("guard@2", "guard@1")))
    assert (row["reference"], row["only_candidate"]) == ("guard@2", 3)
    with pytest.raises(UsageError, match="names its two sides"):
        rows_of(events, "shadow", Query(filters=(("mode", "shadow"),)))


def fill_arms(events: EventStore, arms: dict[str, list[list[bool]]]) -> None:
    """Conversations by arm; each is a list of turns, true where the cascade intervened."""
    add(
        events,
        turns=[
            {
                "request_id": f"{arm}-{place}-{turn}",
                "conversation_id": f"{arm}-{place}",
                "experiment": "softer rules",
                "arm": arm,
                "outcome": "refusal" if is_stopped else "pass",
            }
            for arm, conversations in arms.items()
            for place, conversation in enumerate(conversations)
            for turn, is_stopped in enumerate(conversation)
        ],
    )


def test_experiment_counts_conversations_not_turns(events: EventStore) -> None:
    control = [[True] * 4] * 10 + [[False] * 4] * 30
    treated = [[False] * 4] * 40
    fill_arms(events, {"control": control, "treated": treated})
    first, second = rows_of(events, "experiment")
    assert (first["arm"], first["turns"], first["conversations"], first["intervened"]) == ("control", 160, 40, 40)
    assert first["sequential_low"] is None
    assert second["difference"]["estimate"] == pytest.approx(-0.25)
    # Whole conversations: the standard error is that of 40 draws, not of 160.
    error = math.sqrt(0.25 * 0.75 / 39)
    assert second["difference"]["low"] == pytest.approx(-0.25 - 1.959964 * error, abs=1e-4)
    assert second["sequential_low"] < second["difference"]["low"]
    assert second["srm_p_value"] == 1


def test_uneven_arms_are_said_to_say_nothing(events: EventStore) -> None:
    fill_arms(events, {"a": [[False]] * 200, "b": [[False]] * 100})
    result = run_report(events, "experiment", ALL)
    assert result.rows["srm_p_value"][0] < 0.001
    assert "softer rules" in " ".join(result.notes)


def test_the_sequence_holds_however_often_one_looks() -> None:
    generator = np.random.default_rng(3)
    looks = np.arange(50, 3001, 50)
    factors = np.array([sequence_factor(int(many), confidence=0.95) for many in looks])
    sums = generator.standard_normal((2000, looks[-1])).cumsum(axis=1)[:, looks - 1]
    ever_outside = (np.abs(sums / np.sqrt(looks)) > factors).any(axis=1).mean()
    fixed_outside = (np.abs(sums / np.sqrt(looks)) > 1.96).any(axis=1).mean()
    assert ever_outside <= 0.05
    assert fixed_outside > 0.2


def test_agreement_by_hand(events: EventStore) -> None:
    votes = [("a", "ann", True), ("a", "bob", True), ("b", "ann", True), ("b", "bob", False), ("c", "ann", False)]
    add(
        events,
        turns=[{"request_id": name} for name in "abc"],
        labels=[{"request_id": name, "reviewer": who, "harmful": value} for name, who, value in votes]
        + [{"request_id": "c", "reviewer": "bob", "harmful": None}, {"request_id": "lost", "harmful": True}],
    )
    (row,) = rows_of(events, "agreement")
    assert (row["votes"], row["items"], row["raters"]) == (5, 2, 2)
    assert row["percent_agreement"]["numerator"] == 1
    assert [(person["reviewer"], person["items"]) for person in row["by_reviewer"]] == [("ann", 2), ("bob", 2)]
    assert run_report(events, "agreement", ALL).notes == ["1 votes are about turns that no log has: left out."]
    with pytest.raises(UsageError, match="Agreement"):
        rows_of(events, "agreement", Query(field="note"))


def test_agreement_within_groups_of_reviewers_names_nobody(events: EventStore) -> None:
    people = [f"p{number}" for number in range(MIN_CELL + 1)]
    votes = [(f"r{turn}", who, turn % 2 == 0) for turn in range(8) for who in people]
    votes += [(f"r{turn}", "stranger", turn % 2 == 1) for turn in range(8)]
    add(
        events,
        turns=[{"request_id": f"r{turn}"} for turn in range(8)],
        # One of the many shares no turn with others of the group.
        labels=[{"request_id": name, "reviewer": who, "harmful": value} for name, who, value in votes],
    )
    groups = (("cy", tuple(people[:-1])), ("en", (*people, "stranger")), ("fr", (*people[:-2], "absent")))
    rows = rows_of(events, "agreement", Query(groups=groups))
    assert [(row["reviewer_group"], row["raters"], row["items"]) for row in rows] == [("cy", 5, 8), ("en", 7, 8)]
    assert rows[0]["krippendorff_alpha"]["estimate"] == 1
    assert rows[1]["krippendorff_alpha"]["estimate"] < 1
    assert all(row["by_reviewer"] is None and row["by_pair"] is None for row in rows)
    assert rows_of(events, "agreement", Query(groups=groups[2:])) == []


def test_agreement_by_value_and_by_pair(events: EventStore) -> None:
    votes = {"ann": "hhhhhppppvvv", "bob": "hhhhhppphvvv", "cy": "hhhhhhpppvvv"}
    names = {"h": "hate", "p": "privacy", "v": "violence"}
    add(
        events,
        turns=[{"request_id": f"r{turn}"} for turn in range(12)],
        labels=[
            {"request_id": f"r{turn}", "reviewer": who, "harmful": True, "category": names[letter]}
            for who, letters in votes.items()
            for turn, letter in enumerate(letters)
        ],
    )
    (row,) = rows_of(events, "agreement", Query(field="category", min_sample=3))
    found = {value["value"]: value for value in row["by_value"]}
    assert {name: (value["agreement"]["numerator"], value["items"]) for name, value in found.items()} == {
        "hate": (5, 7),
        "privacy": (2, 4),
        "violence": (3, 3),
    }
    against = np.array([[sum(letters[turn] == "h" for letters in votes.values())] for turn in range(12)])
    expected = krippendorff.alpha(value_counts=np.hstack([against, 3 - against]), level_of_measurement="nominal")
    assert found["hate"]["krippendorff_alpha"]["estimate"] == pytest.approx(expected)
    assert found["violence"]["gwet_ac1"]["estimate"] == 1
    kappas = {
        (first, second): cohen_kappa_score(list(votes[first]), list(votes[second]))
        for first, second in combinations(votes, 2)
    }
    assert {(pair["first"], pair["second"]): pair["kappa"]["estimate"] for pair in row["by_pair"]} == pytest.approx(
        kappas
    )
    assert row["pairwise_kappa"]["estimate"] == pytest.approx(sum(kappas.values()) / 3)
    assert row["cohen_kappa"] is None


def test_a_word_that_no_hazard_has_is_one_row_whoever_said_it(events: EventStore) -> None:
    moment = "2026-03-02T09:00:00Z"
    check = {"ts": moment, "filter_name": "f", "triggered": True, "decision": "block", "enforced": True}
    records = {
        "model_log": [{"ts": moment, "request_id": name, "prompt": "p"} for name in ("a", "b")],
        "filter_log": [
            {**check, "request_id": "a", "category": "brand_safety"},
            {**check, "request_id": "b", "category": "Hate"},
        ],
        "label_log": [
            {"ts": moment, "request_id": "a", "reviewer": "ann", "harmful": True, "category": "brand_safety"},
            {"ts": moment, "request_id": "b", "reviewer": "ann", "harmful": True, "category": "hate"},
        ],
    }
    for key, rows in records.items():
        load_records(events, key, rows, source="test", settings=Settings())
    found = {row["category"]: row for row in rows_of(events, "transparency")}
    assert {name: (row["automated_actions"], row["human_actions"]) for name, row in found.items()} == {
        "hate": (1, 1),
        "unmapped:brand_safety": (1, 1),
    }


def test_transparency_by_hand(events: EventStore) -> None:
    add(
        events,
        turns=[{"request_id": name} for name in "abcde"],
        checks=[
            {"request_id": "a", "category": "hate", "triggered": True, "enforced": True, "decision": "block"},
            {"request_id": "b", "category": "hate", "triggered": True, "enforced": True, "decision": "block"},
            {"request_id": "c", "category": "hate", "triggered": True, "mode": "shadow"},
        ],
        labels=[
            {"request_id": "a", "harmful": True, "category": "hate", "inclusion_probability": 1.0},
            {"request_id": "b", "harmful": False, "category": "hate", "inclusion_probability": 1.0},
            {"request_id": "c", "harmful": False, "inclusion_probability": 1.0},
            {"request_id": "d", "harmful": False, "inclusion_probability": 1.0},
            {"request_id": "e", "harmful": True, "category": "hate", "inclusion_probability": 1.0},
            {"request_id": "a", "reviewer": "u1", "harmful": None, "selection": "appeal"},
            {"request_id": "b", "reviewer": "u2", "harmful": None, "selection": "appeal"},
            {"request_id": "d", "reviewer": "u3", "harmful": True, "selection": "user_report", "category": "hate"},
        ],
    )
    rows = {row["category"]: row for row in rows_of(events, "transparency")}
    hate = rows["hate"]
    counted = ("turns", "automated_actions", "human_actions", "user_reports", "appeals", "appeals_upheld")
    assert [hate[name] for name in counted] == [2, 2, 3, 1, 2, 1]
    assert hate["appeals_overturned"] == 1
    assert hate["wrong_block_share"]["estimate"] == 0.5
    assert (hate["prevalence"]["numerator"], hate["prevalence"]["denominator"]) == (2, 5)
    assert (hate["missed_harm_rate"]["numerator"], hate["missed_harm_rate"]["denominator"]) == (1, 2)
    assert rows[None]["human_actions"] == 2
