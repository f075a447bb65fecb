"""The effective verdict from votes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import polars as pl
from canonical_rows import START, add
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.events import EventStore
from metrics.consensus import consensus


def judge(events: EventStore, *votes: dict[str, Any]) -> list[dict[str, Any]]:
    """Consensus rows of these votes, each a second after the one before."""
    add(
        events, labels=[{"request_id": "r", "ts": START + timedelta(seconds=n), **vote} for n, vote in enumerate(votes)]
    )
    table = consensus(events.backend()).order_by(["request_id", "filter_name"])
    rows: pl.DataFrame = events.backend().to_polars(table)
    return rows.to_dicts()


def test_the_majority_of_those_who_decided(events: EventStore) -> None:
    (row,) = judge(
        events,
        {"reviewer": "a", "harmful": True},
        {"reviewer": "b", "harmful": True},
        {"reviewer": "c", "harmful": False},
        {"reviewer": "d", "harmful": None},
    )
    assert row["harmful"] is True
    assert (row["votes"], row["harmful_votes"], row["benign_votes"], row["unsure_votes"]) == (4, 2, 1, 1)
    assert row["is_contested"] is True


def test_a_tie_and_doubt_leave_it_open(events: EventStore) -> None:
    tie, doubt = judge(
        events,
        {"reviewer": "a", "harmful": True},
        {"reviewer": "b", "harmful": False},
        {"reviewer": "a", "harmful": None, "request_id": "s"},
    )
    assert (tie["harmful"], tie["is_contested"]) == (None, True)
    assert (doubt["harmful"], doubt["is_contested"]) == (None, False)


def test_a_reviewers_latest_vote_counts(events: EventStore) -> None:
    (row,) = judge(events, {"reviewer": "a", "harmful": True}, {"reviewer": "a", "harmful": False})
    assert (row["harmful"], row["votes"]) == (False, 1)
    assert row["last_label_at"] == START + timedelta(seconds=1)


def test_a_withdrawn_vote_is_gone(events: EventStore) -> None:
    rows = judge(
        events,
        {"reviewer": "a", "harmful": True},
        {"reviewer": "b", "harmful": False},
        {"reviewer": "a", "harmful": None, "reason": "withdrawn"},
        {"reviewer": "a", "harmful": True, "request_id": "only"},
        {"reviewer": "a", "harmful": None, "reason": "withdrawn", "request_id": "only"},
    )
    assert [(row["request_id"], row["harmful"], row["votes"]) for row in rows] == [("r", False, 1)]


def test_claims_are_not_votes(events: EventStore) -> None:
    (row,) = judge(
        events,
        {"reviewer": "a", "harmful": False},
        {"reviewer": "user-1", "harmful": True, "selection": "user_report"},
        {"reviewer": "user-2", "harmful": True, "selection": "appeal"},
        {"reviewer": "user-3", "harmful": True, "selection": "user_report", "request_id": "reported"},
    )
    assert (row["request_id"], row["harmful"], row["votes"]) == ("r", False, 1)


def test_verdicts_about_a_filter_stand_apart(events: EventStore) -> None:
    about_filter, about_turn = judge(
        events,
        {"reviewer": "a", "harmful": True},
        {"reviewer": "a", "harmful": False, "filter_name": "f"},
    )
    assert (about_filter["filter_name"], about_filter["harmful"]) == ("f", False)
    assert (about_turn["filter_name"], about_turn["harmful"]) == (None, True)


def test_category_and_severity_come_from_the_side_that_won(events: EventStore) -> None:
    (row,) = judge(
        events,
        {"reviewer": "a", "harmful": True, "category": "hate", "severity": 3},
        {"reviewer": "b", "harmful": True, "category": "privacy"},
        {"reviewer": "c", "harmful": False, "category": "none", "severity": 0},
    )
    assert (row["category"], row["severity"]) == ("privacy", 3)


def test_stratum_and_probability_come_from_one_vote(events: EventStore) -> None:
    (row,) = judge(
        events,
        {"reviewer": "a", "harmful": True, "stratum": "s", "inclusion_probability": 0.1, "selection": "sample"},
        {"reviewer": "b", "harmful": True, "inclusion_probability": 0.5, "selection": "import"},
        {"reviewer": "c", "harmful": True, "stratum": "other", "selection": "priority"},
    )
    assert (row["stratum"], row["inclusion_probability"], row["selection"]) == (None, 0.5, "import")


def test_verdicts_on_whole_conversations_are_not_about_turns(events: EventStore) -> None:
    assert judge(events, {"request_id": None, "conversation_id": "c", "harmful": True}) == []


@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    votes=st.lists(
        st.tuples(st.sampled_from("ab"), st.sampled_from("xyz"), st.sampled_from([True, False, None])), max_size=12
    )
)
def test_it_is_what_a_plain_count_says(events: EventStore, votes: list[tuple[str, str, bool | None]]) -> None:
    events.write(lambda connection: connection.execute("DELETE FROM labels"))
    events.forget()
    rows = judge(events, *({"request_id": turn, "reviewer": who, "harmful": verdict} for turn, who, verdict in votes))
    latest = {(turn, who): verdict for turn, who, verdict in votes}
    expected = {}
    for turn in {turn for turn, _ in latest}:
        verdicts = [verdict for (judged, _), verdict in latest.items() if judged == turn]
        lead = verdicts.count(True) - verdicts.count(False)
        expected[turn] = None if lead == 0 else lead > 0
    assert {row["request_id"]: row["harmful"] for row in rows} == expected
