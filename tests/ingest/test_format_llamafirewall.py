"""LlamaFirewall: decisions, merged results, enums as a dataclass prints them, failures."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from core.events import EventStore
from core.settings import Settings
from ingest.load import load_records

KEY = "llamafirewall"
CHECKS = "SELECT filter_name, triggered, decision, enforced, status FROM checks ORDER BY 1"


def make_scan(
    decision: str = "allow", score: float = 0.0, *, reason: str = "default", status: str = "success", **more: Any
) -> dict[str, Any]:
    result = {"decision": decision, "reason": reason, "score": score, "status": status}
    return {"timestamp": "2026-03-02T09:00:00Z", "role": "user", "scanner": "prompt_guard", "result": result, **more}


@pytest.mark.parametrize(
    ("decision", "triggered", "stored"),
    [
        ("allow", False, "allow"),
        ("block", True, "block"),
        ("human_in_the_loop_required", True, "escalate"),
        ("ScanDecision.BLOCK", True, "block"),
    ],
)
def test_decision(decision: str, triggered: bool, stored: str, events: EventStore, settings: Settings) -> None:
    record = make_scan(decision, 0.4, status="ScanStatus.SUCCESS") | {"scanner": "ScannerType.PROMPT_GUARD"}
    load_records(events, KEY, [record], source="t", settings=settings)
    assert events.read(CHECKS).rows() == [("llamafirewall/prompt_guard", triggered, stored, triggered, "ok")]
    assert events.read("SELECT score FROM checks").item() == 0.4


def test_merged_result__split_by_scanner_in_any_order(events: EventStore, settings: Settings) -> None:
    code, guard = "ScannerType.CODE_SHIELD: eval; exec - score: 1.0", "ScannerType.PROMPT_GUARD: default - score: 0.4"
    records = [
        make_scan("block", 1.0, reason=f"{code}; {guard}", scanner=None),
        make_scan("block", 1.0, reason=f"{guard}; {code}", scanner=None, ts="2026-03-02T09:00:01Z"),
    ]
    load_records(events, KEY, records, source="t", settings=settings)
    rows = events.read("SELECT filter_name, triggered, score FROM checks ORDER BY 1").rows()
    assert rows == [("llamafirewall/code_shield", True, 1.0)] * 2 + [("llamafirewall/prompt_guard", False, 0.4)] * 2
    reason = events.read("SELECT metadata FROM checks WHERE triggered LIMIT 1").item()
    assert orjson.loads(reason) == {"reason": "eval; exec"}


def test_merged_result_that_was_blocked__something_fired(events: EventStore, settings: Settings) -> None:
    record = make_scan("block", 0.6, reason="ScannerType.PROMPT_GUARD: default - score: 0.6", scanner=None)
    load_records(events, KEY, [record], source="t", settings=settings)
    assert events.read("SELECT triggered FROM checks").rows() == [(True,)]


def test_single_result_without_a_scanner(events: EventStore, settings: Settings) -> None:
    load_records(events, KEY, [make_scan("block", 1.0, scanner=None)], source="t", settings=settings)
    assert events.read(CHECKS).rows() == [("llamafirewall", True, "block", True, "ok")]
    assert events.read("SELECT category FROM checks").item() is None


@pytest.mark.parametrize(
    ("role", "stage"),
    [("user", "input"), ("assistant", "output"), ("tool", "tool_output"), ("memory", "memory"), ("system", "system")],
)
def test_role__stage(role: str, stage: str, events: EventStore, settings: Settings) -> None:
    load_records(events, KEY, [make_scan(role=role)], source="t", settings=settings)
    assert events.read("SELECT stage FROM checks").item() == stage


def test_failed_or_skipped__never_a_pass(events: EventStore, settings: Settings) -> None:
    records = [
        make_scan(status="error", reason="out of memory"),
        make_scan(status="ScanStatus.SKIPPED", scanner="regex"),
    ]
    load_records(events, KEY, records, source="t", settings=settings)
    assert events.read(CHECKS).rows() == [
        ("llamafirewall/prompt_guard", None, "error", False, "error"),
        ("llamafirewall/regex", None, "skipped", False, "not_run"),
    ]
    assert events.read("SELECT error FROM checks ORDER BY filter_name").rows() == [("out of memory",), (None,)]


def test_shadow_or_overridden__not_enforced(events: EventStore, settings: Settings) -> None:
    records = [make_scan("block", 1.0, mode="shadow"), make_scan("block", 1.0, enforced=False)]
    load_records(events, KEY, records, source="t", settings=settings)
    rows = events.read("SELECT triggered, decision, enforced, mode FROM checks ORDER BY mode").rows()
    assert rows == [(True, "block", False, "enforce"), (True, "block", False, "shadow")]


def test_unknown_keys_are_kept_and_a_custom_scanner_counts(events: EventStore, settings: Settings) -> None:
    record = make_scan("block", 1.0, scanner="house_rules", tenant=7)
    load_records(events, KEY, [record], source="t", settings=settings)
    extra, category = events.read("SELECT extra, category FROM checks").row(0)
    assert (orjson.loads(extra), category) == ({"tenant": 7}, "unmapped:house_rules")


def test_bad_records__refused(events: EventStore, settings: Settings) -> None:
    records = [
        make_scan(timestamp=None),
        make_scan("explode"),
        make_scan(status="late"),
        make_scan(result={"reason": "x"}),
    ]
    summary = load_records(events, KEY, records, source="t", settings=settings)
    assert summary.rejections == {"invalid_value": 2, "missing_field": 2}
