"""Files that grow, turn and vanish while they are read."""

from __future__ import annotations

import gzip
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import zstandard
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from core.events import EventStore
from core.settings import Settings
from core.settings_ingest import IngestSettings
from ingest import inbox as inbox_module
from ingest.batch import IngestSummary
from ingest.files import ingest_paths
from ingest.formats.hh_rlhf import HhRlhf
from ingest.inbox import Inbox
from ingest.loads import Loads
from ingest.quarantine import retry_rejects
from ingest.salvage import store_batch
from ingest.sources import files
from tests.ingest.logs import make_check, make_rated, make_turn, read_store, to_jsonl
from tests.soak import repeats

CHECKS = to_jsonl([make_check(number) for number in range(20)])
MIXED = (
    to_jsonl([make_check(number) for number in range(8)])
    + b'not json\n{"filter_name":"x","ts":"yesterday","triggered":true}\n'
    + to_jsonl([make_check(number) for number in range(8, 20)])
)
CSV = (
    b"ts,filter_name,triggered,decision,request_id,content,category\n"
    + b'2026-03-02T09:00:00Z,blocklist,true,block,r1,"two\nlines, one cell",hate;profanity\n'
    + b"2026-03-02T09:00:01Z,blocklist,false,allow,r2,,\n"
    + b"2026-03-02T09:00:02Z,blocklist,false,allow,r3\n"
    + b"2026-03-02T09:00:03Z,blocklist,,error,r4,,\n"
)


