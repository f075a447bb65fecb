"""LLM Guard: margins, verdicts on all scanners or on each, redaction, failures."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from core.events import EventStore
from core.settings import Settings
from ingest.load import load_records

KEY = "llm_guard"
CHECKS = "SELECT filter_name, triggered, status FROM checks ORDER BY 1"


def make_answer(is_valid: bool, sanitized: str = "hi", **scanners: float) -> dict[str, Any]:
    response = {"is_valid": is_valid, "scanners": scanners, "sanitized_prompt": sanitized}
    return {
        "timestamp": "2026-03-02T09:00:00Z",
        "endpoint": "/analyze/prompt",
        "request": {"prompt": "hi"},
        "response": response,
    }


def test_api__a_positive_margin_fires(events: EventStore, settings: Settings) -> None:
    load_records(events, KEY, [make_answer(False, Toxicity=-0.9, PromptInjection=0.4)], source="t", settings=settings)
    rows = events.read("SELECT filter_name, triggered, score, score_kind, threshold FROM checks ORDER BY 1").rows()
    assert rows == [
        ("llm-guard/PromptInjection", True, 0.4, "margin", 0.0),
        ("llm-guard/Toxicity", False, -0.9, "margin", 0.0),
    ]
    assert events.read("SELECT category FROM checks WHERE triggered").item() == "prompt_attack"


@pytest.mark.parametrize(
    ("record", "verdicts"),
    [
        (make_answer(True, Anonymize=0.0), [False]),
        (make_answer(False, Anonymize=0.0, Toxicity=-1.0), [True, False]),
        (make_answer(False, Anonymize=0.0, Toxicity=0.0), [None, None]),
        (make_answer(False, Anonymize=0.0, Toxicity=0.2), [None, True]),
    ],
    ids=["all-valid", "the-only-one", "either", "another"],
)
def test_margin_of_exactly_zero(
    record: Any, verdicts: list[bool | None], events: EventStore, settings: Settings
) -> None:
    load_records(events, KEY, [record], source="t", settings=settings)
    rows = events.read(CHECKS).rows()
    assert [row[1] for row in rows] == verdicts
    assert all((row[2] == "undecided") == (row[1] is None) for row in rows)


def test_library__the_logged_verdict_outranks_the_margin(events: EventStore, settings: Settings) -> None:
    record = {
        "timestamp": "2026-03-02T09:00:00Z",
        "api": "scan_output",
        "mode": "shadow",
        "results_valid": {"BanTopics": False, "Toxicity": True},
        "results_score": {"BanTopics": 0.0, "Toxicity": 0.0},
        "elapsed_time_seconds": 0.5,
    }
    load_records(events, KEY, [record], source="t", settings=settings)
    rows = events.read("SELECT triggered, stage, mode, latency_ms FROM checks ORDER BY filter_name").rows()
    assert rows == [(True, "output", "shadow", 500.0), (False, "output", "shadow", 500.0)]


def test_redaction__modifies_only_if_the_text_changed(events: EventStore, settings: Settings) -> None:
    records = [make_answer(False, "[REDACTED]", Anonymize=1.0), make_answer(False, Anonymize=1.0)]
    load_records(events, KEY, records, source="t", settings=settings)
    rows = events.read("SELECT decision, enforced FROM checks ORDER BY 1").rows()
    assert rows == [("flag", False), ("modify", True)]


def test_fail_fast__absent_scanners_yield_nothing(events: EventStore, settings: Settings) -> None:
    load_records(events, KEY, [make_answer(False, Toxicity=0.8)], source="t", settings=settings)
    assert events.read(CHECKS).rows() == [("llm-guard/Toxicity", True, "ok")]


def test_failure__never_a_pass(events: EventStore, settings: Settings) -> None:
    record = make_answer(True) | {"response": {"detail": "timeout"}}
    load_records(events, KEY, [record], source="t", settings=settings)
    rows = events.read("SELECT triggered, status, decision, error FROM checks").rows()
    assert rows == [(None, "error", "error", "timeout")]


def test_unknown_keys_are_kept_and_an_unknown_scanner_counts(events: EventStore, settings: Settings) -> None:
    record = make_answer(False, HouseRules=1.0) | {"tenant": 7}
    load_records(events, KEY, [record], source="t", settings=settings)
    extra, category = events.read("SELECT extra, category FROM checks").row(0)
    assert (orjson.loads(extra), category) == ({"tenant": 7}, "unmapped:HouseRules")


def test_without_time_or_scanners__refused(events: EventStore, settings: Settings) -> None:
    records = [make_answer(True, Toxicity=-1.0) | {"timestamp": None}, {"ts": "2026-03-02T09:00:00Z", "is_valid": True}]
    summary = load_records(events, KEY, records, source="t", settings=settings)
    assert summary.rejections == {"missing_field": 2}
