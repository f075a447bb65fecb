"""Rankings in preference exports: the pairs, their provenance, their split, and what keeps them out."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from core.settings import load_settings
from ingest.load import load_records
from service.home import Home, open_home
from tests.service.commands import run

SAMPLE = Path(__file__).parents[2] / "sample_rankings"
NAMES = ("trl-preference", "reward-ranking", "openai-dpo")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A home with the worked ranking set and two judged turns, one with a revision."""
    with open_home(load_settings(tmp_path_factory.mktemp("ranked") / "home")) as opened:
        at = datetime(2026, 3, 2, 9)
        turns = [
            {
                "ts": str(at + timedelta(minutes=n)),
                "request_id": f"r{n}",
                "prompt": f"A question of its own, number {n * 7}",
                "response": text,
                "outcome": "pass",
            }
            for n, text in enumerate(("A bad answer.", "Fine."), start=1)
        ]
        labels = [
            {"ts": str(at), "request_id": "r1", "reviewer": "ada", "harmful": True, "revision": "A better answer."},
            {"ts": str(at), "request_id": "r2", "reviewer": "ada", "harmful": False},
        ]
        load_records(opened.events, "model_log", turns, source="m", settings=opened.settings)
        load_records(opened.events, "label_log", labels, source="l", settings=opened.settings)
        assert run("ranking", "import", str(SAMPLE / "prompts.jsonl"), "--set", "money", home=opened).status == 0
        assert run("ranking", "answers", "money", str(SAMPLE / "answers.jsonl"), home=opened).status == 0
        yield opened


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("name", NAMES)
def test_pairs_of_rankings_reach_the_preference_formats(name: str, home: Home, tmp_path: Path) -> None:
    document = run("export", name, "--out", str(tmp_path / "set"), "--json", home=home).document
    report = run("ranking", "report", "money", "--json", home=home).document
    assert sum(counts["ranked_higher"] for counts in document["balance"].values()) == report["pairs"]
    assert sum(counts["revision_preferred"] for counts in document["balance"].values()) == 1
    verified = run("export", "verify", str(tmp_path / "set"), "--json", home=home).document
    assert verified["is_intact"]
    assert not verified["has_drifted"]


def test_lineage_tells_the_set_the_raters_and_the_margin(home: Home, tmp_path: Path) -> None:
    run("export", "trl-preference", "--out", str(tmp_path / "set"), home=home)
    lines = read(tmp_path / "set" / "provenance.jsonl")
    pairs = {
        f"ranking:money:{pair['prompt_id']}:{pair['chosen']}>{pair['rejected']}": pair
        for pair in run("ranking", "report", "money", "--json", home=home).document["rows"]
    }
    ranked = {line["request_id"]: line for line in lines if line["kind"] == "ranked_higher"}
    assert ranked.keys() == pairs.keys()
    for request_id, line in ranked.items():
        assert line["margin"] == pairs[request_id]["margin"]
        assert (line["votes"], line["origin"]) == (len(pairs[request_id]["raters"]), "ranked_higher")
    # Ada has judged a turn and keeps her name; the others have only ranked.
    assert {name for line in ranked.values() for name in line["reviewers"]} == {
        "reviewer-1",
        "rater-1",
        "rater-2",
        "rater-3",
    }
    (judged,) = [line for line in lines if line["kind"] == "revision_preferred"]
    assert judged["margin"] is None
    texts = {
        (prompt["prompt_id"], item["response_id"]): item["text"]
        for prompt in read(SAMPLE / "prompts.jsonl")
        for item in prompt["responses"]
    }
    rows = {split: read(tmp_path / "set" / f"{split}.jsonl") for split in ("train", "test")}
    for line in ranked.values():
        row, pair = rows[line["split"]][line["row"]], pairs[line["request_id"]]
        assert row["chosen"][0]["content"] == texts[pair["prompt_id"], pair["chosen"]]
        assert row["rejected"][0]["content"] == texts[pair["prompt_id"], pair["rejected"]]


def test_pairs_of_one_prompt_stay_in_one_split(home: Home, tmp_path: Path) -> None:
    run("export", "reward-ranking", "--out", str(tmp_path / "set"), "--split", "train=0.5,test=0.5", home=home)
    splits: dict[str, set[str]] = {}
    for line in read(tmp_path / "set" / "provenance.jsonl"):
        splits.setdefault(line["conversation_id"] or line["request_id"], set()).add(line["split"])
    assert all(len(names) == 1 for names in splits.values())
    assert {name for names in splits.values() for name in names} == {"train", "test"}


def test_a_filter_on_checks_or_an_earlier_window_takes_no_ranking(home: Home, tmp_path: Path) -> None:
    window = ("--until", "2026-03-03")
    document = run("export", "trl-preference", "--out", str(tmp_path / "set"), *window, "--json", home=home).document
    assert document["rows"] == 1


def test_other_formats_take_no_ranking(home: Home, tmp_path: Path) -> None:
    document = run("export", "trl-sft", "--out", str(tmp_path / "set"), "--json", home=home).document
    assert document["rows"] == 2