def write(path: Path, data: bytes) -> None:
    """Writes as a logger does, with a time that differs from the last write's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


@pytest.fixture
def whole(open_store: Callable[[], EventStore], settings: Settings, tmp_path: Path) -> Callable[[str, bytes], object]:
    """What a store holds after one-shot ingest of a file."""

    def ingest(name: str, data: bytes) -> object:
        store = open_store()
        path = tmp_path / "whole" / name
        write(path, data)
        ingest_paths(store, [path], settings=settings)
        return read_store(store)

    return ingest


@pytest.mark.parametrize(("name", "data"), [("app.jsonl", MIXED), ("app.csv", CSV)])
@examples(
    max_examples=repeats(12, full=100), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(share=st.floats(0, 1))
def test_split_at_any_byte__same_store(
    share: float,
    name: str,
    data: bytes,
    whole: Callable[[str, bytes], object],
    open_store: Callable[[], EventStore],
    settings: Settings,
    tmp_path: Path,
) -> None:
    cut = int(share * len(data))
    store = open_store()
    folder = tmp_path / f"inbox-{store.path.stem}"
    inbox = Inbox(folder)
    write(folder / name, data[:cut])
    inbox.ingest_new(store, settings=settings)
    write(folder / name, data)
    inbox.ingest_new(store, settings=settings)
    assert read_store(store) == whole(name, data)


def test_same_file_twice__nothing_added(events: EventStore, settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    write(path, MIXED)
    first = ingest_paths(events, [path], settings=settings)
    before = read_store(events)
    second = ingest_paths(events, [path], settings=settings)
    assert (first.read, first.checks, first.rejected) == (22, 20, 2)
    assert (second.checks, second.duplicates, second.rejected) == (0, 20, 2)
    assert read_store(events) == before


def test_large_file_twice__recognised_with_the_same_counts(
    events: EventStore, settings: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "a.jsonl"
    write(path, to_jsonl([make_check(number) for number in range(600)]) + b"broken\n")
    first = ingest_paths(events, [path], settings=settings)
    before = read_store(events)
    second = ingest_paths(events, [path], settings=settings)
    assert events.read("SELECT count(*) FROM chunks").item() == 1
    assert (first.checks, first.rejections) == (600, {"invalid_json": 1})
    assert (second.read, second.checks, second.duplicates) == (601, 0, 600)
    assert second.rejections == first.rejections
    assert read_store(events) == before


def test_growing_file__only_whole_lines(events: EventStore, settings: Settings) -> None:
    inbox = Inbox(settings.inbox)
    path = settings.inbox / "app.jsonl"
    lines = CHECKS.splitlines(keepends=True)
    write(path, lines[0] + lines[1][:30])
    assert inbox.ingest_new(events, settings=settings).checks == 1
    write(path, lines[0] + lines[1])
    assert inbox.ingest_new(events, settings=settings).checks == 1
    assert inbox.ingest_new(events, settings=settings).read == 0


def test_last_line_without_newline__taken_once_it_is_an_object(events: EventStore, settings: Settings) -> None:
    inbox = Inbox(settings.inbox)
    write(settings.inbox / "app.jsonl", CHECKS.rstrip(b"\n"))
    assert inbox.ingest_new(events, settings=settings).checks == 20


def test_rotation__old_file_is_followed_and_new_one_read(events: EventStore, settings: Settings) -> None:
    inbox = Inbox(settings.inbox)
    path = settings.inbox / "app.jsonl"
    first = to_jsonl([make_check(number) for number in range(5)]) + b"broken\n"
    write(path, first)
    inbox.ingest_new(events, settings=settings)
    late = to_jsonl([make_check(100)])
    path.rename(settings.inbox / "app.jsonl.1")
    write(settings.inbox / "app.jsonl.1", first + late)
    write(path, to_jsonl([make_check(number) for number in range(200, 203)]))
    summary = inbox.ingest_new(events, settings=settings)
    # The rotated file goes on where it was left: its broken line is not read, nor rejected, again.
    assert (summary.read, summary.checks, summary.rejected) == (4, 4, 0)
    assert len(read_store(events)["quarantine"]) == 1


def test_truncation__read_from_the_start(events: EventStore, settings: Settings) -> None:
    inbox = Inbox(settings.inbox)
    path = settings.inbox / "app.jsonl"
    write(path, CHECKS)
    inbox.ingest_new(events, settings=settings)
    write(path, to_jsonl([make_check(300)]))
    assert inbox.ingest_new(events, settings=settings).checks == 1


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress])
def test_truncated_file__whole_records_kept_and_rest_taken_later(
    compress: Callable[[bytes], bytes], events: EventStore, settings: Settings
) -> None:
    inbox = Inbox(settings.inbox)
    path = settings.inbox / "app.jsonl.packed"
    packed = compress(to_jsonl([make_check(number, note=os.urandom(40).hex()) for number in range(3000)]))
    write(path, packed[: len(packed) // 2])
    cut = inbox.ingest_new(events, settings=settings)
    assert 0 < cut.checks < 3000
    assert "cut off" in events.read("SELECT error FROM checkpoints").item()
    write(path, packed)
    inbox.ingest_new(events, settings=settings)
    assert events.read("SELECT count(*) FROM checks").item() == 3000
    assert events.read("SELECT error FROM checkpoints").item() is None


def to_parquet(text: bytes) -> bytes:
    """JSON lines as a Parquet file."""
    target = io.BytesIO()
    pl.read_ndjson(text).write_parquet(target)
    return target.getvalue()


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress, to_parquet])
def test_packed_file_left_half_way__read_to_its_end_by_the_next_call(
    pack: Callable[[bytes], bytes], events: EventStore, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_PARQUET_ROWS", 400)
    settings = settings.model_copy(update={"ingest": IngestSettings(chunk_mb=1)})
    write(
        settings.inbox / "a.packed", pack(to_jsonl([make_check(number, content="x" * 2000) for number in range(1200)]))
    )
    calls = iter(range(9))

    def store_first_only(*arguments: Any, **options: Any) -> IngestSummary:
        if next(calls) > 0:
            raise OSError("the server was killed")
        return store_batch(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(inbox_module, "store_batch", store_first_only)
        with pytest.raises(OSError, match="killed"):
            Inbox(settings.inbox).ingest_new(events, settings=settings)
    assert 0 < events.read("SELECT count(*) FROM checks").item() < 1200
    Inbox(settings.inbox).ingest_new(events, settings=settings)
    assert events.read("SELECT count(*) FROM checks").item() == 1200
    assert Inbox(settings.inbox).ingest_new(events, settings=settings).read == 0


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress, to_parquet])
def test_progress__rises_to_the_whole_with_what_was_read(
    pack: Callable[[bytes], bytes],
    events: EventStore,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(files, "_PARQUET_ROWS", 400)
    settings = settings.model_copy(update={"ingest": IngestSettings(chunk_mb=1)})
    path, seen = tmp_path / "a.packed", []
    write(path, pack(to_jsonl([make_check(number, content=os.urandom(1000).hex()) for number in range(1200)])))
    ingest_paths(events, [path], settings=settings, on_progress=lambda *step: seen.append(step[1:]))
    shares = [done / size for done, size in seen]
    assert shares == sorted(shares)
    assert 0.2 < shares[0] < 0.8
    assert shares[-1] == 1


def test_long_file__shows_how_far_it_is_until_it_is_stored(
    events: EventStore, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox, seen = Inbox(settings.inbox), []
    settings = settings.model_copy(update={"ingest": IngestSettings(chunk_mb=1)})
    write(settings.inbox / "short.jsonl", CHECKS)
    write(settings.inbox / "long.jsonl", to_jsonl([make_check(number, content="x" * 2000) for number in range(1200)]))
    note = Loads.note

    def look(loads: Loads, path: Path, read_bytes: int, size: int) -> None:
        note(loads, path, read_bytes, size)
        seen.extend((load.path.name, load.share) for load in loads.list())

    monkeypatch.setattr(Loads, "note", look)
    inbox.ingest_new(events, settings=settings)
    assert [name for name, _ in seen] == ["long.jsonl"] * 2
    assert 0.3 < seen[0][1] < seen[1][1] < 1
    assert inbox.loads.list() == []


def test_unknown_file__noted_and_others_go_on(events: EventStore, settings: Settings) -> None:
    inbox = Inbox(settings.inbox)
    write(settings.inbox / "a.jsonl", b'{"colour": "blue"}\n')
    write(settings.inbox / "b.jsonl", CHECKS)
    assert inbox.ingest_new(events, settings=settings).checks == 20
    errors = events.read("SELECT path, error FROM checkpoints WHERE error IS NOT NULL").rows()
    assert [Path(path).name for path, _ in errors] == ["a.jsonl"]
    assert "No log format fits" in errors[0][1]


def test_value_that_no_column_holds__quarantined_and_the_others_stored(
    events: EventStore, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its last rule is what foresees such a rating.
    monkeypatch.setattr(HhRlhf, "rules", HhRlhf.rules[:-1])
    inbox = Inbox(settings.inbox)
    bad = to_jsonl([make_rated(7, 1e40), make_rated(8, -1e40)])
    turns = [make_rated(number, 1.0) for number in range(5)]
    write(settings.inbox / "a.jsonl", to_jsonl(turns[:2]) + bad + to_jsonl(turns[2:]))
    summary = inbox.ingest_new(events, settings=settings)
    assert (summary.read, summary.turns, summary.rejections) == (7, 5, {"unfit_value": 2})
    assert events.read("SELECT line_no FROM quarantine ORDER BY 1").to_series().to_list() == [3, 4]
    assert retry_rejects(events, settings=settings).turns == 0
    assert inbox.ingest_new(events, settings=settings).read == 0


def test_subfolder_names_the_source(events: EventStore, settings: Settings) -> None:
    write(settings.inbox / "gateway" / "x.jsonl", CHECKS)
    Inbox(settings.inbox).ingest_new(events, settings=settings)
    assert events.read("SELECT DISTINCT source FROM checks").item() == "gateway"


def test_restart__goes_on_where_it_was(events: EventStore, settings: Settings) -> None:
    path = settings.inbox / "app.jsonl"
    write(path, CHECKS)
    Inbox(settings.inbox).ingest_new(events, settings=settings)
    write(path, CHECKS + to_jsonl([make_check(50)]))
    summary = Inbox(settings.inbox).ingest_new(events, settings=settings)
    assert (summary.read, summary.checks) == (1, 1)


@pytest.mark.parametrize("order", ["turns first", "checks first"])
def test_logs_of_one_turn_in_any_order__one_turn(
    order: str, open_store: Callable[[], EventStore], settings: Settings, tmp_path: Path
) -> None:
    turns, checks = tmp_path / "turns.jsonl", tmp_path / "checks.jsonl"
    write(turns, to_jsonl([make_turn(number, outcome="pass" if number else None) for number in range(10)]))
    write(checks, CHECKS)
    store = open_store()
    paths = [turns, checks] if order == "turns first" else [checks, turns]
    for path in paths:
        ingest_paths(store, [path], settings=settings)
    rows = {row["request_id"]: row for row in store.read("SELECT * FROM turns").to_dicts()}
    assert len(rows) == 10
    assert all(row["is_logged"] and row["prompt"] for row in rows.values())
    # The model log had no outcome for r0: what the filter log says of the turn fills the gap, and no more.
    assert (rows["r0"]["outcome"], rows["r3"]["outcome"]) == ("refusal", "pass")
    assert store.read("SELECT sum(turns)::INT, sum(orphans)::INT FROM turn_rollup").row(0) == (10, 0)
