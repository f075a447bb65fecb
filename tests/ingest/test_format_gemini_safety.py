"""Gemini safety ratings: blocked prompts, both services, both key styles, enums as numbers."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from core.events import EventStore
from core.settings import Settings
from ingest.load import load_records

KEY = "gemini_safety"
CHECKS = "SELECT stage, triggered, decision, enforced, status FROM checks"
HARASSMENT = "HARM_CATEGORY_HARASSMENT"


def make_answer(backend: str | None = None, **response: Any) -> dict[str, Any]:
    request = {"contents": [{"role": "user", "parts": [{"text": "a "}, {"text": "question"}]}]}
    return {"timestamp": "2026-03-02T09:00:00Z", "backend": backend, "request": request, "response": response}


def make_candidate(finish: Any = "STOP", **rating: Any) -> dict[str, Any]:
    listed = {"safetyRatings": [{"category": HARASSMENT, **rating}]} if rating else {}
    return {"finishReason": finish, "index": 0, "content": {"parts": [{"text": "an answer"}]}, **listed}


@pytest.mark.parametrize(
    "response",
    [
        {
            "promptFeedback": {
                "blockReason": "SAFETY",
                "safetyRatings": [{"category": HARASSMENT, "probability": "HIGH"}],
            }
        },
        {
            "prompt_feedback": {
                "block_reason": "SAFETY",
                "safety_ratings": [{"category": HARASSMENT, "probability": "HIGH"}],
            }
        },
        {"prompt_feedback": {"block_reason": 1, "safety_ratings": [{"category": 7, "probability": 4}]}},
    ],
    ids=["rest", "sdk", "protobuf"],
)
def test_blocked_prompt__refusal_without_candidates(response: Any, events: EventStore, settings: Settings) -> None:
    load_records(events, KEY, [make_answer(**response)], source="t", settings=settings)
    assert events.read(CHECKS).rows() == [("input", True, "block", True, "ok")]
    row = events.read("SELECT category_native, category, score, score_kind FROM checks").row(0)
    assert row == (HARASSMENT, "hate", 3.0, "ordinal")
    turn = events.read("SELECT outcome, prompt, response, finish_reason FROM turns").row(0)
    assert turn == ("refusal", "a question", None, "SAFETY")


def test_block_reason_without_ratings__is_the_category(events: EventStore, settings: Settings) -> None:
    load_records(events, KEY, [make_answer(promptFeedback={"blockReason": "BLOCKLIST"})], source="t", settings=settings)
    assert events.read("SELECT category, rule_id, score FROM checks").row(0) == ("policy_specific", "BLOCKLIST", None)


@pytest.mark.parametrize(
    "finish", ["SAFETY", "RECITATION", "SPII", "BLOCKLIST", "PROHIBITED_CONTENT", "IMAGE_SAFETY", 3]
)
def test_blocking_finish_reason(finish: Any, events: EventStore, settings: Settings) -> None:
    load_records(events, KEY, [make_answer(candidates=[make_candidate(finish)])], source="t", settings=settings)
    assert events.read(CHECKS).rows() == [("output", True, "block", True, "ok")]
    assert events.read("SELECT outcome FROM turns").item() == "refusal"


def test_no_ratings_and_missing_blocked__pass(events: EventStore, settings: Settings) -> None:
    records = [
        make_answer(candidates=[make_candidate()]),
        make_answer(candidates=[make_candidate(probability="MEDIUM")]),
    ]
    load_records(events, KEY, records, source="t", settings=settings)
    assert events.read(CHECKS).rows() == [("output", False, "allow", False, "ok")] * 2
    assert events.read("SELECT DISTINCT outcome FROM turns").item() == "pass"


def test_score__vertex_only_and_zero_is_none_on_the_developer_api(events: EventStore, settings: Settings) -> None:
    rating = {"probability": "LOW", "severity": "HARM_SEVERITY_LOW"}
    records = [
        make_answer("vertex_ai", candidates=[make_candidate(probabilityScore=0.31, **rating)]),
        make_answer("gemini_api", candidates=[make_candidate(probabilityScore=0, **rating)]),
        make_answer(candidates=[make_candidate(probabilityScore=0.0, **rating)]),
    ]
    load_records(events, KEY, records, source="t", settings=settings)
    rows = events.read("SELECT score, score_kind FROM checks ORDER BY ALL").rows()
    assert rows == [(0.31, "probability"), (1.0, "ordinal"), (1.0, "ordinal")]


def test_threshold__from_the_request_or_overwritten(events: EventStore, settings: Settings) -> None:
    asked = [{"category": HARASSMENT, "threshold": "BLOCK_ONLY_HIGH"}]
    records = [
        make_answer(candidates=[make_candidate(probability="LOW")]),
        make_answer(candidates=[make_candidate(probability="LOW", overwrittenThreshold="BLOCK_LOW_AND_ABOVE")]),
    ]
    for record in records:
        record["request"]["safetySettings"] = asked
    load_records(events, KEY, records, source="t", settings=settings)
    assert events.read("SELECT threshold FROM check_scores ORDER BY 1").rows() == [(1.0,), (3.0,)]


def test_failure__never_a_pass(events: EventStore, settings: Settings) -> None:
    load_records(
        events, KEY, [make_answer(error={"code": 503, "status": "UNAVAILABLE"})], source="t", settings=settings
    )
    assert events.read(CHECKS).rows() == [("input", None, "error", False, "error")]
    assert events.read("SELECT outcome FROM turns").item() == "error"


def test_unknown_keys_are_kept(events: EventStore, settings: Settings) -> None:
    record = make_answer(candidates=[make_candidate()], region="north") | {"tenant": 7}
    load_records(events, KEY, [record], source="t", settings=settings)
    extra = events.read("SELECT extra FROM checks").item()
    assert orjson.loads(extra) == {"tenant": 7, "response": {"region": "north"}}


def test_bare_answer__its_own_time_or_refused(events: EventStore, settings: Settings) -> None:
    timed: dict[str, Any] = {"candidates": [make_candidate()], "createTime": "2026-03-02T09:00:00Z", "responseId": "r1"}
    records = [timed, {"candidates": [make_candidate()]}, make_answer(usageMetadata={})]
    summary = load_records(events, KEY, records, source="t", settings=settings)
    assert (summary.checks, summary.rejections) == (1, {"missing_field": 2})
