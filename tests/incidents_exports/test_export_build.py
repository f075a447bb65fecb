"""Folders: bytes, atomicity, audit, hostile text, readers, verification."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from export_world import LEAD, SPLIT, START, World, open_world
from hypothesis import given, settings
from hypothesis import strategies as st

import incidents.exports
from core.errors import AccessError, ExportError, UsageError
from core.records import RecordStore
from incidents.audit import find_tampering
from incidents.exports import EXPORTS
from incidents.exports.build import ExportSummary, build_export, preview_export
from incidents.exports.exporter import REFUSALS, REFUSED, ROW_FACTS
from incidents.exports.feedback import Recipe
from incidents.exports.files import to_lines
from incidents.exports.labelled import read_labelled
from incidents.exports.ledger import list_exports
from incidents.exports.manifest import weigh
from incidents.exports.verify import verify_export
from incidents.models import Case
from incidents.people import Actor, Role
from metrics.query import Query

GOLDEN = Path(__file__).parent / "golden"
HOSTILE = (
    "=cmd|' /C calc'!A0 <script>alert(1)</script> ![x](http://evil.invalid/x.png) | `code` --- \x00\x1b[31m\x7f\x9b31m "
    "\u202egnp.exe\u2066 \u2028line\u2029 \u0085 \ufeff \U0001f4a3 \\u0041 \"quote\" 'x' \r\n\t end"
)


def build(world: World, records: RecordStore, out: Path, name: str = "trl-kto", **options: Any) -> ExportSummary:
    arguments: dict[str, Any] = {"query": Query(), "split": SPLIT, "seed": 7, "actor": LEAD} | options
    return build_export(world.load(), name, out=out, records=records, **arguments)


def fill(world: World, count: int = 12) -> World:
    """Harmful and benign turns, some revised, some over-blocked, of a conversation each."""
    for number in range(count):
        name = f"t{number:02}"
        facts = {"outcome": "refusal", "final_text": "I cannot help with that."} if number % 4 == 3 else {}
        world.turn(name, language="en" if number % 2 else "de", **facts)
        world.check(name, triggered=True, decision="block", enforced=True, stage="input", rule_id=f"rule-{number % 2}")
        world.vote(
            name,
            number % 3 == 0,
            "ana" if number % 2 else "ben",
            revision=f"A better answer to {name}." if number % 3 == 0 else None,
            inclusion_probability=0.25 if number % 2 else None,
            guideline_version="2026-02",
            category="hate" if number % 3 == 0 else None,
            critique="It insults a group." if number % 3 == 0 else None,
            principle_id="P-2" if number % 6 == 0 else None,
        )
    world.turn("tie").vote("tie", True, "ana").vote("tie", False, "ben")
    return world


def read_folder(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("name", EXPORTS)
def test_golden_bytes(name: str, world: World, records: RecordStore, tmp_path: Path, request: Any) -> None:
    build(fill(world), records, tmp_path / "out", name)
    for file in ("train.jsonl", "test.jsonl", "provenance.jsonl", "README.md"):
        written = (tmp_path / "out" / file).read_bytes()
        golden = GOLDEN / name / file
        if os.environ.get("WRITE_GOLDEN"):
            golden.parent.mkdir(parents=True, exist_ok=True)
            golden.write_bytes(written)
        assert written == golden.read_bytes(), file


@pytest.mark.parametrize("name", EXPORTS)
def test_the_same_logs_give_the_same_bytes(name: str, tmp_path: Path, records: RecordStore) -> None:
    folders = []
    for turn in range(2):
        world = fill(open_world(tmp_path / f"home{turn}"))
        if turn:
            for pending in world.pending.values():
                pending.reverse()
        build(world, records, tmp_path / f"out{turn}", name)
        folders.append(read_folder(tmp_path / f"out{turn}"))
        world.events.close()
    assert folders[0] == folders[1]


@pytest.mark.parametrize("name", EXPORTS)
def test_manifest_and_provenance_agree_with_the_files(
    name: str, world: World, records: RecordStore, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    summary = build(fill(world), records, out, name)
    manifest = json.loads(summary.manifest_path.read_text())
    assert {path.name for path in summary.files} == {path.name for path in out.iterdir()}
    assert set(manifest["files"]) == {path.name for path in out.iterdir()} - {"manifest.json"}
    for file, entry in manifest["files"].items():
        assert hashlib.sha256((out / file).read_bytes()).hexdigest() == entry["sha256"]
    provenance = read_lines(out / "provenance.jsonl")
    assert len(provenance) == summary.rows == manifest["rows"]
    for entry in provenance:
        line = (out / f"{entry['split']}.jsonl").read_bytes().split(b"\n")[entry["row"]]
        assert hashlib.sha256(line).hexdigest() == entry["row_sha256"]
        assert list(json.loads(line)) == list(EXPORTS[name].columns)
    assert {entry["reviewers"][0] for entry in provenance} == {"reviewer-1", "reviewer-2"}
    assert "ana" not in json.dumps(manifest)
    assert sum(sum(kinds.values()) for kinds in manifest["balance"].values()) == summary.rows
    assert manifest["refused"]["unresolved"] == 1
    assert sum(list(manifest["leakage"].values())[:5]) == 0
    assert manifest["created_from"]["label_snapshot_at"] == "2026-03-02T10:13:00Z"
    assert manifest["filter_versions"] == [
        {"filter_name": "guard", "filter_version": "1", "policy_id": None, "policy_version": None}
    ]
    assert manifest["guideline_versions"] == ["2026-02"]


def test_case_ids_stand_in_the_provenance(world: World, records: RecordStore, tmp_path: Path) -> None:
    with records.session() as session:
        session.add(
            Case(
                case_id="case-1",
                request_id="t00",
                conversation_id=None,
                turn_at=START,
                opened_by="trigger",
                opened_at=START,
                state="open",
                version=1,
                seen_ingest_id=1,
            )
        )
    build(fill(world), records, tmp_path / "out")
    found = {(entry["request_id"], entry["case_id"]) for entry in read_lines(tmp_path / "out" / "provenance.jsonl")}
    assert ("t00", "case-1") in found
    assert ("t01", None) in found


@pytest.mark.parametrize("name", EXPORTS)
def test_a_reader_loads_what_was_written(
    name: str, world: World, records: RecordStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    fill(world).turn("hostile", prompt=HOSTILE, response=HOSTILE, conversation_id="pair")
    world.vote("hostile", True, revision=HOSTILE + "!", category="hate", critique=HOSTILE)
    # The set of balanced errors takes a turn only with its counterpart in the same split.
    world.turn("alike", prompt="x" * len(HOSTILE), conversation_id="pair").vote("alike", False)
    for request_id in ("hostile", "alike"):
        world.check(request_id, triggered=True, decision="block", enforced=True, stage="input")
    out = tmp_path / "out"
    build(world, records, out, name)
    card = (out / "README.md").read_text(encoding="utf-8").split("---\n")[1]
    declared = yaml.safe_load(card)
    files = {entry["split"]: str(out / entry["path"]) for entry in declared["configs"][0]["data_files"]}
    assert set(files) == {"train", "test"}
    loaded = datasets.load_dataset("json", data_files=files, cache_dir=str(tmp_path / "cache"))
    for split, rows in loaded.items():
        assert rows.to_list() == read_lines(out / f"{split}.jsonl")
        assert rows.column_names == [feature["name"] for feature in declared["dataset_info"]["features"]]
    assert any(HOSTILE in text for rows in loaded.values() for text in strings(rows.to_list()))


def strings(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for item in value.values() for text in strings(item)]
    if isinstance(value, list):
        return [text for item in value for text in strings(item)]
    return [value] if isinstance(value, str) else []


def test_hostile_text_is_inert_in_every_file(world: World, records: RecordStore, tmp_path: Path) -> None:
    world.turn("a", prompt=HOSTILE, response=HOSTILE).turn("b").vote("b", False)
    world.check("a", filter_name=HOSTILE, filter_version="|`<b>").vote("a", True, guideline_version=HOSTILE)
    world.turn("c", language="en\n---\nevil: true").vote("c", False)
    out = tmp_path / "out"
    build(world, records, out, query=Query(filters=(("app", ""), ("app", HOSTILE))))
    for name, content in read_folder(out).items():
        text = content.decode("utf-8")
        unsafe = [
            character
            for character in text
            if (ord(character) < 32 and character != "\n")
            or 127 <= ord(character) < 160
            or character in "\u2028\u2029\u202e\u2066"
        ]
        assert unsafe == [], name
    for name in ("train.jsonl", "test.jsonl", "provenance.jsonl"):
        text = (out / name).read_text(encoding="utf-8")
        assert len(text.splitlines()) == text.count("\n")
    card = (out / "README.md").read_text()
    assert "<script" not in card
    assert "<b>" not in card
    assert "![" not in card
    assert "evil" not in yaml.safe_load(card.split("---\n")[1])
    assert (out / "croissant.json").read_bytes().isascii()
    assert (out / "manifest.json").read_bytes().isascii()


@settings(deadline=None)
@given(st.lists(st.text(), max_size=5))
def test_lines_hold_any_text(texts: list[str]) -> None:
    rows = pl.DataFrame({"text": texts}, schema={"text": pl.String})
    written = to_lines(rows)
    lines = written.decode("utf-8").splitlines()
    assert [json.loads(line)["text"] for line in lines] == texts


def test_a_set_replaces_an_earlier_one_of_its_name(world: World, records: RecordStore, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    build(fill(world), records, out)
    before = read_folder(out)
    build(world.turn("new").vote("new", False), records, out)
    assert read_folder(out) != before
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_an_empty_folder_is_used(world: World, records: RecordStore, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    build(fill(world), records, tmp_path / "out")
    assert (tmp_path / "out" / "manifest.json").exists()


@pytest.mark.parametrize("kind", ["foreign", "other export", "extra file", "file", "broken", "link"])
def test_other_peoples_folders_are_left_alone(kind: str, world: World, records: RecordStore, tmp_path: Path) -> None:
    out = tmp_path / "out"
    if kind == "foreign":
        out.mkdir()
        (out / "thesis.txt").write_text("years of work")
    elif kind == "broken":
        out.mkdir()
        (out / "manifest.json").write_text('{"name": "trl-kto", "files": 3}')
    elif kind == "file":
        out.write_text("years of work")
    elif kind == "link":
        (tmp_path / "elsewhere").mkdir()
        out.symlink_to(tmp_path / "elsewhere")
    else:
        build(fill(world), records, out, "classifier" if kind == "other export" else "trl-kto")
        if kind == "extra file":
            (out / "thesis.txt").write_text("years of work")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and "out" in path.parts}
    with pytest.raises(ExportError):
        build(fill(world), records, out)
    assert {path: path.read_bytes() for path in before} == before
    assert not list(tmp_path.glob(".out*"))


@pytest.mark.parametrize("fails_at", ["record", "write", "swap"])
def test_nothing_half_written_stays(
    fails_at: str, world: World, records: RecordStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "sets" / "out"
    build(fill(world), records, out)
    before, built = read_folder(out), list_exports(records, actor=LEAD)

    def fail(*_: object, **__: object) -> None:
        raise OSError("no space left on device")

    if fails_at == "record":
        monkeypatch.setattr("incidents.audit.Change.record", fail)
    elif fails_at == "write":
        monkeypatch.setattr("incidents.exports.folder.os.fsync", fail)
    else:
        real = Path.rename
        monkeypatch.setattr(Path, "rename", lambda path, target: fail() if ".new-" in path.name else real(path, target))
    with pytest.raises(ExportError, match="no space left"):
        build(world.turn("new").vote("new", False), records, out)
    assert read_folder(out) == before
    assert [path.name for path in out.parent.iterdir()] == ["out"]
    assert list_exports(records, actor=LEAD) == built


def test_each_build_is_audited(world: World, records: RecordStore, tmp_path: Path) -> None:
    summary = build(fill(world), records, tmp_path / "one")
    build(world, records, tmp_path / "two", "classifier")
    newest, oldest = list_exports(records, actor=LEAD)
    assert (newest.name, oldest.name, oldest.actor) == ("classifier", "trl-kto", "lena")
    assert (oldest.folder, oldest.rows) == (tmp_path / "one", summary.rows)
    assert oldest.refused == sum(summary.refused.values())
    assert oldest.manifest_sha256 == hashlib.sha256(summary.manifest_path.read_bytes()).hexdigest()
    assert find_tampering(records) is None


def test_exporting_needs_a_lead(world: World, records: RecordStore, tmp_path: Path) -> None:
    with pytest.raises(AccessError):
        build(fill(world), records, tmp_path / "out", actor=Actor("ana", Role.REVIEWER))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("harmful", "missing"), [(True, "desirable"), (False, "undesirable")])
def test_kto_needs_both_classes(
    harmful: bool, missing: str, world: World, records: RecordStore, tmp_path: Path
) -> None:
    world.turn("a").vote("a", harmful).turn("b").vote("b", harmful)
    with pytest.raises(ExportError, match=f"No {missing} rows") as caught:
        build(world, records, tmp_path / "out")
    assert caught.value.hint
    assert not (tmp_path / "out").exists()
    preview = preview_export(world.events, Recipe(EXPORTS["trl-kto"], Query(), SPLIT, 7))
    assert preview.problem.startswith(f"No {missing} rows")
    assert preview.rows.height == 2


def test_nothing_to_export_is_an_error(world: World, records: RecordStore, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="no judged turn matches"):
        build(world, records, tmp_path / "out", "classifier")
    world.turn("a").vote("a", None)
    with pytest.raises(ExportError, match="unresolved votes 1"):
        build(world, records, tmp_path / "out", "classifier")


def test_an_unknown_format_names_the_known_ones(world: World, records: RecordStore, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="sft") as caught:
        build(world, records, tmp_path / "out", "sft")
    assert "trl-kto" in caught.value.hint


@pytest.mark.parametrize("name", EXPORTS)
def test_the_preview_is_what_the_build_writes(name: str, world: World, records: RecordStore, tmp_path: Path) -> None:
    summary = build(fill(world), records, tmp_path / "out", name)
    preview = preview_export(world.events, Recipe(EXPORTS[name], Query(), SPLIT, 7))
    assert (preview.balance, preview.refused) == (summary.balance, summary.refused)
    assert sum(preview.counts.values()) == summary.rows
    assert preview.problem == ""
    written = [(split, row) for split in SPLIT for row in read_lines(tmp_path / "out" / f"{split}.jsonl")]
    for row in preview.rows.drop("kind", "request_id").to_dicts():
        assert (row.pop("split"), row) in written


def test_progress_rises_to_the_end(world: World, records: RecordStore, tmp_path: Path) -> None:
    shares: list[float] = []
    build(fill(world), records, tmp_path / "out", on_progress=lambda share, _: shares.append(share))
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


@pytest.mark.parametrize(
    ("desirable", "undesirable"), [(1, 1), (1, 9), (9, 1), (7, 6), (4, 3), (3, 4), (1, 3), (100, 7)]
)
def test_suggested_weights_follow_trl(desirable: int, undesirable: int) -> None:
    weights = weigh(desirable, undesirable)
    ratio = weights["desirable_weight"] * desirable / (weights["undesirable_weight"] * undesirable)
    assert 1 <= ratio <= 4 / 3
    assert min(weights.values()) == 1


def test_an_export_verifies(world: World, records: RecordStore, tmp_path: Path) -> None:
    out = tmp_path / "out"
    since = START + timedelta(minutes=2, microseconds=1)
    query = Query(since=since, until=START + timedelta(days=9), filters=(("filter_name", "guard"),))
    summary = build(fill(world), records, out, query=query)
    report = verify_export(world.events, out, records=records)
    assert report.is_intact
    assert not report.has_drifted
    assert report.rows == summary.rows
    assert report.to_json()["is_intact"] is True


def test_verify_finds_changed_missing_and_unexpected_files(world: World, records: RecordStore, tmp_path: Path) -> None:
    out = tmp_path / "out"
    build(fill(world), records, out)
    first, *others = (out / "train.jsonl").read_bytes().splitlines(keepends=True)
    (out / "train.jsonl").write_bytes(b'{"label": true}\n' + b"".join(others))
    (out / "README.md").unlink()
    (out / "more.txt").write_text("x")
    report = verify_export(world.events, out, records=records)
    assert report.changed_files == ("train.jsonl",)
    assert report.missing_files == ("README.md",)
    assert report.unexpected_files == ("more.txt",)
    assert not report.is_intact
    assert (report.withdrawn_rows, report.new_rows, report.moved_rows) == (1, 1, 0)
    assert first


def test_verify_reports_what_the_store_would_give_now(world: World, records: RecordStore, tmp_path: Path) -> None:
    out = tmp_path / "out"
    build(fill(world), records, out, "classifier")
    world.vote("t00", False, "ben", ts=START + timedelta(days=1)).turn("new").vote("new", False)
    report = verify_export(world.load(), out, records=records)
    assert report.is_intact
    assert (report.withdrawn_rows, report.new_rows, report.moved_rows) == (1, 2, 0)
    assert report.current_data_version > report.data_version


def test_verify_counts_rows_in_another_split(world: World, records: RecordStore, tmp_path: Path) -> None:
    out = tmp_path / "out"
    build(fill(world), records, out, "classifier")
    manifest = json.loads((out / "manifest.json").read_text())
    manifest["split"] = {"test": 0.2, "train": 0.8}
    (out / "manifest.json").write_text(json.dumps(manifest))
    report = verify_export(world.events, out, records=records)
    assert report.moved_rows > 0
    assert (report.withdrawn_rows, report.new_rows) == (0, 0)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "[]",
        "{}",
        '{"name": "trl-kto"}',
        '{"name": "nope", "query": {}}',
        '{"name": "trl-kto", "files": [], "split": {"../x": 1}, "seed": 1, "include_contested": false, '
        '"query": {"since": null, "until": null, "filters": []}, "created_from": {"data_version": 1}}',
    ],
)
def test_verify_refuses_what_is_not_a_feedback_set(
    text: str | None, world: World, records: RecordStore, tmp_path: Path
) -> None:
    if text is not None:
        (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(ExportError, match="Not a feedback set"):
        verify_export(world.load(), tmp_path, records=records)


def test_a_copied_folder_verifies(world: World, records: RecordStore, tmp_path: Path) -> None:
    build(fill(world), records, tmp_path / "out")
    shutil.move(tmp_path / "out", tmp_path / "moved")
    assert verify_export(world.events, tmp_path / "moved", records=records).is_intact


@pytest.mark.parametrize("name", EXPORTS)
def test_croissant_is_whole(name: str, world: World, records: RecordStore, tmp_path: Path) -> None:
    out = tmp_path / "out"
    build(fill(world), records, out, name)
    document = json.loads((out / "croissant.json").read_text())
    required = {"@context", "@type", "name", "description", "license", "url", "creator", "datePublished"}
    assert required <= document.keys()
    assert document["conformsTo"] == "http://mlcommons.org/croissant/1.1"
    files = {file["@id"]: file for file in document["distribution"]}
    for file, entry in files.items():
        assert entry["sha256"] == hashlib.sha256((out / file).read_bytes()).hexdigest()
    assert {record["@id"] for record in document["recordSet"]} == set(SPLIT)
    ids = [document["@type"]]
    for record in document["recordSet"]:
        assert [field["name"] for field in record["field"]] == list(EXPORTS[name].columns)
        for field in record["field"]:
            for leaf in find_leaves(field):
                ids.append(leaf["@id"])
                assert leaf["source"]["fileObject"]["@id"] in files
                assert leaf["source"]["extract"]["column"] == field["name"]
    assert len(ids) == len(set(ids))


def find_leaves(field: dict[str, Any]) -> list[dict[str, Any]]:
    """The parts of a Croissant field that hold values."""
    if "subField" not in field:
        return [field]
    return [leaf for part in field["subField"] for leaf in find_leaves(part)]


@pytest.mark.parametrize("name", EXPORTS)
def test_exporters_keep_the_contract(name: str, world: World) -> None:
    exporter = EXPORTS[name]
    module = importlib.import_module(f"incidents.exports.{name.replace('-', '_')}")
    assert module.EXPORTER is exporter
    fill(world)
    labelled = read_labelled(world.load(), Query()).filter(pl.col("harmful").is_not_null())
    for turns in (labelled, labelled.clear()):
        built = exporter.build_rows(turns)
        columns = {column: exporter.columns[column] for column in exporter.built_columns()}
        assert dict(built.rows.schema) == columns | dict(ROW_FACTS)
        assert dict(built.refused.schema) == dict(REFUSED)
        assert set(built.rows["kind"]) <= set(exporter.kinds)
        assert set(built.refused["reason"]) <= set(REFUSALS)


def test_every_module_that_defines_an_exporter_is_registered() -> None:
    folder = Path(incidents.exports.__file__).parent
    defining = {path.stem for path in folder.glob("*.py") if "\nEXPORTER = " in path.read_text(encoding="utf-8")}
    assert defining == {name.replace("-", "_") for name in EXPORTS}
    assert len(defining) == len(EXPORTS)


def test_the_docs_name_every_format_and_reason() -> None:
    docs = (Path(__file__).parents[2] / "docs" / "exports.md").read_text(encoding="utf-8")
    for name in (*EXPORTS, *REFUSALS):
        assert f"| `{name}` |" in docs
