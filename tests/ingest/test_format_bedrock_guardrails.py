"""Bedrock Guardrails: every place where an assessment lies, masking, detect-only mode, stateless checks."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from core.events import EventStore
from core.settings import Settings
from ingest.load import load_records

KEY = "bedrock_guardrails"
CHECKS = "SELECT stage, triggered, decision, enforced, mode, outcome FROM checks JOIN turns USING (request_id) ORDER BY stage"
BLOCKED = {
    "contentPolicy": {"filters": [{"type": "HATE", "confidence": "HIGH", "filterStrength": "LOW", "action": "BLOCKED"}]}
}
STOPPED = ("input", True, "block", True, "enforce", "refusal")


def make_answer(**response: Any) -> dict[str, Any]:
    return {"timestamp": "2026-03-02T09:00:00Z", "response": response}


def make_filter(action: str, *, detected: bool) -> dict[str, Any]:
    found = {"type": "INSULTS", "confidence": "LOW", "filterStrength": "HIGH", "action": action, "detected": detected}
    return {"contentPolicy": {"filters": [found]}}


@pytest.mark.parametrize(
    "response",
    [
        {"action": "GUARDRAIL_INTERVENED", "assessments": [BLOCKED]},
        {"action": "INTERVENED", "assessments": [BLOCKED]},
        {"stopReason": "guardrail_intervened", "trace": {"guardrail": {"inputAssessment": {"g": BLOCKED}}}},
        {
            "amazon-bedrock-guardrailAction": "INTERVENED",
            "amazon-bedrock-trace": {"guardrail": {"input": {"g": BLOCKED}}},
        },
        {
            "amazon-bedrock-guardrailAction": "INTERVENED",
            "amazon-bedrock-trace": {"guardrails": {"input": {"g": BLOCKED}}},
        },
        {"guardrailTrace": {"action": "INTERVENED", "inputAssessments": [BLOCKED], "outputAssessments": []}},
    ],
    ids=["apply", "apply-short", "converse", "invoke", "invoke-plural", "agent"],
)
def test_blocked_input__the_same_wherever_it_lies(response: Any, events: EventStore, settings: Settings) -> None:
    load_records(events, KEY, [make_answer(**response)], source="t", settings=settings)
    assert events.read(CHECKS).rows() == [STOPPED]
    assert events.read("SELECT score, score_kind, category FROM checks").row(0) == (3.0, "ordinal", "hate")
    assert events.read("SELECT score, threshold, triggered FROM check_scores").rows() == [(3.0, 3.0, True)]


@pytest.mark.parametrize(
    "response",
    [
        {"stopReason": "end_turn", "trace": {"guardrail": {"outputAssessments": {"g": [BLOCKED]}}}},
        {
            "amazon-bedrock-guardrailAction": "NONE",
            "amazon-bedrock-trace": {"guardrail": {"outputs": [{"g": BLOCKED}]}},
        },
    ],
    ids=["converse", "invoke"],
)
def test_output_assessments__output_stage(response: Any, events: EventStore, settings: Settings) -> None:
    load_records(events, KEY, [make_answer(**response)], source="t", settings=settings)
    assert events.read("SELECT stage, policy_id, triggered FROM checks").rows() == [("output", "g", True)]


def test_nothing_found__passes(events: EventStore, settings: Settings) -> None:
    load_records(events, KEY, [make_answer(action="NONE", assessments=[{}])], source="t", settings=settings)
    assert events.read(CHECKS).rows() == [("input", False, "allow", False, "enforce", None)]


def test_detected_without_action__shadow(events: EventStore, settings: Settings) -> None:
    records = [
        make_answer(action="NONE", assessments=[make_filter("NONE", detected=True)]),
        make_answer(action="NONE", assessments=[make_filter("NONE", detected=False)]),
    ]
    load_records(events, KEY, records, source="t", settings=settings)
    rows = events.read("SELECT triggered, decision, enforced, mode FROM checks ORDER BY triggered").rows()
    assert rows == [(False, "allow", False, "enforce"), (True, "flag", False, "shadow")]


def test_masked__modified_and_no_refusal(events: EventStore, settings: Settings) -> None:
    found = {"type": "EMAIL", "match": "jo@example.org", "action": "ANONYMIZED", "detected": True}
    assessments = [{"sensitiveInformationPolicy": {"piiEntities": [found]}}]
    load_records(
        events,
        KEY,
        [make_answer(action="GUARDRAIL_INTERVENED", assessments=assessments)],
        source="t",
        settings=settings,
    )
    assert events.read(CHECKS).rows() == [("input", True, "modify", True, "enforce", "modified")]
    row = events.read("SELECT category, rule_id, matched_text FROM checks").row(0)
    assert row == ("privacy", "EMAIL", "jo@example.org")


def test_guardrail_acted_and_the_trace_is_off__one_check(events: EventStore, settings: Settings) -> None:
    output = {"message": {"role": "assistant", "content": [{"text": "Sorry."}]}}
    record = make_answer(output=output, stopReason="guardrail_intervened")
    load_records(events, KEY, [record], source="t", settings=settings)
    assert events.read("SELECT triggered, enforced, decision FROM checks").rows() == [(True, True, "block")]
    row = events.read("SELECT outcome, response, final_text FROM turns").row(0)
    assert row == ("refusal", None, "Sorry.")


def test_grounding__score_and_threshold_as_logged(events: EventStore, settings: Settings) -> None:
    found = {"type": "GROUNDING", "threshold": 0.75, "score": 0.2, "action": "BLOCKED", "detected": True}
    assessments = [{"contextualGroundingPolicy": {"filters": [found]}}]
    load_records(
        events,
        KEY,
        [make_answer(action="GUARDRAIL_INTERVENED", assessments=assessments)],
        source="t",
        settings=settings,
    )
    assert events.read("SELECT score, threshold, triggered FROM check_scores").rows() == [(0.2, 0.75, True)]


def test_stateless_checks__undecided_until_a_threshold_is_set(events: EventStore, settings: Settings) -> None:
    found = [{"category": "INSULTS", "severityScore": 0.62}, {"category": "HATE", "severityScore": 0.1}]
    sensitive = [{"type": "EMAIL", "confidenceScore": 0.9}, {"type": "EMAIL", "confidenceScore": 0.4}]
    record = make_answer(results={"contentFilter": {"results": found}, "sensitiveInformation": {"results": sensitive}})
    limited = settings.model_copy(update={"thresholds": {"bedrock-checks/insults": 0.6}})
    load_records(events, KEY, [record], source="t", settings=limited)
    rows = events.read("SELECT category_native, score, score_kind, triggered, status FROM checks ORDER BY 1").rows()
    assert rows == [
        ("EMAIL", 0.9, "probability", None, "undecided"),
        ("HATE", 0.1, "severity", None, "undecided"),
        ("INSULTS", 0.62, "severity", True, "ok"),
    ]


def test_failure__never_a_pass(events: EventStore, settings: Settings) -> None:
    load_records(events, KEY, [make_answer(error={"code": "ThrottlingException"})], source="t", settings=settings)
    rows = events.read("SELECT triggered, status, decision, error FROM checks").rows()
    assert rows == [(None, "error", "error", "ThrottlingException")]


def test_unknown_keys_are_kept(events: EventStore, settings: Settings) -> None:
    record = make_answer(action="NONE", assessments=[{}], region="north") | {"tenant": 7}
    load_records(events, KEY, [record], source="t", settings=settings)
    extra = events.read("SELECT extra FROM checks").item()
    assert orjson.loads(extra) == {"tenant": 7, "response": {"region": "north"}}


def test_without_time_or_answer__refused(events: EventStore, settings: Settings) -> None:
    records = [{"action": "NONE", "assessments": []}, make_answer(usage={})]
    summary = load_records(events, KEY, records, source="t", settings=settings)
    assert summary.rejections == {"missing_field": 2}
