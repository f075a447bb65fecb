"""Llama Guard over vLLM: verdicts, scores from token probabilities, and generations without a verdict."""

from __future__ import annotations

from datetime import UTC
from math import exp
from pathlib import Path
from typing import Any

import orjson
import pytest

from core.events import EventStore
from core.settings import Settings
from ingest.files import ingest_paths
from ingest.formats import FORMATS
from ingest.load import load_records

NAME = "vllm_guard_completion"


def make_completion(said: str | None, logprobs: Any = None, **changes: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": {"content": said}, "logprobs": logprobs, "finish_reason": "stop"}
    body = {"id": "cmpl-1", "object": "chat.completion", "created": 1767873600, "model": "meta-llama/Llama-Guard-3-8B"}
    return {**body, "choices": [choice], "prompt_logprobs": None, **changes}


def make_token(text: str, logprob: float, **rivals: float) -> dict[str, Any]:
    return {"token": text, "logprob": logprob, "top_logprobs": [{"token": t, "logprob": p} for t, p in rivals.items()]}


@pytest.mark.parametrize(
    ("said", "logprobs", "score"),
    [
        ("\n\nunsafe\nS1", {"content": [make_token("\n\n", 0.0), make_token("unsafe", -0.05, safe=-3.0)]}, exp(-0.05)),
        ("safe", {"content": [make_token(" safe", -0.1, safe=-0.1, unsafe=-2.4)]}, exp(-2.4)),
        ("safe", {"content": [make_token("safe", -0.1)]}, 1 - exp(-0.1)),
        ("unsafe\nS1", {"content": [make_token("un", -0.2), make_token("safe", -0.01)]}, None),
        ("unsafe\nS1", {"tokens": ["unsafe"], "token_logprobs": [-0.3], "top_logprobs": [{"safe": -1.4}]}, exp(-0.3)),
        ("safe", {"tokens": ["safe"], "token_logprobs": [-0.3], "top_logprobs": None}, 1 - exp(-0.3)),
        ("safe", {"content": []}, None),
        ("safe", None, None),
    ],
)
def test_score__from_the_first_token_that_is_a_verdict(
    said: str, logprobs: Any, score: float | None, events: EventStore, settings: Settings
) -> None:
    load_records(events, NAME, [make_completion(said, logprobs)], source="t", settings=settings)
    row = events.read("SELECT score, score_kind, triggered FROM checks").row(0)
    assert row[0] == (None if score is None else pytest.approx(score))
    assert row[1:] == (None if score is None else "probability", "unsafe" in said)


def test_legacy_completion_has_its_text_in_the_choice(events: EventStore, settings: Settings) -> None:
    choice = {"index": 0, "text": "\n\nunsafe\nS6,S7"}
    record = make_completion(None, object="text_completion", choices=[choice])
    load_records(events, NAME, [record], source="t", settings=settings)
    assert events.read("SELECT triggered, category_native FROM checks").row(0) == (True, "S6")
    assert events.read("SELECT category FROM check_scores ORDER BY 1")["category"].to_list() == [
        "privacy",
        "specialized_advice",
    ]


@pytest.mark.parametrize(
    ("choices", "failure", "error"),
    [
        ([{"message": {"content": "\n\nuns"}}], None, "parse_error"),
        ([{"message": {"content": "This is unsafe."}}], None, "parse_error"),
        ([{"message": {"content": None}}], None, "parse_error"),
        ([], None, "parse_error"),
        (None, {"code": 503, "type": "unavailable"}, "503"),
        (None, {"type": "unavailable"}, "unavailable"),
    ],
)
def test_no_verdict_is_an_error(choices: Any, failure: Any, error: str, events: EventStore, settings: Settings) -> None:
    load_records(events, NAME, [make_completion("", choices=choices, error=failure)], source="t", settings=settings)
    row = events.read("SELECT triggered, decision, enforced, status, error FROM checks").row(0)
    assert row == (None, "error", False, "error", error)


@pytest.mark.parametrize(
    ("roles", "logged", "stage"),
    [
        (["user"], None, "input"),
        (["user", "assistant"], None, "output"),
        (["user", "assistant"], "User", "input"),
        ([], "Agent", "output"),
        ([], None, "input"),
    ],
)
def test_stage__role_as_logged_else_that_of_the_last_message(
    roles: list[str], logged: str | None, stage: str, events: EventStore, settings: Settings
) -> None:
    messages = [{"role": role, "content": f"by {role}"} for role in roles]
    record = {"request": {"messages": messages}, "role_checked": logged, "response": make_completion("safe")}
    load_records(events, NAME, [record], source="t", settings=settings)
    stored, content = events.read("SELECT stage, content FROM checks").row(0)
    assert (stored, content) == (stage, f"by {roles[-1]}" if roles else "[]")


def test_codes_are_resolved_by_the_model(events: EventStore, settings: Settings) -> None:
    names = ("meta-llama/LlamaGuard-7b", "meta-llama/Meta-Llama-Guard-2-8B", "meta-llama/Llama-Guard-4-12B")
    records = [
        make_completion(f"unsafe\n{code}", id=f"cmpl-{code}-{name}", model=name)
        for name, code in zip(names, ("O2", "S5", "S5"), strict=True)
    ]
    load_records(events, NAME, records, source="t", settings=settings)
    rows = dict(events.read("SELECT filter_version, category FROM checks").iter_rows())
    assert [rows[name] for name in names] == ["sexual_content", "specialized_advice", "defamation"]


def test_envelope_and_unknown_keys_are_kept(events: EventStore, settings: Settings) -> None:
    record = {"ts": "2026-01-08T12:00:01Z", "request_id": "r", "session_id": "s", "turn_index": 2, "latency_ms": 60}
    record |= {"tenant": 7, "request": {"temperature": 0}, "response": make_completion("safe", x=1)}
    load_records(events, NAME, [record, record], source="t", settings=settings)
    row = events.read("SELECT ts::VARCHAR, request_id, conversation_id, latency_ms, extra FROM checks").row(0)
    assert row[:4] == ("2026-01-08 12:00:01", "r", "s", 60.0)
    assert orjson.loads(row[4]) == {"tenant": 7, "request": {"temperature": 0}, "response": {"x": 1}}
    assert events.read("SELECT count(*), max(turn_index) FROM turns").row(0) == (1, 2)


@pytest.mark.parametrize(
    ("change", "field"),
    [({"created": None}, "timestamp"), ({"choices": None}, "choices"), ({"latency_ms": "?"}, "latency_ms")],
)
def test_refused(change: dict[str, Any], field: str, events: EventStore, settings: Settings) -> None:
    load_records(events, NAME, [make_completion("safe") | change], source="t", settings=settings)
    assert events.read("SELECT field FROM quarantine").item() == field


def test_sniff__only_guards() -> None:
    assert FORMATS[NAME].sniff(make_completion("safe")) == 1.0
    assert FORMATS[NAME].sniff({"response": make_completion("safe", model="llama_guard_3")}) == 1.0
    assert FORMATS[NAME].sniff(make_completion("safe", model="gpt-4o")) == 0.0


@pytest.mark.parametrize("created", ["Infinity", 1e300, -1, "soon"])
def test_a_time_that_no_log_can_hold_is_that_of_the_file(
    created: Any, events: EventStore, settings: Settings, tmp_path: Path
) -> None:
    log = tmp_path / "log.jsonl"
    log.write_bytes(orjson.dumps(make_completion("safe", created=created)) + b"\n")
    for _ in range(2):
        ingest_paths(events, [log], settings=settings)
    (stored,) = events.read("SELECT ts FROM checks").to_series()
    assert stored.replace(tzinfo=UTC).timestamp() == pytest.approx(log.stat().st_mtime, abs=1)
