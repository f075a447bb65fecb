"""Azure AI Content Safety: severities without a verdict, blocklists, Prompt Shields."""

from __future__ import annotations

from typing import Any

import orjson

from core.events import EventStore
from core.settings import Settings
from ingest.load import load_records

KEY = "azure_content_safety"
CHECKS = "SELECT split_part(filter_name, '/', 2) AS f, triggered, decision, status FROM checks ORDER BY 1"


def make_record(response: dict[str, Any], **request: Any) -> dict[str, Any]:
    return {"timestamp": "2026-03-02T09:00:00Z", "request": {"text": "a walk", **request}, "response": response}


def make_analysis(**severities: int) -> dict[str, Any]:
    listed = [{"category": name, "severity": severity} for name, severity in severities.items()]
    return {"blocklistsMatch": [], "categoriesAnalysis": listed}


def test_severity__undecided_until_a_threshold_is_set(events: EventStore, settings: Settings) -> None:
    records = [make_record(make_analysis(Hate=4, Violence=2))]
    load_records(events, KEY, records, source="t", settings=settings)
    assert events.read(CHECKS).rows() == [("Hate", None, None, "undecided"), ("Violence", None, None, "undecided")]
    scores = "SELECT score, score_kind, category FROM checks ORDER BY 1"
    assert events.read(scores).rows() == [(2.0, "severity", "violent_crimes"), (4.0, "severity", "hate")]


def test_threshold__decides_from_that_severity_on(events: EventStore, settings: Settings) -> None:
    limits = {"azure-content-safety/Hate": 4.0, "azure-content-safety/violence": 4.0}
    limited = settings.model_copy(update={"thresholds": limits})
    load_records(events, KEY, [make_record(make_analysis(Hate=4, Violence=2, Sexual=6))], source="t", settings=limited)
    assert events.read(CHECKS).rows() == [
        ("Hate", True, "flag", "ok"),
        ("Sexual", None, None, "undecided"),
        ("Violence", False, "allow", "ok"),
    ]


def test_halt_on_blocklist_hit__the_analysis_was_not_run(events: EventStore, settings: Settings) -> None:
    hit = {"blocklistName": "names", "blocklistItemId": "i1", "blocklistItemText": "bluebird"}
    response = {"blocklistsMatch": [hit], "categoriesAnalysis": []}
    record = make_record(response, categories=["Hate"], blocklistNames=["names"], haltOnBlocklistHit=True)
    load_records(events, KEY, [record], source="t", settings=settings)
    assert events.read(CHECKS).rows() == [("Hate", None, "skipped", "not_run"), ("blocklist", True, "flag", "ok")]
    row = events.read("SELECT rule_id, matched_text, category, enforced FROM checks WHERE triggered").row(0)
    assert row == ("names/i1", "bluebird", "policy_specific", False)


def test_blocklist_without_a_hit__passes_only_if_one_was_named(events: EventStore, settings: Settings) -> None:
    record = make_record(make_analysis(), blocklistNames=["names"])
    load_records(events, KEY, [record, make_record(make_analysis())], source="t", settings=settings)
    assert events.read(CHECKS).rows() == [("blocklist", False, "allow", "ok")]


def test_error__one_for_each_category_and_never_a_pass(events: EventStore, settings: Settings) -> None:
    limited = settings.model_copy(update={"thresholds": {"azure-content-safety/Hate": 4.0}})
    record = make_record({"error": {"code": "TooManyRequests", "message": "later"}}, outputType="FourSeverityLevels")
    load_records(events, KEY, [record], source="t", settings=limited)
    rows = events.read("SELECT triggered, status, error FROM checks").rows()
    assert rows == [(None, "error", "TooManyRequests")] * 4


def test_category_without_an_answer__is_an_error(events: EventStore, settings: Settings) -> None:
    load_records(
        events, KEY, [make_record(make_analysis(Hate=0), categories=["Hate", "Sexual"])], source="t", settings=settings
    )
    assert events.read(CHECKS).rows() == [("Hate", None, None, "undecided"), ("Sexual", None, "error", "error")]


def test_prompt_shields__prompt_and_each_document(events: EventStore, settings: Settings) -> None:
    response = {
        "userPromptAnalysis": {"attackDetected": False},
        "documentsAnalysis": [{"attackDetected": True}, {"attackDetected": False}],
    }
    record = make_record(response, userPrompt="hi", documents=["one", "two"])
    load_records(events, KEY, [record], source="t", settings=settings)
    rows = events.read("SELECT stage, triggered, category_native FROM checks ORDER BY ALL").rows()
    assert rows == [("input", False, None), ("retrieval", False, None), ("retrieval", True, "indirect-attack")]


def test_preview_answer__same_categories(events: EventStore, settings: Settings) -> None:
    record = make_record({"selfHarmResult": {"category": "SelfHarm", "severity": 6}})
    load_records(events, KEY, [record], source="t", settings=settings)
    assert events.read("SELECT category, score FROM checks").rows() == [("suicide_self_harm", 6.0)]


def test_bare_answer_with_a_time_and_unknown_keys(events: EventStore, settings: Settings) -> None:
    record = {"ts": "2026-03-02T09:00:00Z", "tenant": 7, "direction": "output", **make_analysis(Hate=0)}
    load_records(events, KEY, [record], source="t", settings=settings)
    extra, stage = events.read("SELECT extra, stage FROM checks").row(0)
    assert (orjson.loads(extra), stage) == ({"tenant": 7}, "output")


def test_without_time_or_analysis__refused(events: EventStore, settings: Settings) -> None:
    records = [make_analysis(Hate=0), make_record({}), make_record({"categoriesAnalysis": 7})]
    summary = load_records(events, KEY, records, source="t", settings=settings)
    assert summary.rejections == {"invalid_value": 1, "missing_field": 2}
