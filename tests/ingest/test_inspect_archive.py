"""Archives as broken disks, half-written runs and attackers leave them."""

from __future__ import annotations

import os
import random
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from core.errors import FormatError
from core.events import EventStore
from core.settings import Settings
from core.settings_ingest import IngestSettings
from ingest.demo.evaluations import pack_archive, write_archive
from ingest.files import ingest_paths
from ingest.inbox import Inbox
from ingest.quarantine import retry_rejects
from ingest.sources import archive, files, inspect_log
from tests.ingest.logs import make_check, read_store, to_jsonl
from tests.soak import repeats

WHOLE = write_archive()
RUN = {"eval_id": "e1", "created": "2026-03-02T09:00:00Z", "task": "attacks", "model": "lab/m"}


def make_members(count: int, **changes: object) -> list[tuple[str, bytes]]:
    """The members of a run that goes on: its start and some samples."""
    start = ("_journal/start.json", orjson.dumps({"version": 2, "eval": RUN}))
    return [start, *(make_member(number, **changes) for number in range(count))]


def make_member(number: int, **changes: object) -> tuple[str, bytes]:
    choice = {"message": {"content": f"Answer {number}"}, "stop_reason": "stop"}
    sample = {"id": number, "epoch": 1, "input": f"Question {number}", "output": {"choices": [choice]}}
    return f"samples/{number}_epoch_1.json", orjson.dumps(sample | {"scores": {"leak": {"value": "C"}}} | changes)


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def count(events: EventStore) -> tuple[int, int]:
    return events.read("SELECT (SELECT count(*) FROM turns), (SELECT count(*) FROM checks)").row(0)


def test_every_packing__same_rows(open_store: Callable[[], EventStore], settings: Settings, tmp_path: Path) -> None:
    stores = []
    for name in ("mixed", "deflate"):
        path = tmp_path / name / "a.eval"
        write(path, WHOLE)
        if name == "deflate":
            members = [(m.name, _content(path, m)) for m in archive.list_members(path.open("rb"))[0]]
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
                for member, content in members:
                    packed.writestr(member, content)
        store = open_store()
        ingest_paths(store, [path], settings=settings)
        stores.append(read_store(store))
    assert stores[0] == stores[1]
    assert len(stores[0]["turns"]) == 4


def _content(path: Path, member: archive.Member) -> bytes:
    with path.open("rb") as file:
        return archive.unpack_member(file, member)


def test_damaged_member__named_in_quarantine_and_the_others_kept(
    events: EventStore, settings: Settings, tmp_path: Path
) -> None:
    at = WHOLE.index(b"samples/rumour_epoch_1.json") + 60
    path = write(tmp_path / "a.eval", WHOLE[:at] + bytes([WHOLE[at] ^ 0xFF]) + WHOLE[at + 1 :])
    summary = ingest_paths(events, [path], settings=settings)
    assert (summary.read, summary.turns, summary.rejections) == (4, 3, {"damaged_member": 1})
    place = events.read("SELECT line_no, detail FROM quarantine").row(0)
    assert place[0] == 3
    assert place[1].startswith("samples/rumour_epoch_1.json: ")
    assert retry_rejects(events, settings=settings).read == 0


def test_damaged_header__the_run_is_told_by_the_journal(events: EventStore, settings: Settings, tmp_path: Path) -> None:
    members = [*make_members(2), ("header.json", b"{broken")]
    summary = ingest_paths(events, [write(tmp_path / "a", pack_archive(members))], settings=settings)
    assert (summary.turns, summary.rejections) == (2, {"damaged_member": 1})
    assert events.read("SELECT DISTINCT suite FROM turns").item() == "attacks"


def change_size(data: bytes, name: str, *, packed: int | None = None, full: int | None = None) -> bytes:
    """The archive with other sizes in its directory, as one has that was made to harm."""
    at = data.rindex(name.encode()) - 46
    old = struct.unpack_from("<2L", data, at + 20)
    changed = bytearray(data)
    struct.pack_into("<2L", changed, at + 20, old[0] if packed is None else packed, old[1] if full is None else full)
    return bytes(changed)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (change_size(pack_archive(make_members(3)), "samples/1_epoch_1.json", full=1 << 31), "member_too_large"),
        (change_size(pack_archive(make_members(3)), "samples/1_epoch_1.json", full=3 << 20), "member_too_large"),
        (change_size(pack_archive(make_members(3)), "samples/1_epoch_1.json", packed=600), "member_too_large"),
        (change_size(pack_archive(make_members(3)), "samples/1_epoch_1.json", full=20), "damaged_member"),
        (change_size(pack_archive(make_members(3)), "samples/1_epoch_1.json", packed=9), "damaged_member"),
    ],
    ids=["larger than is read", "unpacks to much", "overlaps the next", "holds more", "ends early"],
)
def test_member_that_lies_about_its_size__refused_before_it_is_unpacked(
    data: bytes, reason: str, events: EventStore, settings: Settings, tmp_path: Path
) -> None:
    summary = ingest_paths(events, [write(tmp_path / "a", data)], settings=settings)
    assert (summary.turns, summary.rejections) == (2, {reason: 1})
    assert "samples/1_epoch_1.json" in events.read("SELECT detail FROM quarantine").item()


