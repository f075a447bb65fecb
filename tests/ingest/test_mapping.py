"""House formats by declaration, and what `--explain` finds out about any format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.errors import ConfigError
from core.events import EventStore
from core.settings import Settings
from core.settings_ingest import MappingRule
from ingest.explain import explain_file
from ingest.files import ingest_paths
from ingest.mapping import find_formats
from ingest.quarantine import retry_rejects
from tests.ingest.logs import make_check, to_jsonl

HOUSE = MappingRule(
    name="house_guard",
    columns={
        "ts": "meta.at",
        "request_id": "meta.ids[0]",
        "filter_name": "=house-guard",
        "layer": "=classifier",
        "triggered": "result.bad",
        "decision": "result.did",
        "score": "result.p",
        "category": "result.kind",
    },
    values={"decision": {"DENY": "block", "OK": "allow"}},
    match={"meta.kind": "guard"},
)


def make_record(number: int, **result: Any) -> dict[str, Any]:
    return {
        "meta": {"at": f"2026-03-02T09:00:{number:02d}Z", "ids": [f"r{number}"], "kind": "guard", "zone": "eu"},
        "result": {"bad": False, "did": "OK", "p": 0.1, "kind": None, **result},
        "note": "kept",
    }


@pytest.fixture
def house(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", mapping=(HOUSE,))


def test_house_log__detected_read_and_kept_whole(events: EventStore, house: Settings, tmp_path: Path) -> None:
    records = [make_record(1), make_record(2, bad=True, did="DENY", p=0.9, kind="self-harm"), make_record(3, p="high")]
    path = tmp_path / "any.log"
    path.write_bytes(to_jsonl(records))
    summary = ingest_paths(events, [path], settings=house)
    assert (summary.checks, summary.rejections) == (2, {"invalid_number": 1})
    rows = events.read(
        "SELECT request_id, filter_name, triggered, decision, enforced, score, category FROM checks ORDER BY 1"
    )
    assert rows.rows() == [
        ("r1", "house-guard", False, "allow", False, 0.1, None),
        ("r2", "house-guard", True, "block", True, 0.9, "suicide_self_harm"),
    ]
    assert json.loads(events.read("SELECT extra FROM checks WHERE request_id = 'r1'").item()) == {
        "meta": {"ids": ["r1"], "kind": "guard", "zone": "eu"},
        "result": {},
        "note": "kept",
    }
    reject = events.read("SELECT format, field, record FROM quarantine").row(0)
    assert reject[:2] == ("house_guard", "score")
    assert '"p":"high"' in reject[2]
    assert retry_rejects(events, settings=house).rejected == 1


def test_other_logs_are_read_as_before(events: EventStore, house: Settings, tmp_path: Path) -> None:
    path = tmp_path / "any.log"
    path.write_bytes(to_jsonl([make_check(1)]))
    assert ingest_paths(events, [path], settings=house).checks == 1
    assert events.read("SELECT format FROM ingests").item() == "filter_log"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"columns": {"ts": "a"}}, "filter_name"),
        ({"columns": HOUSE.columns | {"colour": "a"}}, "colour"),
        ({"columns": HOUSE.columns | {"score": "a..b["}}, "a..b["),
        ({"columns": HOUSE.columns | {"score": 'a"b'}}, 'a"b'),
        ({"name": "filter_log"}, "filter_log"),
    ],
)
def test_mapping_that_cannot_be_used__named(change: dict[str, Any], named: str, tmp_path: Path) -> None:
    rule = HOUSE.model_copy(update=change)
    with pytest.raises(ConfigError) as error:
        find_formats(Settings(home=tmp_path, mapping=(rule,)))
    assert named in str(error.value.detail)


@pytest.mark.parametrize("path", ["a'b", "a; DROP TABLE checks", "$ x y"])
def test_path_is_a_value_and_no_sql(path: str, events: EventStore, tmp_path: Path) -> None:
    rule = HOUSE.model_copy(update={"columns": HOUSE.columns | {"category": path}})
    settings = Settings(home=tmp_path, mapping=(rule,))
    log = tmp_path / "any.log"
    log.write_bytes(to_jsonl([make_record(1) | {path: "hate"}]))
    assert ingest_paths(events, [log], settings=settings).rejected == 0
    assert events.read("SELECT count(*) FROM checks").item() == 1


def test_explain__says_what_each_field_is_for_and_stores_nothing(
    events: EventStore, house: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "any.log"
    path.write_bytes(to_jsonl([make_record(1, bad=True, did="DENY"), make_record(2, p="high")]))
    found = explain_file(events, path, settings=house)
    assert (found.format, found.scores) == ("house_guard", {"house_guard": 1.0})
    first, second = found.records
    fields = {field.field: field for field in first.fields}
    assert fields["meta.at"].is_required
    assert fields["meta.ids[0]"].read_as == ("checks.request_id",)
    assert set(fields["result.did"].read_as) == {"checks.decision", "checks.enforced"}
    assert (fields["note"].read_as, fields["note"].is_kept, fields["note"].value) == ((), True, '"kept"')
    assert first.yields == {"checks": 1}
    assert second.refusal is not None
    assert (second.refusal["reason"], second.yields) == ("invalid_number", {})
    assert events.read("SELECT count(*) FROM checks").item() == 0


def test_explain__says_in_numbers_what_the_first_records_yield(
    events: EventStore, house: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "any.log"
    good = [make_record(number, bad=True, did="DENY") for number in range(10)]
    path.write_bytes(to_jsonl(good) + b"{broken\n" + to_jsonl([make_record(2, p="high")]) + b"\xff{}\n")
    head = explain_file(events, path, settings=house).head
    assert (head.read, head.is_whole, head.yields) == (13, True, {"checks": 10})
    assert head.refusals == {"invalid_json": 1, "invalid_number": 1, "invalid_utf8": 1}
    path.write_bytes(to_jsonl([make_record(number % 60) for number in range(1001)]))
    head = explain_file(events, path, settings=house).head
    assert (head.read, head.is_whole) == (1000, False)


def test_explain__a_record_is_read_as_if_it_stood_alone(events: EventStore, tmp_path: Path) -> None:
    body = {"choices": [{"finish_reason": "stop"}], "created": 1772442845}
    path = tmp_path / "batch.jsonl"
    path.write_bytes(to_jsonl([{"custom_id": name, "response": {"status_code": 200, "body": body}} for name in "ab"]))
    found = explain_file(events, path, settings=Settings())
    # Its neighbour could lend it a time.
    assert {field.field: field.is_required for field in found.records[0].fields}["response.body.created"]
