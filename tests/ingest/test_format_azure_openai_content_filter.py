"""Azure OpenAI content filter results; and that no shared example fits two formats."""

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

KEY = "azure_openai_content_filter"
EXAMPLES = Path(__file__).parents[3] / "shared" / "format_examples"
MISSING = "the shared format examples are not beside this checkout"
SAFE = {"filtered": False, "severity": "safe"}
CHECKS = "SELECT filter_name, triggered, decision, enforced, mode, status FROM checks ORDER BY filter_name"


def make_record(output: Any, **changes: Any) -> dict[str, Any]:
    choice = {
        "index": 0,
        "finish_reason": "stop",
        "message": {"role": "assistant", "content": "yes"},
        "content_filter_results": output,
    }
    response = {"id": "a1", "object": "chat.completion", "created": 1772442845, "model": "m", "choices": [choice]}
    request = {"messages": [{"role": "user", "content": "no?"}]}
    return {"timestamp": "2026-03-02T09:00:00Z", "request": request, "response": {**response, **changes}}


def make_blocked(inner: str, results: str) -> dict[str, Any]:
    found = {"jailbreak": {"filtered": True, "detected": True}}
    error = {
        "code": "content_filter",
        "param": "prompt",
        inner: {"code": "ResponsibleAIPolicyViolation", results: found},
    }
    return {"timestamp": "2026-03-02T09:00:00Z", "response": {"error": error}}


@pytest.mark.skipif(not EXAMPLES.exists(), reason=MISSING)
@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.jsonl")), ids=lambda path: path.stem)
def test_shared_example__fits_one_format_at_most(path: Path) -> None:
    scores = score_formats([orjson.loads(line) for line in path.read_bytes().splitlines()], settings=Settings())
    ranked = sorted(scores, key=scores.__getitem__, reverse=True)
    assert scores[ranked[1]] < 0.3
    if path.stem in FORMATS:
        assert (ranked[0], scores[ranked[0]] > 0.7) == (path.stem, True)


@pytest.mark.parametrize("inner", ["innererror", "inner_error"])
@pytest.mark.parametrize("results", ["content_filter_result", "content_filter_results"])
def test_blocked_prompt__all_four_spellings(inner: str, results: str, events: EventStore, settings: Settings) -> None:
    load_records(events, KEY, [make_blocked(inner, results)], source="t", settings=settings)
    assert events.read(CHECKS).rows() == [("azure-openai/jailbreak", True, "block", True, "enforce", "ok")]
    assert events.read("SELECT stage, category FROM checks").row(0) == ("input", "prompt_attack")
    assert events.read("SELECT outcome, finish_reason FROM turns").row(0) == ("refusal", "content_filter")


def test_detected_but_not_filtered__annotates(events: EventStore, settings: Settings) -> None:
    results = {"jailbreak": {"filtered": False, "detected": True}, "hate": SAFE}
    load_records(events, KEY, [make_record(results)], source="t", settings=settings)
    assert events.read(CHECKS).rows() == [
        ("azure-openai/content", False, "allow", False, "enforce", "ok"),
        ("azure-openai/jailbreak", True, "allow", False, "annotate", "ok"),
    ]


def test_low_severity_that_is_not_filtered__passes_with_its_score(events: EventStore, settings: Settings) -> None:
    results = {"violence": {"filtered": False, "severity": "low"}, "hate": {"filtered": True, "severity": "medium"}}
    load_records(events, KEY, [make_record({"violence": results["violence"]})], source="t", settings=settings)
    load_records(events, KEY, [make_record(results, id="a2")], source="t", settings=settings)
    rows = events.read("SELECT score, score_kind, triggered, category_native FROM checks ORDER BY score").rows()
    assert rows == [(1.0, "ordinal", False, None), (2.0, "ordinal", True, "hate")]
    scores = events.read("SELECT category_native, score, triggered FROM check_scores ORDER BY 1, 2").rows()
    assert scores == [("hate", 2.0, True), ("violence", 1.0, False), ("violence", 1.0, False)]


def test_filter_that_did_not_run__is_an_error_whatever_else_is_safe(events: EventStore, settings: Settings) -> None:
    failed = {"error": {"code": "content_filter_error", "message": "not filtered"}}
    records = [make_record(failed), make_record(failed | {"hate": SAFE}, id="a2")]
    load_records(events, KEY, records, source="t", settings=settings)
    rows = events.read("SELECT triggered, status, error, decision FROM checks").rows()
    assert rows == [(None, "error", "content_filter_error", "error")] * 2


@pytest.mark.parametrize(
    "blocklists",
    [[{"id": "names", "filtered": True}], {"filtered": True, "details": [{"id": "names", "filtered": True}]}],
)
def test_blocklists__as_a_list_or_with_details(blocklists: Any, events: EventStore, settings: Settings) -> None:
    load_records(events, KEY, [make_record({"custom_blocklists": blocklists})], source="t", settings=settings)
    assert events.read("SELECT rule_id, triggered, enforced FROM checks").row(0) == ("names", True, True)


def test_empty_results__no_check(events: EventStore, settings: Settings) -> None:
    prompts = [
        {"prompt_index": 0, "content_filter_result": {"hate": SAFE}},
        {"prompt_index": 1, "content_filter_results": {}},
    ]
    load_records(events, KEY, [make_record({}, prompt_filter_results=prompts)], source="t", settings=settings)
    assert events.read("SELECT stage FROM checks").rows() == [("input",)]


def test_redacted__modifies(events: EventStore, settings: Settings) -> None:
    found = {"personally_identifiable_information": {"filtered": False, "detected": True, "redacted": True}}
    load_records(events, KEY, [make_record(found)], source="t", settings=settings)
    row = events.read("SELECT decision, enforced, mode, category FROM checks").row(0)
    assert row == ("modify", True, "enforce", "privacy")


def test_cut_completion__refusal_with_partial_text(events: EventStore, settings: Settings) -> None:
    record = make_record({"violence": {"filtered": True, "severity": "high"}})
    record["response"]["choices"][0]["finish_reason"] = "content_filter"
    load_records(events, KEY, [record], source="t", settings=settings)
    assert events.read("SELECT outcome, response, prompt FROM turns").row(0) == ("refusal", "yes", "no?")


def test_chunk_of_a_stream__checks_and_no_turn_of_its_own(events: EventStore, settings: Settings) -> None:
    record = make_record({"hate": SAFE}, object="chat.completion.chunk")
    summary = load_records(events, KEY, [record], source="t", settings=settings)
    assert (summary.turns, summary.checks) == (0, 1)


def test_unknown_keys_are_kept_and_an_unknown_detector_counts(events: EventStore, settings: Settings) -> None:
    record = make_record({"new_thing": {"filtered": True, "detected": True}}, region="north") | {"tenant": 7}
    load_records(events, KEY, [record], source="t", settings=settings)
    extra, category = events.read("SELECT extra, category FROM checks").row(0)
    assert orjson.loads(extra) == {"tenant": 7, "response": {"region": "north"}}
    assert category == "unmapped:new_thing"


def test_without_time_or_answer__refused(events: EventStore, settings: Settings) -> None:
    timeless = make_record({"hate": SAFE}, created=None) | {"timestamp": None}
    empty = {"timestamp": "2026-03-02T09:00:00Z", "response": {"id": "a"}}
    summary = load_records(events, KEY, [timeless, empty], source="t", settings=settings)
    assert summary.rejections == {"missing_field": 2}
