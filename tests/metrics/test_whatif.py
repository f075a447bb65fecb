"""What a proposed exclusion or threshold would have done, counted by hand."""

from __future__ import annotations

import itertools
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import pytest
from canonical_rows import START, add

from core.errors import UsageError
from core.events import EventStore
from metrics.query import Query
from metrics.whatif import (
    LEAST_LABELLED,
    CheckVerdict,
    FilterChange,
    check_change,
    explain_check,
    list_moves,
    validate_change,
)


def fill(events: EventStore, prompts: list[tuple[str, str, bool | None]]) -> None:
    """One blocked turn per (prompt, language, verdict), a minute apart; null = not judged."""
    rows = [
        {"request_id": f"r{place}", "ts": START + timedelta(minutes=place), "conversation_id": f"c{place}"}
        for place in range(len(prompts))
    ]
    add(
        events,
        turns=[
            {**row, "prompt": text, "response": "no", "language": language, "app": "tutor"}
            for row, (text, language, _) in zip(rows, prompts, strict=True)
        ],
        checks=[
            {"ts": row["ts"], "request_id": row["request_id"], "filter_name": "list", "rule_id": "kw", "stage": "input"}
            | {"triggered": True, "enforced": True, "decision": "block"}
            for row in rows
        ],
        labels=[
            {**row, "harmful": verdict, "selection": "sample", "stratum": "all", "inclusion_probability": 1.0}
            for row, (_, _, verdict) in zip(rows, prompts, strict=True)
            if verdict is not None
        ],
    )


def test_an_exclusion_that_loses_a_true_positive_is_not_safe_and_names_it(events: EventStore) -> None:
    fill(events, [("Shoot a photo", "en", False)] * 40 + [("I will SHOOT him", "en", True), ("kill", "en", True)])
    found = check_change(events, FilterChange("list", "kw", phrases=("shoot",)))
    assert found.verdict is CheckVerdict.LOSES_TRUE_POSITIVES
    assert (found.triggered, found.spared, found.labelled) == (42, 41, 41)
    assert (found.wrong_blocks_removed, found.true_positives_lost, found.lost) == (40, 1, ("r40",))
    assert found.wrong_share["estimate"] == pytest.approx(40 / 41)
    assert "1 labelled true positive would be lost" in explain_check(asdict(found))


def test_safe_needs_enough_labels(events: EventStore) -> None:
    few = [("a photo", "en", False)] * (LEAST_LABELLED - 1) + [("a photo", "en", None)] * 5
    fill(events, few)
    change = FilterChange("list", "kw", phrases=("photo",))
    assert check_change(events, change).verdict is CheckVerdict.TOO_FEW_LABELS
    label = {"request_id": f"r{len(few) - 1}", "harmful": False, "reviewer": "bob"}
    add(events, labels=[label], ingest_id=2)
    found = check_change(events, change)
    assert (found.verdict, found.labelled, found.spared) == (CheckVerdict.SAFE, LEAST_LABELLED, len(few))
    # A verdict that was not drawn counts for safety, and stays out of the estimate.
    assert found.wrong_share["n"] == LEAST_LABELLED - 1


def test_all_conditions_of_an_exclusion_must_hold_and_values_of_one_are_alternatives(events: EventStore) -> None:
    fill(events, [("photo", "en", False), ("photo", "de", False), ("film", "en", False), ("kill", "en", False)])
    change = FilterChange("list", "kw", phrases=("photo", "film"), languages=("en",), apps=("tutor",))
    assert check_change(events, change).spared == 2
    assert check_change(events, FilterChange("list", "kw", apps=("shop",))).verdict is CheckVerdict.NO_EFFECT
    assert check_change(events, FilterChange("list", "other", phrases=("photo",))).triggered == 0


def test_a_phrase_is_literal(events: EventStore) -> None:
    fill(events, [("100% photo", "en", False), ("100 photo", "en", False), ("a.b", "en", False), ("axb", "en", False)])
    for phrase, spared in (("0%", 1), ("%", 1), ("_", 0), ("a.b", 1), ("PHOTO", 2)):
        assert check_change(events, FilterChange("list", "kw", phrases=(phrase,))).spared == spared


