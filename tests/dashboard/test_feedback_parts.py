"""What the feedback page makes of previews and of sets built earlier."""

import json
import zipfile
from io import BytesIO
from pathlib import Path

import polars as pl
import pytest

from dashboard.components.feedback_ledger import describe_verification, find_set, list_sets, zip_set
from dashboard.components.feedback_options import Options, describe_purpose
from dashboard.components.feedback_preview import (
    REFUSAL_SCHEMA,
    tabulate_balance,
    tabulate_refusals,
    tabulate_rows,
)
from incidents.exports import EXPORTS
from incidents.exports.exporter import MESSAGES, Refusal
from incidents.exports.verify import VerifyReport

HOSTILE = "<img src=x onerror=alert(1)> ![a](http://evil.example/a.png) \u202e =cmd|' /C calc'!A0"


def make_set(folder: Path, *, rows: object = 3) -> Path:
    folder.mkdir(parents=True)
    (folder / "train.jsonl").write_text("{}\n{}\n{}\n")
    manifest = {"name": "trl-kto", "rows": rows, "files": {"train.jsonl": {"rows": 3}}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def make_report(**values: object) -> VerifyReport:
    facts = {"name": "trl-kto", "rows": 107, "changed_files": (), "missing_files": (), "unexpected_files": ()}
    counts = {"withdrawn_rows": 0, "new_rows": 0, "moved_rows": 0, "data_version": 1, "current_data_version": 1}
    return VerifyReport(**{**facts, **counts, **values})  # type: ignore[arg-type]  # values of mixed types


@pytest.mark.parametrize(("percent", "split"), [(20, {"train": 0.8, "test": 0.2}), (0, {"train": 1.0})])
def test_a_test_share_becomes_a_split(percent: int, split: dict[str, float]) -> None:
    assert Options("trl-kto", percent, 0, False).split() == split


def test_every_format_has_a_purpose_in_words() -> None:
    assert all(describe_purpose(name) for name in EXPORTS)
    assert describe_purpose("a-format-of-another-version") == "a-format-of-another-version"


def test_refusals_come_with_their_sentence_most_frequent_first() -> None:
    table = tabulate_refusals({"contested": 2, "unresolved": 5})
    assert table["Count"].to_list() == [5, 2]
    assert table["What that means"][0] == Refusal.UNRESOLVED.guidance
    assert dict(tabulate_refusals({}).schema) == REFUSAL_SCHEMA


def test_balance_has_a_row_per_kind_and_a_sum() -> None:
    balance = {"train": {"desirable": 5, "undesirable": 2}, "test": {"desirable": 1, "undesirable": 0}}
    table = tabulate_balance(balance)
    assert table.columns == ["Kind", "train", "test", "all"]
    assert table.rows() == [("desirable", 5, 1, 6), ("undesirable", 2, 0, 2)]


def test_sample_rows_are_masked_until_revealed_and_plain_afterwards() -> None:
    rows = pl.DataFrame(
        {
            "split": ["train"],
            "kind": ["desirable"],
            "request_id": ["r1"],
            "prompt": [[{"role": "user", "content": HOSTILE}]],
            "label": [True],
        },
        schema_overrides={"prompt": MESSAGES},
    )
    masked = tabulate_rows(rows, is_masked=True)
    assert masked.columns == ["split", "kind", "prompt", "label"]
    assert masked["prompt"][0] == f"masked, {len('user: ' + HOSTILE)} characters"
    assert masked["label"][0] == "True"
    shown = tabulate_rows(rows, is_masked=False)["prompt"][0]
    assert shown.startswith("user: <img src=x")
    assert "\u202e" not in shown


def test_sets_are_listed_newest_first_and_what_is_no_set_is_passed_over(tmp_path: Path) -> None:
    import os

    old, new = make_set(tmp_path / "old"), make_set(tmp_path / "new")
    os.utime(old / "manifest.json", (1_000, 1_000))
    os.utime(new / "manifest.json", (2_000, 2_000))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "manifest.json").write_text("[")
    make_set(tmp_path / "odd", rows=None)
    (tmp_path / "empty").mkdir()
    found = list_sets(tmp_path)
    assert [(item.folder.name, item.rows) for item in found] == [("new", 3), ("old", 3)]
    assert found[0].size == sum(path.stat().st_size for path in new.iterdir())


def test_a_manifest_cannot_point_outside_its_folder(tmp_path: Path) -> None:
    folder = make_set(tmp_path / "set")
    (tmp_path / "outside.bin").write_bytes(b"x" * 1000)
    (folder / "manifest.json").write_text(
        json.dumps({"name": "trl-kto", "rows": 1, "files": {"../outside.bin": {"rows": 1}}})
    )
    found = find_set(folder)
    assert found is not None
    assert found.size < 1000


def test_the_archive_holds_every_file_and_is_the_same_each_time(tmp_path: Path) -> None:
    folder = make_set(tmp_path / "trl-kto-1")
    first = zip_set(folder)
    (folder / "train.jsonl").touch()
    assert zip_set(folder) == first
    with zipfile.ZipFile(BytesIO(first)) as archive:
        assert archive.namelist() == ["trl-kto-1/manifest.json", "trl-kto-1/train.jsonl"]
        assert archive.read("trl-kto-1/train.jsonl") == b"{}\n{}\n{}\n"


@pytest.mark.parametrize(
    ("report", "words"),
    [
        (make_report(), "Intact: all 107 rows are what the store would give today."),
        (make_report(changed_files=("train.jsonl",)), "Files differ from the manifest: train.jsonl."),
        (
            make_report(withdrawn_rows=2, new_rows=1),
            "Files intact; since then verdicts or data changed: 2 rows would not be given today; 1 rows would be new.",
        ),
    ],
)
def test_a_verification_is_told_in_a_sentence(report: VerifyReport, words: str) -> None:
    assert describe_verification(report) == words
