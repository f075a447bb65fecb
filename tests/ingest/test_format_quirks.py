"""Gateways, rule engines and data sets: what their logs say in ways that mislead a naive reader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.events import EventStore
from core.settings import Settings
from core.settings_ingest import IngestSettings
from ingest.files import ingest_paths
from ingest.load import load_records
from metrics.query import Query
from metrics.run import run_report
from tests.ingest.logs import make_check, to_jsonl

TS = "2026-03-02T09:00:00Z"
CHECKS = "SELECT filter_name, triggered, decision, enforced, mode, status FROM checks ORDER BY filter_name, rule_id"


def load(events: EventStore, settings: Settings, key: str, *records: dict[str, Any]) -> Any:
    return load_records(events, key, records, source="t", settings=settings)


def make_call(guardrails: Any, **more: Any) -> dict[str, Any]:
    return {"id": "c1", "call_type": "completion", "startTime": 1772442845.1, "messages": [], "status": "success"} | {
        "guardrail_information": guardrails,
        **more,
    }


@pytest.mark.parametrize(
    ("guardrail", "row"),
    [
        ({"guardrail_status": "success"}, (False, "allow", False, "enforce", "ok")),
        ({"guardrail_status": "guardrail_intervened"}, (True, "block", True, "enforce", "ok")),
        ({"guardrail_status": "blocked", "guardrail_mode": ["logging_only"]}, (True, "block", False, "shadow", "ok")),
        ({"guardrail_status": "guardrail_failed_to_respond"}, (None, "error", False, "enforce", "error")),
        ({"guardrail_status": "failure"}, (None, "error", False, "enforce", "error")),
        ({"guardrail_status": "not_run"}, (None, "skipped", False, "enforce", "not_run")),
        ({"guardrail_status": "success", "masked_entity_count": {"EMAIL": 2}}, (True, "modify", True, "enforce", "ok")),
    ],
)
def test_litellm__status_is_verdict_error_or_neither(
    guardrail: dict[str, Any], row: tuple[Any, ...], events: EventStore, settings: Settings
) -> None:
    guardrail = {"guardrail_name": "g", **guardrail}
    load(events, settings, "litellm_standard_logging", make_call(guardrail), make_call([guardrail], id="c2"))
    assert events.read(CHECKS).unique().rows() == [("g", *row)]
    assert events.read("SELECT count(*) FROM checks").item() == 2


def test_litellm__several_guardrails_of_one_call_are_several_checks(events: EventStore, settings: Settings) -> None:
    names = ["a", "b", "a"]
    call = make_call([{"guardrail_name": name, "guardrail_status": "success"} for name in names])
    load(events, settings, "litellm_standard_logging", call)
    assert events.read("SELECT filter_name FROM checks ORDER BY 1")["filter_name"].to_list() == sorted(names)


def test_nemo__stop_decides_and_not_what_the_action_returned(events: EventStore, settings: Settings) -> None:
    rail = {"type": "input", "started_at": 1772442845.1, "duration": 0.2}
    rails = [
        {**rail, "name": "jailbreak", "stop": False, "executed_actions": [{"return_value": True}]},
        {**rail, "name": "self check", "stop": True, "executed_actions": [{"return_value": False}]},
        {**rail, "name": "dialog", "type": "dialog", "stop": False},
    ]
    load(events, settings, "nemo_guardrails", {"response": "No.", "log": {"activated_rails": rails}})
    assert events.read(CHECKS).rows() == [
        ("nemo/jailbreak", False, "allow", False, "enforce", "ok"),
        ("nemo/self check", True, "block", True, "enforce", "ok"),
    ]
    assert events.read("SELECT outcome, response, final_text FROM turns").row(0) == ("refusal", None, "No.")


def test_nemo__a_rail_of_an_impossible_time_takes_its_records(events: EventStore, settings: Settings) -> None:
    """It made a turn of its own, and after the year 9999, which Python's clock does not know, it broke the whole batch."""
    rail = {"type": "input", "started_at": 2e16, "name": "jailbreak", "stop": True}
    load(events, settings, "nemo_guardrails", {"timestamp": TS, "response": "No.", "log": {"activated_rails": [rail]}})
    assert events.read("SELECT ts FROM checks").item() == events.read("SELECT ts FROM turns").item()
    assert events.read("SELECT ts BETWEEN '1990-01-01' AND '2100-01-01' FROM checks").item()


