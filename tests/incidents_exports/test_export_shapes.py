"""The formats that other programs define: their own types accept the rows, and the sets mean what they say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from export_world import LEAD, World, question
from openai.types.chat import ChatCompletionMessageParam
from pydantic import TypeAdapter

from core.records import RecordStore
from incidents.exports.build import build_export
from incidents.exports.llama_guard import list_codes
from metrics.query import Query

MESSAGES = TypeAdapter(list[ChatCompletionMessageParam])
TRIGGER = {"triggered": True, "decision": "block", "enforced": True, "stage": "input", "rule_id": "kw-1"}


def rows_of(world: World, records: RecordStore, out: Path, name: str) -> list[dict[str, Any]]:
    build_export(world.load(), name, out=out, records=records, query=Query(), split={"train": 1.0}, seed=0, actor=LEAD)
    return [json.loads(line) for line in (out / "train.jsonl").read_text(encoding="utf-8").splitlines()]


def test_openai_s_own_types_accept_the_rows(world: World, records: RecordStore, tmp_path: Path) -> None:
    for number in range(10):
        world.turn(f"t{number}").vote(f"t{number}", number % 2 == 0, revision=f"Better {number}.")
    sft = rows_of(world, records, tmp_path / "sft", "openai-sft")
    assert len(sft) == 10  # the fewest that such hosts take
    for row in sft:
        messages = MESSAGES.validate_python(row["messages"])
        assert [message["role"] for message in messages] == ["user", "assistant"]
    for row in rows_of(world, records, tmp_path / "dpo", "openai-dpo"):
        assert set(row) == {"input", "preferred_output", "non_preferred_output"}
        MESSAGES.validate_python(row["input"]["messages"])
        for side in ("preferred_output", "non_preferred_output"):
            (answer,) = MESSAGES.validate_python(row[side])
            assert answer["role"] == "assistant"


def test_llama_guard_rows_keep_the_formatter_s_rules(world: World, records: RecordStore, tmp_path: Path) -> None:
    world.turn("bad").vote("bad", True, category="hate", critique="It insults.")
    world.turn("good", response=None).vote("good", False, category="hate")
    world.turn("unclear").vote("unclear", True, category="no such hazard")
    rows = {row["label"]: row for row in rows_of(world, records, tmp_path / "out", "llama-guard")}
    assert rows["unsafe"]["violated_category_codes"] == [list_codes()["hate"]] == ["S10"]
    assert rows["unsafe"]["explanation"] == "It insults."
    assert (rows["safe"]["violated_category_codes"], rows["safe"]["response"]) == ([], "N/A")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["refused"] == {"unmapped_category": 1}
    # The formatter numbers categories from 1 in the order of the list.
    assert sorted(int(code.removeprefix("S")) for code in list_codes().values()) == list(range(1, 14))


def test_errors_are_balanced_within_what_is_alike(world: World, records: RecordStore, tmp_path: Path) -> None:
    for number in range(12):
        name, is_harmful = f"t{number:02}", number < 3
        language = "de" if number in (0, 4, 5) else "en"
        world.turn(name, language=language).check(name, **TRIGGER).vote(name, is_harmful)
    world.turn("quiet").vote("quiet", False)
    rows = rows_of(world, records, tmp_path / "out", "balanced-errors")
    kinds = {(row["language"], row["label"]) for row in rows}
    assert kinds == {(language, kind) for language in ("de", "en") for kind in ("false_positive", "true_positive")}
    for language, many in (("de", 1), ("en", 2)):
        own = [row["label"] for row in rows if row["language"] == language]
        assert own.count("false_positive") == own.count("true_positive") == many
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["refused"] == {"not_triggered": 1, "unmatched": 6}


def test_critique_and_revision_keep_the_transcript_form(world: World, records: RecordStore, tmp_path: Path) -> None:
    world.turn(
        "a",
        prompt=[
            {"role": "user", "content": "One"},
            {"role": "assistant", "content": "Two"},
            {"role": "user", "content": "Three"},
        ],
        response="Four",
    )
    world.vote("a", True, revision="Five", critique="Six", principle_id="F-1")
    world.turn("b").vote("b", True, revision="Better")
    (row,) = rows_of(world, records, tmp_path / "out", "cai")
    assert row["rl_prompt"] == "\n\nHuman: One\n\nAssistant: Two\n\nHuman: Three\n\nAssistant:"
    assert row["initial_response"] == [{"sample": " Four"}]
    (step,) = row["cst"]
    assert (step["cst_key"], step["critique"], step["revision"]) == ("F-1", {"sample": " Six"}, {"sample": " Five"})
    assert step["cst_value"]["edit_request"].startswith("\n\nRevisionRequest: ")
    assert step["cst_value"]["edit_request"].endswith("\n\nRevision:")


@pytest.mark.parametrize(("name", "text"), [("label-studio", "data"), ("argilla", "fields")])
def test_annotation_tools_get_text_and_verdict(
    world: World, records: RecordStore, tmp_path: Path, name: str, text: str
) -> None:
    world.turn("a").vote("a", True, category="hate")
    (row,) = rows_of(world, records, tmp_path / "out", name)
    assert row[text]["text"].startswith(f"user: {question('a')}")
    if name == "label-studio":
        (result,) = row["annotations"][0]["result"]
        assert (result["from_name"], result["to_name"], result["value"]) == (
            "verdict",
            "text",
            {"choices": ["harmful"]},
        )
    else:
        assert row["suggestions"]["verdict"]["value"] == "harmful"
        assert row["metadata"]["category"] == "hate"
