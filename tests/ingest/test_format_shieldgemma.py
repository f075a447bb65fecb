"""ShieldGemma: generated verdicts, bare probabilities, and answers without a verdict."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from core.events import EventStore
from core.settings import Settings
from ingest.formats import FORMATS
from ingest.load import load_records

NAME = "shieldgemma"


def make_record(output: str | None, **changes: Any) -> dict[str, Any]:
    record = {"timestamp": "2025-02-01T09:00:00Z", "model": "google/shieldgemma-2b", "mode": "prompt"}
    return {**record, "policy": "No Harassment", "input": {"user": "Hi"}, "output": output, **changes}


@pytest.mark.parametrize(
    ("output", "triggered"),
    [
        ("Yes", True),
        ("no", False),
        ("**Yes**\n\nIt belittles a person.", True),
        ("No, that is fine. Yes would be wrong.", False),
        ("Nothing wrong here", None),
        ("The answer is Yes", None),
        ("", None),
    ],
)
def test_verdict_is_the_first_word(output: str, triggered: bool | None, events: EventStore, settings: Settings) -> None:
    load_records(events, NAME, [make_record(output, yes_prob=0.7)], source="t", settings=settings)
    row = events.read("SELECT triggered, decision, enforced, mode, status, error, score FROM checks").row(0)
    if triggered is None:
        assert row == (None, "error", False, "annotate", "error", "parse_error", 0.7)
    else:
        assert row == (triggered, "flag" if triggered else "allow", False, "annotate", "ok", None, 0.7)


@pytest.mark.parametrize(
    ("changes", "configured", "triggered", "status", "threshold"),
    [
        ({}, None, None, "undecided", None),
        ({"threshold": 0.5}, None, True, "ok", 0.5),
        ({"threshold": 0.5}, 0.9, False, "ok", 0.9),
        ({}, 0.7, True, "ok", 0.7),
    ],
)
def test_probability__only_a_threshold_decides(
    changes: dict[str, Any],
    configured: float | None,
    triggered: bool | None,
    status: str,
    threshold: float | None,
    events: EventStore,
    settings: Settings,
) -> None:
    if configured:
        settings = settings.model_copy(update={"thresholds": {"shieldgemma/dangerous": configured}})
    record = make_record(None, mode="image", policy="Dangerous", probabilities={"Yes": 0.7, "No": 0.3}, **changes)
    load_records(events, NAME, [record], source="t", settings=settings)
    row = events.read("SELECT triggered, status, threshold, score, error FROM checks").row(0)
    assert row == (triggered, status, threshold, 0.7, None)
    again = load_records(events, NAME, [record], source="t", settings=Settings(home=settings.home))
    assert (again.checks, again.duplicates) == (0, 1)


@pytest.mark.parametrize(("error", "code"), [({"code": "timeout"}, "timeout"), ("late", "late")])
def test_failed_call_is_no_pass(error: Any, code: str, events: EventStore, settings: Settings) -> None:
    records = [make_record(None, error=error), make_record(None, error=error, yes_prob=0.1, threshold=0.5)]
    load_records(events, NAME, records, source="t", settings=settings)
    assert events.read("SELECT DISTINCT triggered, status, error FROM checks").rows() == [(None, "error", code)]


@pytest.mark.parametrize(
    ("policy", "name", "category"),
    [
        ("No Harassment", "shieldgemma/harassment", "hate"),
        ('"No Dangerous Content": The prompt shall not ...', "shieldgemma/dangerous_content", "violent_crimes"),
        ("sexually explicit", "shieldgemma/sexually_explicit", "sexual_content"),
        ("violence/gore", "shieldgemma/violence_gore", "violent_crimes"),
        ("No Nonsense", "shieldgemma/nonsense", "unmapped:nonsense"),
        (None, "shieldgemma", None),
    ],
)
def test_policy_names_the_filter(
    policy: str | None, name: str, category: str | None, events: EventStore, settings: Settings
) -> None:
    load_records(events, NAME, [make_record("Yes", policy=policy)], source="t", settings=settings)
    assert events.read("SELECT filter_name, category, policy_id FROM checks").row(0) == (name, category, policy)


@pytest.mark.parametrize(
    ("mode", "checked", "stage", "content"),
    [
        ("prompt", {"user": "a", "response": "b"}, "input", "a"),
        ("prompt_response", {"user": "a", "response": "b"}, "output", "b"),
        (None, {"user": "a", "response": "b"}, "output", "b"),
        (None, "a", "input", "a"),
        ("image", {"image_sha256": "0f"}, "input", None),
    ],
)
def test_stage_follows_what_was_shown_to_the_model(
    mode: str | None, checked: Any, stage: str, content: str | None, events: EventStore, settings: Settings
) -> None:
    load_records(events, NAME, [make_record("No", mode=mode, input=checked)], source="t", settings=settings)
    assert events.read("SELECT stage, content, mode FROM checks").row(0) == (stage, content, "annotate")


def test_unknown_keys_are_kept(events: EventStore, settings: Settings) -> None:
    load_records(events, NAME, [make_record("No", tenant=7)], source="t", settings=settings)
    assert orjson.loads(events.read("SELECT extra FROM checks").item()) == {"tenant": 7}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"timestamp": None}, "timestamp"),
        ({"model": None}, "model"),
        ({"mode": "loud"}, "mode"),
        ({"output": None}, "output"),
        ({"yes_prob": 2}, "yes_prob"),
    ],
)
def test_refused(change: dict[str, Any], field: str, events: EventStore, settings: Settings) -> None:
    load_records(events, NAME, [make_record("No") | change], source="t", settings=settings)
    assert events.read("SELECT field FROM quarantine").item() == field


def test_sniff() -> None:
    assert FORMATS[NAME].sniff(make_record("No")) == 1.0
    assert FORMATS[NAME].sniff({"model": "shieldgemma-2b", "choices": [], "output": ""}) == 0.0
    assert FORMATS[NAME].sniff({"model": "llama-guard", "output": "No"}) == 0.0