def test_waf__counting_rule_is_a_hit_and_leaves_the_rate_alone(events: EventStore, settings: Settings) -> None:
    base = {"timestamp": 1772442845120, "webaclId": "arn:x/webacl/edge/1", "terminatingRuleId": "Default_Action"}
    for number in range(10):
        rule = [{"ruleId": "R", "action": "COUNT"}] if number < 4 else []
        record = {
            **base,
            "action": "ALLOW",
            "nonTerminatingMatchingRules": rule,
            "httpRequest": {"requestId": f"{number}"},
        }
        load(events, settings, "aws_waf", record)
    rows = run_report(events, "triggers", Query(by=("mode",), min_sample=5)).rows
    counted = rows.select("mode", "evaluated", "triggered", "hits", rate=rows["trigger_rate"].struct.field("estimate"))
    assert sorted(counted.rows()) == [("enforce", 10, 0, 0, 0.0), ("shadow", 0, 0, 4, None)]
    by_rule = run_report(events, "triggers", Query(by=("rule_id",), filters=(("rule_id", "R"),), min_sample=1)).rows
    assert by_rule["trigger_rate"].struct.field("estimate").to_list() == [None]


def test_automod__events_of_one_second_are_one_hit(events: EventStore, settings: Settings) -> None:
    event = {"rule_id": "7", "rule_trigger_type": 1, "user_id": "u", "content": "x", "timestamp": TS}
    kinds = [{**event, "action": {"type": kind}} for kind in (2, 1, 3)]
    summary = load(events, settings, "automod_action", *kinds)
    assert (summary.checks, summary.duplicates) == (1, 2)
    assert events.read(CHECKS).rows() == [("automod", True, "block", True, "enforce", "hit")]
    assert load(events, settings, "automod_action", kinds[1]).duplicates == 1
    later = {**event, "action": {"type": 2}, "timestamp": "2026-03-02T09:00:01Z"}
    assert load(events, settings, "automod_action", later).checks == 1
    rows = run_report(events, "triggers", Query()).rows
    assert rows.select("evaluated", "hits").row(0) == (0, 2)


@pytest.mark.parametrize(("errors", "status"), [(0, "not_run"), (1, "error")])
def test_osprey__null_rule_is_no_pass(errors: int, status: str, events: EventStore, settings: Settings) -> None:
    base = {"__timestamp": TS, "ActionName": "a", "Text": "hello"}
    load(
        events,
        settings,
        "osprey_execution_result",
        {**base, "__action_id": 1, "Rule": True, "Name": "no rule"},
        {**base, "__action_id": 2, "Rule": None, "__error_count": errors},
        {**base, "__action_id": 3, "ActionName": "b"},
    )
    found = events.read("SELECT request_id, triggered, status FROM checks WHERE filter_name = 'osprey/Rule' ORDER BY 1")
    assert found.rows() == [("osprey-1", True, "ok"), ("osprey-2", None, status)]


def test_osprey__rules_by_name_where_a_pattern_is_set(events: EventStore, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, ingest=IngestSettings(osprey_rules="^Rule"))
    record = {"__timestamp": TS, "__action_id": 1, "RuleA": True, "IsAdult": True}
    load(events, settings, "osprey_execution_result", record)
    assert events.read("SELECT DISTINCT filter_name FROM checks ORDER BY 1")["filter_name"].to_list() == [
        "osprey",
        "osprey/RuleA",
    ]


def test_invocation_log__stream_is_joined_and_s3_body_leaves_no_text(events: EventStore, settings: Settings) -> None:
    base = {"schemaType": "ModelInvocationLog", "timestamp": TS, "modelId": "m"}
    stream = [{"contentBlockDelta": {"delta": {"text": part}}} for part in ("Hel", "lo")]
    stream.append({"messageStop": {"stopReason": "max_tokens"}})
    load(
        events,
        settings,
        "bedrock_invocation_log",
        {**base, "requestId": "a", "output": {"outputBodyJson": stream}},
        {**base, "requestId": "b", "output": {"outputBodyS3Path": "s3://x"}},
        {**base, "requestId": "c", "errorCode": "ThrottlingException"},
    )
    rows = events.read("SELECT request_id, response, outcome, finish_reason FROM turns ORDER BY 1").rows()
    assert rows == [
        ("a", "Hello", "pass", "max_tokens"),
        ("b", None, "pass", None),
        ("c", None, "error", "ThrottlingException"),
    ]


