"""The metadata as others read it: MLCommons' own validator, the hub's own tools for cards, and the loader that follows a card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import datasets
import mlcroissant
import pytest
from datasets.info import DatasetInfosDict
from export_world import LEAD, SPLIT, World
from huggingface_hub import DatasetCard

from core.records import RecordStore
from incidents.exports import EXPORTS
from incidents.exports.build import build_export
from incidents.exports.llama_guard import list_codes
from metrics.query import Query

FIRED = {"triggered": True, "decision": "block", "enforced": True, "stage": "input", "rule_id": "r"}


@pytest.fixture
def folder(world: World, records: RecordStore, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A set of the format that the test is about, with rows in both splits."""
    for number in range(16):
        name, harmful = f"t{number:02}", number % 2 == 0
        world.turn(name, language="de", conversation_id=f"c{number // 2}").check(name, **FIRED)
        facts = {"revision": f"Better {number}.", "critique": "It insults.", "category": "hate", "principle_id": "P-1"}
        world.vote(name, harmful, **facts)
    out = tmp_path / "set"
    options: dict[str, Any] = {"query": Query(), "split": SPLIT, "seed": 1, "actor": LEAD}
    build_export(world.load(), request.getfixturevalue("name"), out=out, records=records, **options)
    return out


def read_rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("name", EXPORTS)
def test_metadata_is_valid_and_leads_the_loader(
    name: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    issues = mlcroissant.Dataset(jsonld=str(folder / "croissant.json")).metadata.issues
    assert (set(issues.errors), set(issues.warnings)) == (set(), set())

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    card = DatasetCard((folder / "README.md").read_text(encoding="utf-8"))
    assert (card.data.license, card.data.language) == ("other", ["de"])
    assert name in card.data.tags
    (info,) = DatasetInfosDict.from_dataset_card_data(card.data).values()
    loaded = datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
    assert set(loaded) == set(SPLIT)
    for split, rows in loaded.items():
        assert rows.to_list() == read_rows(folder / f"{split}.jsonl")
        assert rows.features == info.features
        assert info.splits[split].num_examples == rows.num_rows


# The validator's own loader cannot flatten a list inside a structure, which openai-dpo and label-studio prescribe.
@pytest.mark.parametrize("name", ["trl-kto", "classifier", "llama-guard"])
def test_croissant_loads_the_rows(name: str, folder: Path) -> None:
    rows = read_rows(folder / "train.jsonl")
    records = list(mlcroissant.Dataset(jsonld=str(folder / "croissant.json")).records("train"))
    assert len(records) == len(rows) > 0
    assert set(records[0]) == {f"train/{column}" for column in EXPORTS[name].columns}


@pytest.mark.parametrize("name", ["llama-guard"])
def test_llama_guard_s_formatter_takes_every_row(name: str, folder: Path) -> None:
    """The rules of `create_formatted_finetuning_examples` (formats.md section 8.3): codes are positions in the category list."""
    codes = {
        code: number for number, code in enumerate(sorted(list_codes().values(), key=lambda code: int(code[1:])), 1)
    }
    for split in SPLIT:
        for row in read_rows(folder / f"{split}.jsonl"):
            assert list(row) == ["prompt", "response", "violated_category_codes", "label", "explanation"]
            assert row["prompt"].strip()
            assert row["response"].strip()
            assert row["label"] == ("unsafe" if row["violated_category_codes"] else "safe")
            for code in row["violated_category_codes"]:
                # The formatter strips the prefix, reads the rest as a number and looks it up from 1.
                assert int(code.lstrip("S")) == codes[code]