def test_a_turn_that_another_filter_stops_is_no_wrong_block_removed(events: EventStore) -> None:
    fill(events, [("photo", "en", False), ("photo", "en", False), ("photo", "en", True)])
    other = {"filter_name": "guard", "triggered": True, "enforced": True, "decision": "block"}
    add(events, checks=[{**other, "request_id": name} for name in ("r0", "r2")], ingest_id=2)
    found = check_change(events, FilterChange("list", "kw", phrases=("photo",)))
    assert (found.wrong_blocks_removed, found.wrong_blocks_kept) == (1, 1)
    assert (found.true_positives_lost, found.caught_by_others) == (1, 1)


def test_an_exclusion_reads_the_text_that_was_checked(events: EventStore) -> None:
    add(
        events,
        turns=[{"request_id": "r", "prompt": "photo", "response": "answer"}],
        checks=[
            {"request_id": "r", "stage": "output", "filter_name": "list", "triggered": True, "enforced": True},
            {"request_id": "r", "stage": "input", "filter_name": "list", "triggered": True, "content": "inner words"},
        ],
    )
    # Both checks must be excluded, else the turn is still stopped.
    assert check_change(events, FilterChange("list", phrases=("answer",))).spared == 0
    assert check_change(events, FilterChange("list", phrases=("answer", "inner"))).spared == 1
    assert check_change(events, FilterChange("list", phrases=("answer", "photo"))).spared == 0


def test_a_threshold_moves_turns_both_ways(events: EventStore) -> None:
    scores = list(itertools.product([0.1, 0.3, 0.5, 0.7, 0.9], [True, False, False, None]))
    rows: list[dict[str, Any]] = [{"request_id": f"r{place}"} for place in range(len(scores))]
    add(
        events,
        turns=rows,
        checks=[
            {**row, "filter_name": "clf", "score": score, "threshold": 0.5, "triggered": score >= 0.5, "enforced": True}
            for row, (score, _) in zip(rows, scores, strict=True)
        ],
        labels=[
            {**row, "harmful": verdict} for row, (_, verdict) in zip(rows, scores, strict=True) if verdict is not None
        ],
    )
    for threshold in (0.0, 0.4, 0.5, 0.9, 1.0):
        found = check_change(events, FilterChange("clf", threshold=threshold))
        gone = [verdict for score, verdict in scores if 0.5 <= score < threshold]
        new = [verdict for score, verdict in scores if threshold <= score < 0.5]
        assert (found.spared, found.added) == (len(gone), len(new))
        assert (found.wrong_blocks_removed, found.true_positives_lost) == (gone.count(False), gone.count(True))
        assert (found.wrong_blocks_added, found.true_positives_gained) == (new.count(False), new.count(True))
        assert (found.verdict is CheckVerdict.SPARES_NOTHING) is bool(new and not gone)
        assert (found.verdict is CheckVerdict.NO_EFFECT) is (not new and not gone)
        moved = list_moves(events, Query(), FilterChange("clf", threshold=threshold))
        assert (moved.filter("spared").height, moved.filter(~moved["spared"]).height) == (len(gone), len(new))


def test_moves_are_listed_labelled_first_within_the_window(events: EventStore) -> None:
    fill(events, [("photo", "en", None), ("photo", "en", False), ("photo", "en", None)])
    change = FilterChange("list", "kw", phrases=("photo",))
    assert list(list_moves(events, Query(), change)["request_id"]) == ["r1", "r2", "r0"]
    assert list(list_moves(events, Query(), change, limit=2)["request_id"]) == ["r1", "r2"]
    assert list(list_moves(events, Query(since=START + timedelta(minutes=2)), change)["request_id"]) == ["r2"]


@pytest.mark.parametrize(
    "change",
    [
        FilterChange("", phrases=("a",)),
        FilterChange("f"),
        FilterChange("f", phrases=("  ",)),
        FilterChange("f", phrases=("a",) * 51),
        FilterChange("f", phrases=("a" * 201,)),
        FilterChange("f", phrases=("a",), threshold=0.5),
        FilterChange("f", "rule", threshold=0.5),
    ],
)
def test_a_change_without_meaning_is_refused(change: FilterChange) -> None:
    with pytest.raises(UsageError):
        validate_change(change)