def test_transcripts__markers_in_the_text_and_several_turns(events: EventStore, settings: Settings) -> None:
    start = "\n\nHuman: First?\n\nAssistant: One.\n\nHuman: Does Human: end a turn?\n\nAssistant:"
    load(events, settings, "hh_rlhf", {"timestamp": TS, "chosen": start + " No.", "rejected": start + " Yes."})
    row = events.read("SELECT prompt, response, candidates, json_array_length(messages) AS n FROM turns").row(0)
    assert row[1:] == ("Yes.", '["No."]', 4)
    label = events.read("SELECT harmful, revision, selection FROM labels").row(0)
    assert label == (None, "No.", "import")


def test_revisions__the_last_of_them_is_the_better_response(events: EventStore, settings: Settings) -> None:
    steps = [
        {"cst_key": f"harmful{number}", "critique": {"sample": f" c{number}"}, "revision": {"sample": f" r{number}"}}
        for number in range(4)
    ]
    record = {"timestamp": TS, "rl_prompt": "\n\nHuman: Hi.\n\nAssistant:", "initial_response": [{"sample": " Go."}]}
    load(events, settings, "cai_records", {**record, "cst": steps})
    assert events.read("SELECT principle_id, critique, revision FROM labels").rows() == [("harmful3", "c3", "r3")]
    assert events.read("SELECT response FROM turns").item() == "Go."


def test_no_time__that_of_the_file_and_none_when_it_came_alone(
    events: EventStore, settings: Settings, tmp_path: Path
) -> None:
    record = {"callId": "c1", "rawLlmOutput": "hi", "validatedOutput": "hi", "validationPassed": True}
    assert load(events, settings, "guardrails_ai", record).rejections == {"missing_field": 1}
    path = tmp_path / "outcomes.jsonl"
    path.write_bytes(to_jsonl([record]))
    summary = ingest_paths(events, [path], settings=settings)
    assert (summary.checks, summary.rejected) == (1, 0)
    stored = events.read("SELECT epoch(ts) AS at FROM checks").item()
    assert stored == pytest.approx(path.stat().st_mtime, abs=1e-3)
    # The time of one file does not leak into the next batch.
    assert load(events, settings, "guardrails_ai", {**record, "callId": "c2"}).rejected == 1


def test_store_of_an_earlier_version__gains_the_new_count(events: EventStore, settings: Settings) -> None:
    from ingest.schema import create_tables

    events.write(lambda connection: connection.execute("ALTER TABLE check_rollup DROP COLUMN hits"))
    create_tables(events)
    load(events, settings, "filter_log", make_check(1))
    assert run_report(events, "triggers", Query()).rows["hits"].to_list() == [0]


def test_spans_of_another_kind__ignored_and_no_duplicates(events: EventStore, settings: Settings) -> None:
    span = {"traceId": "0" * 32, "spanId": "1" * 16, "startTimeUnixNano": "1772442845100000000", "attributes": []}
    record = {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}
    summary = load(events, settings, "otlp_genai_spans", record, {"resourceSpans": "x"})
    assert (summary.ignored, summary.duplicates, summary.rejected) == (1, 0, 1)
    turn = {"id": "o", "type": "GENERATION", "trace_id": "t", "start_time": "2026-03-02 09:00:00", "input": "hi"}
    again = load(events, settings, "langfuse_observations", turn, turn, {**turn, "id": "p", "type": "SPAN"})
    assert (again.turns, again.duplicates, again.ignored) == (1, 1, 1)
    assert events.read("SELECT sum(ignored_count) FROM ingests").item() == 2


@pytest.mark.parametrize(
    ("output", "fired"),
    [
        ('{"flagged": true}', True),
        ({"triggered": False}, False),
        ({"allowed": False}, True),
        ('{"is_valid": true}', False),
        ({"score": 0.9}, True),
        ({"score": 0.7}, False),
        ("blocked?", None),
    ],
)
def test_guardrail_output__verdict_in_any_of_its_spellings(
    output: Any, fired: bool | None, events: EventStore, settings: Settings
) -> None:
    record = {"id": "o", "type": "GUARDRAIL", "traceId": "t", "startTime": TS, "name": "g", "output": output}
    load(events, settings, "langfuse_observations", record | {"metadata": {"threshold": 0.8}})
    assert events.read("SELECT triggered FROM checks").item() is fired
