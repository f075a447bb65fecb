"""Prompt Guard: labels of both versions, risk from the winning label, segments, and outputs without a verdict."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from core.events import EventStore
from core.settings import Settings
from ingest.formats import FORMATS
from ingest.load import load_records

NAME = "prompt_guard"
FIRST, SECOND = "meta-llama/Prompt-Guard-86M", "meta-llama/Llama-Prompt-Guard-2-22M"


def make_record(output: Any, **changes: Any) -> dict[str, Any]:
    record = {"timestamp": "2025-06-01T07:00:00Z", "model": SECOND, "segment": 0, "text": "Hi"}
    return {**record, "output": output, **changes}


def make_labels(**scores: float) -> list[dict[str, Any]]:
    return [{"label": label, "score": score} for label, score in scores.items()]


@pytest.mark.parametrize(
    ("model", "output", "triggered", "risk", "native"),
    [
        (SECOND, make_labels(LABEL_0=0.75), False, 0.25, None),
        (SECOND, make_labels(LABEL_1=0.9), True, 0.9, "LABEL_1"),
        (SECOND, make_labels(benign=0.6, malicious=0.4), False, 0.4, None),
        (SECOND, make_labels(MALICIOUS=0.9), True, 0.9, "MALICIOUS"),
        (FIRST, make_labels(INJECTION=0.6, BENIGN=0.3, JAILBREAK=0.1), True, 0.6, "INJECTION"),
        (FIRST, make_labels(LABEL_2=0.8), True, 0.8, "LABEL_2"),
        (FIRST, {"label": "BENIGN", "score": 0.75}, False, 0.25, None),
        (SECOND, [make_labels(BENIGN=0.75), make_labels(BENIGN=0.5, MALICIOUS=0.25)], False, 0.5, None),
        (SECOND, [make_labels(BENIGN=0.75), make_labels(MALICIOUS=0.8)], True, 0.8, "MALICIOUS"),
    ],
)
def test_winning_label__verdict_and_risk(
    model: str, output: Any, triggered: bool, risk: float, native: str | None, events: EventStore, settings: Settings
) -> None:
    load_records(events, NAME, [make_record(output, model=model)], source="t", settings=settings)
    columns = "triggered, score, category_native, category, decision, enforced, mode, status"
    row = events.read(f"SELECT {columns} FROM checks").row(0)
    assert row[0] is triggered
    assert row[1] == pytest.approx(risk)
    assert row[2:4] == (native, "prompt_attack" if native else None)
    assert row[4:] == ("flag" if triggered else "allow", False, "annotate", "ok")


@pytest.mark.parametrize(
    ("output", "error"),
    [
        ([], "no_verdict"),
        ("BENIGN", "no_verdict"),
        ([[]], "no_verdict"),
        (make_labels(LABEL_2=0.9), "unknown_label"),
        (make_labels(SPAM=0.9), "unknown_label"),
        ([make_labels(BENIGN=0.9), make_labels(SPAM=0.9)], "unknown_label"),
        ([{"label": "BENIGN", "score": None}], "no_verdict"),
    ],
)
def test_no_verdict_is_an_error(output: Any, error: str, events: EventStore, settings: Settings) -> None:
    load_records(events, NAME, [make_record(output)], source="t", settings=settings)
    row = events.read("SELECT triggered, decision, status, error FROM checks").row(0)
    assert row == (None, "error", "error", error)


def test_failed_call_is_no_pass(events: EventStore, settings: Settings) -> None:
    records = [make_record(None, error={"code": "late"}), make_record(make_labels(BENIGN=1.0), error="late")]
    load_records(events, NAME, records, source="t", settings=settings)
    assert events.read("SELECT DISTINCT triggered, status, error FROM checks").rows() == [(None, "error", "late")]


@pytest.mark.parametrize(("threshold", "triggered"), [(0.3, True), (0.5, False)])
def test_threshold_of_the_log_decides(
    threshold: float, triggered: bool, events: EventStore, settings: Settings
) -> None:
    record = make_record(make_labels(BENIGN=0.6, MALICIOUS=0.4), threshold=threshold, mode="shadow", stage="retrieval")
    load_records(events, NAME, [record], source="t", settings=settings)
    row = events.read("SELECT triggered, threshold, category_native, mode, stage, enforced FROM checks").row(0)
    assert row == (triggered, threshold, "MALICIOUS" if triggered else None, "shadow", "retrieval", False)
    assert events.read("SELECT category_native, score, triggered FROM check_scores").rows() == [
        ("MALICIOUS", 0.4, triggered)
    ]


def test_segments__apart_are_checks_of_one_turn_and_the_worst_counts_within_one_record(
    events: EventStore, settings: Settings
) -> None:
    apart = [make_record(make_labels(BENIGN=0.9), request_id="r1", segment=number) for number in range(3)]
    outputs = [make_labels(BENIGN=0.9), make_labels(MALICIOUS=0.7), make_labels(BENIGN=0.8)]
    load_records(
        events, NAME, [*apart, make_record(outputs, request_id="r2", segment=None)], source="t", settings=settings
    )
    rows = events.read("SELECT request_id, metadata FROM checks ORDER BY 1, metadata::JSON ->> 'segment'").rows()
    said = [(name, orjson.loads(metadata)) for name, metadata in rows]
    assert [(name, m["segment"], m.get("segments")) for name, m in said] == [
        ("r1", 0, None),
        ("r1", 1, None),
        ("r1", 2, None),
        ("r2", 1, 3),
    ]
    assert events.read("SELECT max(score) FROM checks WHERE request_id = 'r2'").item() == 0.7


def test_unknown_keys_are_kept(events: EventStore, settings: Settings) -> None:
    load_records(events, NAME, [make_record(make_labels(BENIGN=1.0), tenant=7)], source="t", settings=settings)
    assert orjson.loads(events.read("SELECT extra FROM checks").item()) == {"tenant": 7}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"timestamp": None}, "timestamp"),
        ({"model": None}, "model"),
        ({"output": None}, "output"),
        ({"threshold": 2}, "threshold"),
        ({"stage": "mid-air"}, "stage"),
        ({"mode": "loud"}, "mode"),
    ],
)
def test_refused(change: dict[str, Any], field: str, events: EventStore, settings: Settings) -> None:
    load_records(events, NAME, [make_record(make_labels(BENIGN=1.0)) | change], source="t", settings=settings)
    assert events.read("SELECT field FROM quarantine").item() == field


def test_sniff() -> None:
    assert FORMATS[NAME].sniff(make_record([])) == 1.0
    assert FORMATS[NAME].sniff(make_record("safe")) == 0.0
    assert FORMATS[NAME].sniff(make_record([], model="meta-llama/Llama-Guard-3-8B")) == 0.0