def test_zeros_that_unpack_to_a_thousand_times_their_size__refused(
    events: EventStore, settings: Settings, tmp_path: Path
) -> None:
    with zipfile.ZipFile(tmp_path / "a", "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in make_members(1):
            packed.writestr(name, content)
        packed.writestr("samples/bomb_epoch_1.json", b'{"id": "' + b"0" * (8 << 20) + b'"}')
    summary = ingest_paths(events, [tmp_path / "a"], settings=settings)
    assert (summary.turns, summary.rejections) == (1, {"member_too_large": 1})


@pytest.mark.parametrize(("at", "value"), [(8, 0x801), (10, 97)], ids=["encrypted", "unknown method"])
def test_member_that_cannot_be_unpacked__refused_with_the_cause(
    at: int, value: int, events: EventStore, settings: Settings, tmp_path: Path
) -> None:
    data = bytearray(pack_archive(make_members(2)))
    struct.pack_into("<H", data, data.rindex(b"samples/1_epoch_1.json") - 46 + at, value)
    summary = ingest_paths(events, [write(tmp_path / "a", bytes(data))], settings=settings)
    assert (summary.turns, summary.rejections) == (1, {"damaged_member": 1})


@pytest.mark.parametrize(
    "name",
    ["samples/../../../tmp/weir_epoch_1.json", "samples//etc/passwd_epoch_1.json", "samples/\x1b[2J\n_epoch_1.json"],
)
def test_hostile_name__never_a_path_nor_a_command(
    name: str, events: EventStore, settings: Settings, tmp_path: Path
) -> None:
    members = [*make_members(1), (name, make_member(7)[1]), (name.replace("_1", "_2"), b"not json")]
    path = write(tmp_path / "only" / "a", pack_archive(members))
    before = sorted(tmp_path.rglob("*"))
    summary = ingest_paths(events, [path], settings=settings)
    assert (summary.turns, summary.rejections) == (2, {"damaged_member": 1})
    assert events.read("SELECT detail FROM quarantine").item().isprintable()
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("content", [b"[]", b"7", b"", b"\xff\xfe", b"[" * 5000, b'{"id": 1, "epoch": 1, "x": NaN'])
def test_member_that_is_no_sample__refused(
    content: bytes, events: EventStore, settings: Settings, tmp_path: Path
) -> None:
    members = [*make_members(1), ("samples/x_epoch_1.json", content)]
    summary = ingest_paths(events, [write(tmp_path / "a", pack_archive(members))], settings=settings)
    assert (summary.turns, summary.rejections) == (1, {"damaged_member": 1})


def test_sample_in_parts__refused_and_said(events: EventStore, settings: Settings, tmp_path: Path) -> None:
    parts = [("samples/x_epoch_1/sample.json", b"{}"), ("samples/x_epoch_1/messages/0.json", b"[]")]
    summary = ingest_paths(events, [write(tmp_path / "a", pack_archive([*make_members(1), *parts]))], settings=settings)
    assert (summary.turns, summary.rejections) == (1, {"damaged_member": 1})
    assert "version 3" in events.read("SELECT detail FROM quarantine").item()


@pytest.mark.parametrize("share", [0.45, 0.7, 0.999])
def test_archive_without_its_end__what_is_there_is_kept_and_the_rest_taken_later(
    share: float, events: EventStore, settings: Settings
) -> None:
    inbox, data = Inbox(settings.inbox), pack_archive(make_members(12))
    path = write(settings.inbox / "a.eval", data[: int(share * len(data))])
    inbox.ingest_new(events, settings=settings)
    turns, _ = count(events)
    assert 1 < turns <= 12
    assert "cut off" in events.read("SELECT error FROM checkpoints").item()
    write(path, data)
    inbox.ingest_new(events, settings=settings)
    assert count(events) == (12, 12)
    assert events.read("SELECT error FROM checkpoints").item() is None
    assert inbox.ingest_new(events, settings=settings).read == 0


def test_archive_without_its_end__one_shot_says_so(events: EventStore, settings: Settings, tmp_path: Path) -> None:
    summary = ingest_paths(events, [write(tmp_path / "a", WHOLE[:-30])], settings=settings)
    assert (summary.turns, summary.rejections) == (4, {"cut_off_file": 1})


def test_run_that_goes_on__followed_to_its_end(events: EventStore, settings: Settings) -> None:
    inbox, path = Inbox(settings.inbox), settings.inbox / "a.eval"
    write(path, pack_archive(make_members(0)))
    inbox.ingest_new(events, settings=settings)
    assert events.read("SELECT count(*) FROM checkpoints").item() == 0
    for samples in (2, 5):
        write(path, pack_archive(make_members(samples)))
        inbox.ingest_new(events, settings=settings)
        assert count(events) == (samples, samples)
    write(path, pack_archive([*make_members(6), ("header.json", orjson.dumps({"version": 2, "eval": RUN}))]))
    summary = inbox.ingest_new(events, settings=settings)
    assert (summary.turns, summary.duplicates) == (1, 5)
    assert Inbox(settings.inbox).ingest_new(events, settings=settings).read == 0


def test_sample_written_twice__the_last_one_counts(events: EventStore, settings: Settings, tmp_path: Path) -> None:
    members = [*make_members(2), make_member(0, scores={"leak": {"value": "I"}})]
    ingest_paths(events, [write(tmp_path / "a", pack_archive(members))], settings=settings)
    assert events.read("SELECT score FROM checks ORDER BY request_id").rows() == [(0.0,), (1.0,)]


def test_other_zip_archive__refused_with_remedy(events: EventStore, settings: Settings, tmp_path: Path) -> None:
    path = write(tmp_path / "a.zip", pack_archive([("filters.jsonl", to_jsonl([make_check(1)]))]))
    with pytest.raises(FormatError) as error:
        ingest_paths(events, [path], settings=settings)
    assert "Unpack it" in error.value.hint


def test_too_many_members__refused(
    events: EventStore, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspect_log, "MAX_MEMBERS", 3)
    with pytest.raises(FormatError, match="too many"):
        ingest_paths(events, [write(tmp_path / "a", pack_archive(make_members(3)))], settings=settings)


def test_long_archive__in_parts_with_progress_and_recognised_again(
    events: EventStore, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MAX_LINE_BYTES", 1 << 20)
    settings = settings.model_copy(update={"ingest": IngestSettings(chunk_mb=1)})
    members = make_members(12, store={"noise": os.urandom(150_000).hex()})
    members.append(make_member(99, store={"noise": os.urandom(600_000).hex()}))
    path, seen = write(tmp_path / "a", pack_archive(members)), []
    first = ingest_paths(events, [path], settings=settings, on_progress=lambda *step: seen.append(step[1]))
    assert (first.read, first.turns, first.rejections) == (13, 12, {"line_too_long": 1})
    assert len(seen) > 2
    assert seen == sorted(seen)
    assert events.read("SELECT count(*) FROM chunks").item() > 1
    again = ingest_paths(events, [path], settings=settings)
    assert (again.read, again.turns, again.duplicates, again.rejected) == (13, 0, 12, 1)


def test_bytes_turned_over_anywhere__every_sample_stored_or_in_quarantine(
    events: EventStore, settings: Settings, tmp_path: Path
) -> None:
    chance, stored = random.Random("archive"), 0
    for number in range(repeats(12, full=5_000)):
        changed = bytearray(WHOLE)
        for _ in range(chance.randrange(1, 12)):
            changed[chance.randrange(4, len(changed))] ^= 1 << chance.randrange(8)
        cut = changed[: chance.randrange(40, len(changed))] if chance.random() < 0.3 else changed
        path = write(tmp_path / f"{number}.eval", bytes(cut))
        try:
            summary = ingest_paths(events, [path], settings=settings)
        except FormatError:
            continue
        known = summary.duplicates + summary.ignored
        assert summary.read == summary.rejected + known + summary.turns
        kept = events.read("SELECT count(*) FROM quarantine WHERE file = ?", [path.name]).item()
        assert kept == summary.rejected - summary.rejections.get("cut_off_file", 0)
        stored += summary.turns + summary.duplicates
    assert stored > 0
