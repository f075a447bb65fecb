"""Anthropic messages: envelope, bare and batch results; the classifier that stops a stream."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from core.events import EventStore
from core.settings import Settings
from ingest.formats import FORMATS
from ingest.load import load_records

NAME = "anthropic_messages"
TIME = {"timestamp": "2026-03-02T09:20:00Z"}


def make_message(**changes: Any) -> dict[str, Any]:
    content = [{"type": "text", "text": "Hello."}]
    body = {"id": "msg-1", "type": "message", "role": "assistant", "model": "m-1", "content": content}
    return {**body, "stop_reason": "end_turn", **changes}


@pytest.mark.parametrize(
    ("change", "outcome", "response"),
    [
        ({}, "pass", "Hello."),
        ({"stop_reason": "max_tokens"}, "pass", "Hello."),
        ({"stop_reason": "pause_turn"}, None, "Hello."),
        ({"stop_reason": None}, None, "Hello."),
        ({"stop_reason": "refusal"}, "refusal", "Hello."),
        ({"stop_reason": "refusal", "content": []}, "refusal", None),
        (
            {
                "content": [
                    {"type": "text", "text": "a"},
                    {"type": "tool_use", "id": "t"},
                    {"type": "text", "text": "b"},
                ]
            },
            "pass",
            "a\nb",
        ),
    ],
)
def test_outcome_follows_stop_reason(
    change: dict[str, Any], outcome: str | None, response: str | None, events: EventStore, settings: Settings
) -> None:
    load_records(events, NAME, [TIME | make_message(**change)], source="t", settings=settings)
    assert events.read("SELECT outcome, response FROM turns").row(0) == (outcome, response)


@pytest.mark.parametrize(
    ("details", "native", "category"),
    [
        ({"type": "refusal", "category": "cyber", "explanation": "x"}, "cyber", "non_violent_crimes"),
        ({"type": "refusal", "category": "frontier_llm"}, "frontier_llm", "policy_specific"),
        ({"type": "refusal", "category": None}, None, None),
        (None, None, None),
    ],
)
def test_refusal__enforced_check_with_the_category_if_told(
    details: Any, native: str | None, category: str | None, events: EventStore, settings: Settings
) -> None:
    stopped = TIME | {"response": make_message(stop_reason="refusal", stop_details=details)}
    passed = TIME | {"response": make_message(id="msg-2")}
    load_records(events, NAME, [stopped, passed], source="t", settings=settings)
    columns = "request_id, triggered, decision, enforced, mode, status, category_native, category"
    assert events.read(f"SELECT {columns} FROM checks").rows() == [
        ("msg-1", True, "block", True, "enforce", "hit", native, category)
    ]


@pytest.mark.parametrize(
    ("result", "outcome", "finish"),
    [
        ({"type": "succeeded", "message": make_message()}, "pass", "end_turn"),
        ({"type": "succeeded", "message": make_message(stop_reason="refusal")}, "refusal", "refusal"),
        ({"type": "errored", "error": {"type": "error", "error": {"type": "invalid_request"}}}, "error", "errored"),
        ({"type": "expired"}, "error", "expired"),
        ({"type": "canceled"}, None, "canceled"),
    ],
)
def test_batch_result__keyed_by_custom_id(
    result: dict[str, Any], outcome: str | None, finish: str, events: EventStore, settings: Settings
) -> None:
    record = {"custom_id": "job-7", "result": result}
    assert FORMATS[NAME].sniff(record) == 1.0
    summary = load_records(events, NAME, [record, TIME | record], source="t", settings=settings)
    assert summary.rejections == {"missing_field": 1}
    assert events.read("SELECT request_id, outcome, finish_reason FROM turns").row(0) == ("job-7", outcome, finish)


def test_error_answer_is_no_pass(events: EventStore, settings: Settings) -> None:
    answer = {"type": "error", "error": {"type": "overloaded_error"}}
    load_records(events, NAME, [TIME | {"request_id": "r", "response": answer}], source="t", settings=settings)
    outcome, metadata, checks = events.read("SELECT outcome, metadata, (SELECT count(*) FROM checks) FROM turns").row(0)
    assert (outcome, orjson.loads(metadata), checks) == ("error", {"error": {"type": "overloaded_error"}}, 0)


def test_envelope_and_unknown_keys_are_kept(events: EventStore, settings: Settings) -> None:
    request: dict[str, Any] = {
        "model": "m",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi?"}]}],
    }
    request |= {"metadata": {"user_id": "u-1"}, "max_tokens": 9}
    record = TIME | {"thread_id": "t-1", "tenant": 7, "request": request, "response": make_message(x=1)}
    load_records(events, NAME, [record], source="t", settings=settings)
    row = events.read("SELECT conversation_id, user_id, model, model_version, prompt, extra FROM turns").row(0)
    assert row[:5] == ("t-1", "u-1", "m", "m-1", "Hi?")
    assert orjson.loads(row[5]) == {"tenant": 7, "request": {"max_tokens": 9}, "response": {"x": 1}}


@pytest.mark.parametrize(
    ("record", "field"),
    [
        (make_message(), "timestamp"),
        (TIME | make_message(id=None), "request_id"),
        (TIME | make_message(content=None), "content"),
        (TIME | make_message(latency_ms=-1), "latency_ms"),
    ],
)
def test_refused(record: dict[str, Any], field: str, events: EventStore, settings: Settings) -> None:
    load_records(events, NAME, [record], source="t", settings=settings)
    assert events.read("SELECT field FROM quarantine").item() == field
