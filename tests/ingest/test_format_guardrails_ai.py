"""Guardrails AI: outcomes that name failures only, validator logs, fixes, both key styles."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from core.events import EventStore
from core.settings import Settings
from ingest.load import load_records

KEY = "guardrails_ai"
CHECKS = "SELECT triggered, decision, enforced, status FROM checks"
FAILED = {"validatorName": "ToxicLanguage", "validatorStatus": "fail", "failureReason": "toxic"}


def make_outcome(passed: bool | None, valid: Any = "hi", *failed: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "timestamp": "2026-03-02T09:00:00Z",
        "callId": "c1",
        "rawLlmOutput": "hi",
        "validatedOutput": valid,
        "validationPassed": passed,
        "validationSummaries": list(failed),
        **more,
    }


def make_log(outcome: str | None, after: str = "hi", **more: Any) -> dict[str, Any]:
    return {
        "validatorName": "DetectPII",
        "registeredName": "guardrails/detect_pii",
        "propertyPath": "$.a",
        "valueBeforeValidation": "hi",
        "valueAfterValidation": after,
        "validationResult": {"outcome": outcome} if outcome else None,
        "startTime": "2026-03-02T09:30:00.000000",
        "endTime": "2026-03-02T09:30:00.048000",
        **more,
    }


@pytest.mark.parametrize(
    ("record", "row", "outcome"),
    [
        (make_outcome(True), (False, "allow", False, "ok"), None),
        (make_outcome(True, "h*"), (True, "modify", True, "ok"), "modified"),
        (make_outcome(False, None, FAILED), (True, "block", True, "ok"), "refusal"),
        (make_outcome(False, "hi", FAILED), (True, "flag", False, "ok"), None),
        (make_outcome(False, None, FAILED, mode="shadow"), (True, "block", False, "ok"), None),
        (make_outcome(None, None, error="timeout"), (None, "error", False, "error"), None),
        (make_outcome(True, error="timeout"), (None, "error", False, "error"), None),
    ],
    ids=["pass", "fixed", "withheld", "noop", "shadow", "error", "error-beside-pass"],
)
def test_outcome(record: Any, row: Any, outcome: str | None, events: EventStore, settings: Settings) -> None:
    load_records(events, KEY, [record], source="t", settings=settings)
    assert events.read(CHECKS).rows() == [row]
    assert events.read("SELECT outcome, request_id FROM turns").row(0) == (outcome, "c1")


def test_both_key_styles__same_check(events: EventStore, settings: Settings) -> None:
    snake = {
        "timestamp": "2026-03-02T09:00:00Z",
        "call_id": "c2",
        "raw_llm_output": "hi",
        "validated_output": None,
        "validation_passed": False,
        "validation_summaries": [{"validator_name": "ToxicLanguage", "validator_status": "fail"}],
    }
    load_records(events, KEY, [make_outcome(False, None, FAILED), snake], source="t", settings=settings)
    assert events.read(CHECKS + " GROUP BY ALL").rows() == [(True, "block", True, "ok")]
    assert events.read("SELECT DISTINCT category, content FROM checks").rows() == [("hate", "hi")]


def test_several_failures__one_check_and_a_score_row_each(events: EventStore, settings: Settings) -> None:
    other = FAILED | {"validatorName": "HouseStyle"}
    load_records(events, KEY, [make_outcome(False, None, FAILED, other)], source="t", settings=settings)
    assert events.read("SELECT count(*) FROM checks").item() == 1
    rows = events.read("SELECT category, triggered FROM check_scores ORDER BY 1").rows()
    assert rows == [("hate", True), ("unmapped:HouseStyle", True)]


def test_validator_log__verdict_latency_and_fix(events: EventStore, settings: Settings) -> None:
    records = [
        make_log("pass", propertyPath="$.b"),
        make_log("fail", "h*"),
        make_log("fail", propertyPath="$.c"),
        make_log(None),
    ]
    load_records(events, KEY, records, source="t", settings=settings)
    rows = events.read(CHECKS + " ORDER BY decision").rows()
    assert rows == [
        (False, "allow", False, "ok"),
        (None, "error", False, "error"),
        (True, "flag", False, "ok"),
        (True, "modify", True, "ok"),
    ]
    row = events.read("SELECT DISTINCT filter_name, stage, latency_ms FROM checks").rows()
    assert row == [("guardrails-ai/guardrails/detect_pii", "output", 48.0)]


def test_unknown_keys_are_kept(events: EventStore, settings: Settings) -> None:
    load_records(events, KEY, [make_outcome(True, tenant=7)], source="t", settings=settings)
    assert orjson.loads(events.read("SELECT extra FROM checks").item()) == {"tenant": 7}


def test_without_time_or_verdict__refused(events: EventStore, settings: Settings) -> None:
    records = [make_outcome(True, timestamp=None), make_outcome(None)]
    summary = load_records(events, KEY, records, source="t", settings=settings)
    assert summary.rejections == {"missing_field": 2}
