"""Granite Guardian: the verdicts of every version, criteria of one's own, and generations without a verdict."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from core.events import EventStore
from core.settings import Settings
from ingest.formats import FORMATS
from ingest.load import load_records

NAME = "granite_guardian"
QUESTION = {"role": "user", "content": "Which shop is best?"}
ANSWER = {"role": "assistant", "content": "Ours."}


def make_record(output: str | None, config: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    record = {"timestamp": "2026-05-10T10:00:00Z", "model": "granite-guardian-3.3-8b", "messages": [QUESTION]}
    return {**record, "guardian_config": config or {"risk_name": "harm"}, "output": output, **changes}


@pytest.mark.parametrize(
    ("output", "triggered"),
    [
        ("Yes", True),
        (" no", False),
        ("YES\n<confidence> High </confidence>", True),
        ("<think>\n</think>\n<score> yes </score>", True),
        ("<think>It might be <score>yes</score>?</think><score>No</score>", False),
        ("<score>yes</score> or rather <score>no</score>", False),
        ("<think>yes", None),
        ("Nothing to see here.", None),
        ("Yesterday", None),
        ("Failed", None),
        ("", None),
    ],
)
def test_verdict__last_score_else_first_word(
    output: str, triggered: bool | None, events: EventStore, settings: Settings
) -> None:
    load_records(events, NAME, [make_record(output)], source="t", settings=settings)
    row = events.read("SELECT triggered, decision, enforced, mode, status, error FROM checks").row(0)
    if triggered is None:
        assert row == (None, "error", False, "annotate", "error", "parse_error")
    else:
        assert row == (triggered, "flag" if triggered else "allow", False, "annotate", "ok", None)


@pytest.mark.parametrize(
    ("error", "code"), [({"code": "timeout"}, "timeout"), ({"type": "busy"}, "busy"), ("late", "late"), ({}, "error")]
)
def test_failed_call_is_no_pass(error: Any, code: str, events: EventStore, settings: Settings) -> None:
    records = [make_record(None, error=error), make_record("No", error=error)]
    load_records(events, NAME, records, source="t", settings=settings)
    assert events.read("SELECT DISTINCT triggered, status, error FROM checks").rows() == [(None, "error", code)]


@pytest.mark.parametrize(
    ("config", "filter_name", "category", "policy", "stage"),
    [
        ({"risk_name": "social_bias"}, "granite-guardian/social_bias", "hate", None, "output"),
        ({"criteria_id": "jailbreak"}, "granite-guardian/jailbreak", "prompt_attack", None, "output"),
        ({"criteria": "Names a rival."}, "granite-guardian/custom", "policy_specific", "Names a rival.", "output"),
        (
            {"risk_name": "rivals", "risk_definition": "Names a rival."},
            "granite-guardian/rivals",
            "unmapped:rivals",
            "Names a rival.",
            "output",
        ),
        ({"criteria_id": "context_relevance"}, "granite-guardian/context_relevance", "other", None, "retrieval"),
        ({"risk_name": "function_call"}, "granite-guardian/function_call", "other", None, "tool_input"),
    ],
)
def test_criterion_names_the_filter(
    config: dict[str, Any],
    filter_name: str,
    category: str,
    policy: str | None,
    stage: str,
    events: EventStore,
    settings: Settings,
) -> None:
    load_records(events, NAME, [make_record("Yes", config, messages=[QUESTION, ANSWER])], source="t", settings=settings)
    row = events.read("SELECT filter_name, category, policy_id, stage FROM checks").row(0)
    assert row == (filter_name, category, policy, stage)


def test_guardian_block__criterion_and_not_the_text_checked(events: EventStore, settings: Settings) -> None:
    block = {"role": "user", "content": "<guardian>\nNames a rival.\n</guardian>"}
    record = make_record("<score>no</score>", messages=[QUESTION, ANSWER, block])
    record["guardian_config"] = None
    load_records(events, NAME, [record], source="t", settings=settings)
    row = events.read("SELECT filter_name, policy_id, stage, content FROM checks").row(0)
    assert row == ("granite-guardian/custom", "Names a rival.", "output", "Ours.")


@pytest.mark.parametrize(
    ("output", "welcome", "triggered", "score"),
    [("Yes", None, True, 0.9), ("Yes", False, False, 0.1), ("No", False, True, 0.1), ("No", True, False, 0.9)],
)
def test_yes_need_not_be_a_risk(
    output: str, welcome: bool | None, triggered: bool, score: float, events: EventStore, settings: Settings
) -> None:
    inside = make_record(output, {"criteria": "Is kind.", "yes_means_risk": welcome}, prob_of_risk=0.9)
    beside = make_record(output, {"criteria": "Is kind."}, prob_of_risk=0.9, yes_means_risk=welcome)
    load_records(events, NAME, [inside, beside], source="t", settings=settings)
    rows = events.read("SELECT DISTINCT triggered, round(score, 6), metadata::JSON ->> 'answer' FROM checks").rows()
    assert rows == [(triggered, score, output.lower())]


def test_confidence_and_listed_harms(events: EventStore, settings: Settings) -> None:
    listed = make_record("Yes\n<confidence> Low </confidence>\nViolence, Unethical Behavior")
    bracketed = make_record("Yes\n['Violence']", timestamp="2026-05-10T10:00:01Z")
    prose = make_record("Yes\nThe text asks for a thing, which is rude.", timestamp="2026-05-10T10:00:02Z")
    load_records(events, NAME, [listed, bracketed, prose], source="t", settings=settings)
    confidences = events.read("SELECT metadata::JSON ->> 'confidence' AS said FROM checks ORDER BY ts")[
        "said"
    ].to_list()
    assert confidences == ["Low", None, None]
    rows = events.read("SELECT category_native, category, triggered FROM check_scores ORDER BY ts, 1").rows()
    assert rows == [
        ("Unethical Behavior", "non_violent_crimes", True),
        ("Violence", "violent_crimes", True),
        ("Violence", "violent_crimes", True),
    ]


def test_unknown_keys_are_kept(events: EventStore, settings: Settings) -> None:
    record = make_record("No", {"risk_name": "harm", "think": True}, tenant=7)
    load_records(events, NAME, [record], source="t", settings=settings)
    extra = events.read("SELECT extra FROM checks").item()
    assert orjson.loads(extra) == {"tenant": 7, "guardian_config": {"think": True}}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"timestamp": None}, "timestamp"),
        ({"model": None}, "model"),
        ({"output": None}, "output"),
        ({"prob_of_risk": 1.2}, "prob_of_risk"),
        ({"yes_means_risk": "maybe"}, "yes_means_risk"),
        ({"mode": "loud"}, "mode"),
    ],
)
def test_refused(change: dict[str, Any], field: str, events: EventStore, settings: Settings) -> None:
    load_records(events, NAME, [make_record("No") | change], source="t", settings=settings)
    assert events.read("SELECT field FROM quarantine").item() == field


def test_sniff() -> None:
    assert FORMATS[NAME].sniff(make_record("No")) == 1.0
    assert FORMATS[NAME].sniff({"model": "granite-guardian-3.1-8b", "choices": []}) == 0.0
    assert FORMATS[NAME].sniff({"model": "llama-guard", "output": "safe"}) == 0.0
