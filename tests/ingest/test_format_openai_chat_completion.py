"""OpenAI chat completions: outcomes, envelope and bare, streams, and the moderation that comes along."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from core.events import EventStore
from core.settings import Settings
from ingest.detect import score_formats
from ingest.formats import FORMATS
from ingest.load import load_records

NAME = "openai_chat_completion"
EXAMPLES = Path(__file__).parents[3] / "shared" / "format_examples"
# The neutral filter log's example carries another name than its format.
EXAMPLE_OF = {"flat_filter_log": "filter_log"}

with_examples = pytest.mark.skipif(not EXAMPLES.exists(), reason="the shared examples are not beside this checkout")


def make_completion(**changes: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"}
    return {
        "id": "c-1",
        "object": "chat.completion",
        "created": 1772442845,
        "model": "m-1",
        "choices": [choice],
        **changes,
    }


def make_chunk(text: str | None, finish: str | None = None, *, index: int = 0, stream: str = "c-9") -> dict[str, Any]:
    choice = {"index": index, "delta": {"content": text}, "finish_reason": finish}
    return make_completion(id=stream, object="chat.completion.chunk", choices=[choice])


@with_examples
@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.jsonl")), ids=lambda path: path.stem)
def test_detection_is_never_ambiguous(path: Path) -> None:
    records = [orjson.loads(line) for line in path.read_bytes().splitlines()]
    scores = score_formats(records, settings=Settings())
    key = EXAMPLE_OF.get(path.stem, path.stem)
    others = [score for name, score in scores.items() if name != key]
    assert max(others) < 0.3
    if key in FORMATS:
        assert scores[key] > 0.7


@pytest.mark.parametrize(
    ("message", "finish", "outcome", "response"),
    [
        ({"content": "Hi."}, "stop", "pass", "Hi."),
        ({"content": "Hi"}, "length", "pass", "Hi"),
        ({"content": None, "tool_calls": [{"id": "t"}]}, "tool_calls", "pass", None),
        ({"content": "I will not."}, "stop", "pass", "I will not."),
        ({"content": None, "refusal": "No."}, "stop", "refusal", "No."),
        ({"content": "Par", "refusal": ""}, "content_filter", "refusal", "Par"),
        ({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, "stop", "pass", "a\nb"),
    ],
)
def test_outcome_follows_refusal_and_content_filter(
    message: dict[str, Any], finish: str, outcome: str, response: str | None, events: EventStore, settings: Settings
) -> None:
    record = make_completion(choices=[{"index": 0, "message": message, "finish_reason": finish}])
    load_records(events, NAME, [record], source="t", settings=settings)
    row = events.read("SELECT outcome, response, finish_reason, final_text FROM turns").row(0)
    assert row == (outcome, response, finish, None)


def test_bare_and_enveloped__same_turn(events: EventStore, settings: Settings) -> None:
    bare = make_completion(usage={"prompt_tokens": 3, "completion_tokens": 2})
    asked = {"model": "m", "messages": [{"role": "user", "content": "Hi?"}, {"role": "tool", "content": "x"}]}
    wrapped = {
        "timestamp": "2026-03-02T09:14:06Z",
        "session_id": "s-1",
        "request": asked,
        "response": bare | {"id": "c-2"},
    }
    load_records(events, NAME, [bare, wrapped], source="t", settings=settings)
    columns = "request_id, conversation_id, model, model_version, prompt, response, input_tokens, output_tokens, extra"
    assert events.read(f"SELECT {columns} FROM turns ORDER BY ts").rows() == [
        ("c-1", None, "m-1", "m-1", None, "Hello.", 3, 2, None),
        ("c-2", "s-1", "m", "m-1", "Hi?", "Hello.", 3, 2, None),
    ]


def test_several_choices__the_others_are_candidates(events: EventStore, settings: Settings) -> None:
    choices = [{"index": i, "message": {"content": f"answer {i}"}, "finish_reason": "stop"} for i in (1, 0, 2)]
    load_records(events, NAME, [make_completion(choices=choices)], source="t", settings=settings)
    response, candidates = events.read("SELECT response, candidates FROM turns").row(0)
    assert (response, orjson.loads(candidates)) == ("answer 0", ["answer 1", "answer 2"])


def test_chunks_of_a_stream_are_one_turn(events: EventStore, settings: Settings) -> None:
    records = [
        make_chunk("Hel"),
        make_chunk("no", index=1),
        make_chunk("Other.", "stop", stream="c-8"),
        make_chunk("lo."),
    ]
    records.append(make_chunk(None, "content_filter"))
    summary = load_records(events, NAME, records, source="t", settings=settings)
    assert summary.turns == 2
    rows = events.read("SELECT request_id, response, outcome, finish_reason FROM turns ORDER BY 1").rows()
    assert rows == [("c-8", "Other.", "pass", "stop"), ("c-9", "Hello.", "refusal", "content_filter")]


@pytest.mark.parametrize(
    ("answer", "outcome", "response", "finish"),
    [
        ({"status": "completed", "output": [{"content": [{"text": "Hi."}]}]}, "pass", "Hi.", "completed"),
        (
            {"status": "completed", "output": [{"content": [{"type": "refusal", "refusal": "No."}]}]},
            "refusal",
            "No.",
            "completed",
        ),
        (
            {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}, "output": []},
            "refusal",
            None,
            "content_filter",
        ),
        ({"status": "failed", "error": {"code": "server_error"}, "output": []}, "error", None, "failed"),
        ({"status": "in_progress", "output": []}, None, None, "in_progress"),
    ],
)
def test_responses_api(
    answer: dict[str, Any],
    outcome: str | None,
    response: str | None,
    finish: str,
    events: EventStore,
    settings: Settings,
) -> None:
    record = {"id": "resp-1", "object": "response", "created_at": 1772442845, "model": "m", **answer}
    assert FORMATS[NAME].sniff(record) == 1.0
    load_records(events, NAME, [record], source="t", settings=settings)
    assert events.read("SELECT outcome, response, finish_reason FROM turns").row(0) == (outcome, response, finish)


def test_error_answer_is_no_pass(events: EventStore, settings: Settings) -> None:
    record = {
        "ts": "2026-03-02T09:14:06Z",
        "request_id": "r",
        "status": "completed",
        "response": {"error": {"code": "busy"}},
    }
    load_records(events, NAME, [record], source="t", settings=settings)
    assert events.read("SELECT outcome, extra FROM turns").row(0) == ("error", None)


def test_moderation__a_check_per_side_and_a_failed_side_is_no_pass(events: EventStore, settings: Settings) -> None:
    result = {
        "flagged": True,
        "categories": {"self_harm": True},
        "category_scores": {"self_harm": 0.8, "self-harm": 0.8},
    }
    outputs: list[Any] = [{"type": "error", "code": "late"}, {"results": []}, {"results": "?"}, None]
    for number, output in enumerate(outputs):
        moderation = {"input": {"model": "omni", "results": [result]}, "output": output}
        record = make_completion(id=f"c-{number}", moderation=moderation)
        load_records(events, NAME, [record], source="t", settings=settings)
    columns = "request_id, stage, triggered, decision, enforced, mode, status, error, category, filter_version"
    flagged = ("input", True, "flag", False, "annotate", "ok", None, "suicide_self_harm", "omni")
    failed = ("output", None, "error", False, "annotate", "error")
    assert events.read(f"SELECT {columns} FROM checks ORDER BY ALL").rows() == [
        ("c-0", *flagged),
        ("c-0", *failed, "late", None, None),
        ("c-1", *flagged),
        ("c-1", *failed, "no_verdict", None, None),
        ("c-2", *flagged),
        ("c-2", *failed, "no_verdict", None, None),
        ("c-3", *flagged),
    ]
    assert events.read("SELECT DISTINCT category_native, score, triggered FROM check_scores").row(0) == (
        "self-harm",
        0.8,
        True,
    )


def test_unknown_keys_are_kept(events: EventStore, settings: Settings) -> None:
    record = make_completion(service_tier="default")
    wrapped = {
        "ts": "2026-03-02T09:14:06Z",
        "request": {"n": 2},
        "response": make_completion(id="c-2", x=1),
        "tenant": 7,
    }
    load_records(events, NAME, [record, wrapped], source="t", settings=settings)
    extras = [orjson.loads(extra) for extra in events.read("SELECT extra FROM turns ORDER BY ts")["extra"]]
    assert extras == [{"service_tier": "default"}, {"tenant": 7, "request": {"n": 2}, "response": {"x": 1}}]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"created": None}, "timestamp"),
        ({"id": None}, "request_id"),
        ({"choices": None}, "choices"),
        ({"ts": "?"}, "ts"),
    ],
)
def test_refused(change: dict[str, Any], field: str, events: EventStore, settings: Settings) -> None:
    load_records(events, NAME, [make_completion() | change], source="t", settings=settings)
    assert events.read("SELECT field FROM quarantine").item() == field


@pytest.mark.parametrize(
    "record",
    [
        make_completion(model="meta-llama/Llama-Guard-3-8B"),
        make_completion(prompt_filter_results=[]),
        make_completion(choices=[{"message": {}, "content_filter_results": {}}]),
        {"object": "chat.completion"},
    ],
)
def test_sniff__guards_and_annotated_answers_are_other_formats(record: dict[str, Any]) -> None:
    assert FORMATS[NAME].sniff(record) == 0.0
