"""The ledger: what was built, which sets hold whom, sets that go on from earlier ones, and forms of a format."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from export_world import LEAD, SPLIT, START, World, question

from core.errors import AccessError, ExportError, UsageError
from core.records import RecordStore
from incidents.exports.build import ExportSummary, build_export
from incidents.exports.exporter import Variant
from incidents.exports.ledger import find_holdings, find_last_number, list_exports, read_bindings
from incidents.exports.variants import choose_exporter
from incidents.exports.verify import verify_export
from incidents.people import Actor, Role
from metrics.query import Query

REVIEWER = Actor("rita", Role.REVIEWER)


def build(world: World, records: RecordStore, out: Path, name: str = "classifier", **options: Any) -> ExportSummary:
    arguments: dict[str, Any] = {"query": Query(), "split": SPLIT, "seed": 0, "actor": LEAD} | options
    return build_export(world.load(), name, out=out, records=records, **arguments)


def judge(world: World, *names: str, **facts: Any) -> World:
    for name in names:
        world.turn(name, **facts).vote(name, len(name) % 2 == 0)
    return world


def held(out: Path) -> list[str]:
    lines = (out / "provenance.jsonl").read_text(encoding="utf-8").splitlines()
    return sorted(json.loads(line)["request_id"] for line in lines)


def test_a_set_goes_on_from_the_last_one(world: World, records: RecordStore, tmp_path: Path) -> None:
    judge(world, "a", "bb", "c")
    first = build(world, records, tmp_path / "1")
    judge(world, "dd", "e")
    second = build(world, records, tmp_path / "2", new_since="last")
    judge(world, "f")
    third = build(world, records, tmp_path / "3", new_since="last")
    again = build(world, records, tmp_path / "4", new_since=first.number)
    assert [item.number for item in (first, second, third, again)] == [1, 2, 3, 4]
    assert [held(tmp_path / str(number)) for number in (1, 2, 3, 4)] == [
        ["a", "bb", "c"],
        ["dd", "e"],
        ["f"],
        ["dd", "e", "f"],
    ]
    assert third.refused == {"exported_before": 5}
    assert json.loads(third.manifest_path.read_text())["new_since"] == 2
    assert [entry.new_since for entry in list_exports(records, actor=LEAD)] == [1, 2, 1, None]
    for number in (1, 2, 3, 4):
        report = verify_export(world.events, tmp_path / str(number), records=records)
        assert report.is_intact
    assert not report.has_drifted


def test_a_changed_verdict_makes_a_new_row(world: World, records: RecordStore, tmp_path: Path) -> None:
    judge(world, "a", "bb")
    build(world, records, tmp_path / "1")
    world.vote("a", True, ts=START + timedelta(days=2))
    summary = build(world, records, tmp_path / "2", new_since="last")
    assert held(tmp_path / "2") == ["a"]
    assert summary.balance["train"]["harmful"] + summary.balance["test"]["harmful"] == 1


def test_new_since_needs_an_earlier_set_of_the_format(world: World, records: RecordStore, tmp_path: Path) -> None:
    judge(world, "a", "bb")
    with pytest.raises(UsageError, match="no earlier classifier set"):
        build(world, records, tmp_path / "1", new_since="last")
    build(world, records, tmp_path / "1")
    with pytest.raises(UsageError, match="No argilla set"):
        build(world, records, tmp_path / "2", "argilla", new_since=1)
    with pytest.raises(UsageError, match="No classifier set"):
        build(world, records, tmp_path / "2", new_since=7)
    with pytest.raises(ExportError, match="exported before 2"):
        build(world, records, tmp_path / "2", new_since="last")
    assert find_last_number(records) == 1, "a set that was not built has no number"


def test_which_sets_hold_a_conversation(world: World, records: RecordStore, tmp_path: Path) -> None:
    judge(world, "a", "bb", user_id="u-1", conversation_id="c-1")
    judge(world, "c", user_id="u-1")
    judge(world, "dd", user_id="u-2")
    build(world, records, tmp_path / "1")
    build(world, records, tmp_path / "2", query=Query(since=START + timedelta(minutes=3)))
    found = find_holdings(records, actor=REVIEWER, user_id="u-1")
    assert [(item.entry.number, sum(item.rows.values()), item.request_ids) for item in found] == [
        (2, 1, ("c",)),
        (1, 3, ("a", "bb", "c")),
    ]
    assert found[1].entry.folder == tmp_path / "1"
    (one,) = find_holdings(records, actor=REVIEWER, conversation_id="c-1")
    assert one.request_ids == ("a", "bb")
    assert [item.entry.number for item in find_holdings(records, actor=REVIEWER, request_id="dd")] == [2, 1]
    assert find_holdings(records, actor=REVIEWER, user_id="nobody") == []
    for wrong in ({}, {"user_id": "a", "request_id": "b"}):
        with pytest.raises(UsageError):
            find_holdings(records, actor=REVIEWER, **wrong)
    with pytest.raises(AccessError):
        find_holdings(records, actor=Actor("guest", Role.VIEWER), user_id="u-1")


def test_what_a_set_held_out_never_trains_in_another_format(world: World, records: RecordStore, tmp_path: Path) -> None:
    judge(world, *(f"t{number:02}" for number in range(20)))
    build(world, records, tmp_path / "1")
    held_out = {row["request_id"] for row in provenance(tmp_path / "1") if row["split"] == "test"}
    assert held_out
    build(world, records, tmp_path / "2", "trl-prompt-only", seed=5)
    trained = {row["request_id"] for row in provenance(tmp_path / "2") if row["split"] == "train"}
    assert trained
    assert not trained & held_out
    summary = build(world, records, tmp_path / "3", "argilla", split={"train": 1.0}, seed=9)
    leakage = json.loads((tmp_path / "2" / "manifest.json").read_text())["leakage"]
    assert leakage["held_out_before"] == 0
    assert leakage["kept_held_out"] > 0
    assert summary.refused["held_out"] >= len(held_out)


def provenance(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "provenance.jsonl").read_text(encoding="utf-8").splitlines()]


def test_the_ledger_is_read_once_for_each_turn(world: World, records: RecordStore, tmp_path: Path) -> None:
    judge(world, "a", "bb")
    for number in range(3):
        build(world, records, tmp_path / str(number))
    bindings = read_bindings(records, name="classifier", new_since=3)
    assert bindings.earlier["request_id"].sort().to_list() == ["a", "bb"]
    assert bindings.held_rows.len() == 2
    assert read_bindings(records, name="argilla", new_since=3).held_rows.is_empty()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("trl-sft", {"prompt": "{p}", "completion": " Fine."}),
        ("trl-kto", {"prompt": "{p}", "completion": " Fine.", "label": True}),
        ("trl-preference", {"prompt": "{p}", "chosen": " Fine.", "rejected": " Bad."}),
        ("trl-prompt-only", {"prompt": "{p}"}),
        ("reward-ranking", {"chosen": "{p} Fine.", "rejected": "{p} Bad."}),
    ],
)
def test_plain_text_instead_of_messages(
    name: str, expected: dict[str, Any], world: World, records: RecordStore, tmp_path: Path
) -> None:
    messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": question("a")}]
    world.turn("a", prompt=messages, response="Bad.").vote("a", True, revision="Fine.")
    out = tmp_path / "out"
    build(world, records, out, name, variant="plain", split={"train": 1.0})
    row = json.loads((out / "train.jsonl").read_text(encoding="utf-8").splitlines()[0])
    prompt = f"\n\nSystem: Be kind.\n\nHuman: {question('a')}\n\nAssistant:"
    assert row == {
        key: value.replace("{p}", prompt) if isinstance(value, str) else value for key, value in expected.items()
    }
    assert json.loads((out / "manifest.json").read_text())["variant"] == "plain"
    report = verify_export(world.events, out, records=records)
    assert report.is_intact
    assert not report.has_drifted


def test_soft_labels_verify(world: World, records: RecordStore, tmp_path: Path) -> None:
    world.turn("a").vote("a", True, "ana").vote("a", False, "ben").turn("b").vote("b", False)
    summary = build(world, records, tmp_path / "out", soft_labels=True)
    assert summary.rows == 2
    assert not verify_export(world.events, tmp_path / "out", records=records).has_drifted


@pytest.mark.parametrize(
    ("name", "variant", "soft_labels", "named"),
    [
        ("classifier", "plain", False, "trl-kto"),
        ("openai-sft", "conversational", False, "trl-kto"),
        ("trl-kto", None, True, "classifier"),
        ("nosuch", None, False, "trl-kto"),
    ],
)
def test_a_form_that_a_format_lacks_is_refused(
    name: str, variant: Variant | None, soft_labels: bool, named: str
) -> None:
    with pytest.raises(UsageError) as caught:
        choose_exporter(name, variant=variant, soft_labels=soft_labels)
    assert named in str(caught.value.hint)
    assert choose_exporter("trl-kto", variant="conversational").variant == "conversational"
