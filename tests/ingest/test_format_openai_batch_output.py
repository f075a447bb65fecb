"""OpenAI batch files: bodies of several endpoints, failed lines, and lines without a time."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from core.events import EventStore
from core.settings import Settings
from ingest.formats import FORMATS
from ingest.load import load_records

NAME = "openai_batch_output"
MODERATION = {"id": "modr-1", "model": "omni", "results": [{"flagged": True, "category_scores": {"hate": 0.9}}]}


def make_line(custom_id: str = "t-1", body: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    response = {"status_code": 200, "request_id": "req", "body": make_answer() if body is None else body}
    return {"id": f"batch-{custom_id}", "custom_id": custom_id, "response": response, "error": None, **changes}


def make_answer(finish: str = "stop", **changes: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": {"content": "Hello."}, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion", "created": 1772442845, "model": "m", "choices": [choice], **changes}


@pytest.mark.parametrize(
    ("line", "outcome", "response"),
    [
        (make_line(), "pass", "Hello."),
        (make_line(body=make_answer("content_filter")), "refusal", "Hello."),
        (
            make_line(body={"object": "response", "created_at": 1772442845, "status": "completed", "output": []}),
            "pass",
            None,
        ),
        (make_line(response=None, error={"code": "batch_expired"}), "error", None),
        (make_line(body={"error": {"code": "bad_request"}}), "error", None),
        (make_line(response={"status_code": 500, "body": None}), "error", None),
    ],
)
def test_line__one_turn_by_custom_id(
    line: dict[str, Any], outcome: str, response: str | None, events: EventStore, settings: Settings
) -> None:
    assert FORMATS[NAME].sniff(line) == 1.0
    load_records(events, NAME, [line | {"timestamp": "2026-03-02T09:14:06Z"}], source="t", settings=settings)
    assert events.read("SELECT request_id, outcome, response FROM turns").row(0) == ("t-1", outcome, response)
    assert events.read("SELECT count(*) FROM checks").item() == 0


def test_line_without_time__takes_that_of_its_neighbours(events: EventStore, settings: Settings) -> None:
    lost = {"response": None, "error": {"code": "batch_expired"}}
    lines = [
        make_line("a", **lost),
        make_line("b"),
        make_line("c", **lost),
        make_line("d", make_answer(created=1772442900)),
    ]
    load_records(events, NAME, lines, source="t", settings=settings)
    rows = events.read("SELECT request_id, epoch(ts)::BIGINT FROM turns ORDER BY 1").rows()
    assert rows == [("a", 1772442845), ("b", 1772442845), ("c", 1772442845), ("d", 1772442900)]
    alone = load_records(events, NAME, [make_line("e", **lost)], source="t", settings=settings)
    assert (alone.turns, alone.rejections) == (0, {"missing_field": 1})


@pytest.mark.parametrize("created", ["Infinity", -5, 9_007_199_254_740_993_000])
def test_line_with_a_time_that_no_log_can_hold__takes_that_of_its_neighbours(
    created: Any, events: EventStore, settings: Settings
) -> None:
    lines = [
        make_line(),
        make_line("t-2", make_answer(created=created)),
        make_line("t-3", make_answer(created=created)),
    ]
    summary = load_records(events, NAME, lines, source="t", settings=settings)
    assert (summary.turns, summary.rejected) == (3, 0)
    assert events.read("SELECT count(*) FROM turns WHERE ts = make_timestamp(1772442845000000)").item() == 3


@pytest.mark.parametrize(
    ("results", "status"), [(MODERATION["results"], "ok"), ([], "error"), ([{}], "error"), ("?", "error")]
)
def test_moderation_body__checks_and_no_turn_of_its_own(
    results: Any, status: str, events: EventStore, settings: Settings
) -> None:
    body = MODERATION | {"results": results}
    summary = load_records(events, NAME, [make_line("a"), make_line("b", body)], source="t", settings=settings)
    assert (summary.turns, summary.checks) == (1, 1)
    row = events.read("SELECT request_id, triggered, enforced, status, model, filter_version FROM checks").row(0)
    assert row == ("b", True if status == "ok" else None, False, status, None, "omni")


def test_moderation_within_a_chat_body(events: EventStore, settings: Settings) -> None:
    moderation = {"input": MODERATION, "output": {"type": "error", "code": "late"}}
    load_records(events, NAME, [make_line(body=make_answer(moderation=moderation))], source="t", settings=settings)
    rows = events.read("SELECT stage, triggered, status, error, model FROM checks ORDER BY 1").rows()
    assert rows == [("input", True, "ok", None, "m"), ("output", None, "error", "late", "m")]


def test_input_file_adds_the_prompts(events: EventStore, settings: Settings) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi?"}]}
    asked = {"custom_id": "t-1", "method": "POST", "url": "/v1/chat/completions", "body": body}
    assert FORMATS[NAME].sniff(asked) == 1.0
    load_records(events, NAME, [make_line()], source="t", settings=settings)
    load_records(events, NAME, [asked | {"timestamp": "2026-03-02T09:14:00Z"}], source="t", settings=settings)
    rows = events.read("SELECT request_id, prompt, response, outcome, model FROM turns").rows()
    assert rows == [("t-1", "Hi?", "Hello.", "pass", "m")]


def test_unknown_keys_are_kept(events: EventStore, settings: Settings) -> None:
    load_records(events, NAME, [make_line(body=make_answer(x=1), tenant=7)], source="t", settings=settings)
    extra = events.read("SELECT extra FROM turns").item()
    assert orjson.loads(extra) == {"tenant": 7, "response": {"body": {"x": 1}}}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (make_line(body={"object": "list", "data": [], "created": 1772442845}), "unsupported_body"),
        (make_line(custom_id=""), "missing_field"),
        (make_line(ts="?"), "invalid_time"),
    ],
)
def test_refused(line: dict[str, Any], reason: str, events: EventStore, settings: Settings) -> None:
    summary = load_records(events, NAME, [line], source="t", settings=settings)
    assert summary.rejections == {reason: 1}


def test_sniff__other_batches() -> None:
    assert FORMATS[NAME].sniff({"custom_id": "a", "result": {"type": "succeeded"}}) == 0.0
    assert FORMATS[NAME].sniff(make_answer()) == 0.0
