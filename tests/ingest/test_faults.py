"""What befalls logs, disks and clocks. Each fault is repeated, at random points of a seeded course; counts are exact afterwards."""

from __future__ import annotations

import gzip
import itertools
import multiprocessing
import random
import shutil
import threading
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import apscheduler.executors.base
import apscheduler.schedulers.base
import duckdb
import pytest

import core.scheduler
from core.errors import StoreFullError
from core.events import Connection, EventStore
from core.scheduler import Job, JobRun, build_scheduler
from core.settings import Settings
from ingest.inbox import Inbox
from ingest.schema import create_tables
from tests.ingest.kill_worker import ROWS, count_rows, run_out_of_room, share_log
from tests.ingest.logs import make_check, make_turn, to_jsonl
from tests.soak import repeats

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload([share_log.__module__])
WAIT_S = 600


def test_full_disk__nothing_lost_and_it_goes_on_by_itself(tmp_path: Path) -> None:
    home, inbox = tmp_path / "home", tmp_path / "inbox"
    home.mkdir()
    inbox.mkdir()
    rounds = repeats(3)
    progress, other_end = PROCESSES.Pipe()
    worker = PROCESSES.Process(target=run_out_of_room, args=(home, inbox, rounds, 3, other_end), daemon=True)
    worker.start()
    other_end.close()
    failures = progress.recv()
    worker.join()
    assert isinstance(failures, int), failures
    assert failures > rounds / 3


def test_full_disk__told_as_such(events: EventStore) -> None:
    def fill(_connection: Connection) -> None:
        raise duckdb.IOException("Could not write file: No space left on device")

    with pytest.raises(StoreFullError, match="The disk is full"):
        events.write(fill)


def test_cut_off_gzip__whole_records_kept_and_the_rest_taken_later(events: EventStore, settings: Settings) -> None:
    chance = random.Random(5)
    settings.inbox.mkdir()
    inbox = Inbox(settings.inbox)
    rounds, size = repeats(6), 60
    for number in range(rounds):
        path = settings.inbox / f"{number}.jsonl.gz"
        noted = [make_check(number * size + row, note=chance.randbytes(40).hex()) for row in range(size)]
        packed = gzip.compress(to_jsonl(noted))
        part = packed[: chance.randrange(len(packed))]
        path.write_bytes(part)
        inbox.ingest_new(events, settings=settings)
        whole = zlib.decompressobj(wbits=31).decompress(part).count(b"\n")
        assert count_rows(events)[:2] == (number * size + whole,) * 2
        path.write_bytes(packed)
        inbox.ingest_new(events, settings=settings)
        assert count_rows(events)[:2] == ((number + 1) * size,) * 2
    assert events.read("SELECT count(*) FROM quarantine WHERE state = 'open'").item() == 0
    assert events.read("SELECT count(*) FROM checkpoints WHERE error IS NOT NULL").item() == 0


class _Logger:
    """A program that logs, and what turns, renames, packs and cuts its logs behind its back."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self.folder, self.chance = folder, chance
        self.written = self.broken = self.moves = 0
        self.active = folder / "app.jsonl"

    def write(self) -> None:
        count = self.chance.randrange(1, 30)
        with self.active.open("ab") as file:
            file.write(to_jsonl([make_check(self.written + row) for row in range(count)]))
            self.written += count
            if self.chance.random() < 0.3:
                file.write(b"broken line %d\n" % self.broken)
                self.broken += 1

    def rotate(self) -> None:
        for number in range(9, 0, -1):
            for suffix in ("", ".gz"):
                old = self.folder / f"app.jsonl.{number}{suffix}"
                if old.exists():
                    old.rename(self.folder / f"app.jsonl.{number + 1}{suffix}")
        if self.active.exists():
            self.active.rename(self.folder / "app.jsonl.1")

    def rename(self) -> None:
        if self.active.exists():
            self.moves += 1
            self.active.rename(self.folder / f"moved-{self.moves}.jsonl")

    def pack(self) -> None:
        for path in self.folder.glob("app.jsonl.[0-9]*"):
            if path.suffix != ".gz":
                with path.open("rb") as plain, gzip.open(f"{path}.tmp", "wb") as packed:
                    shutil.copyfileobj(plain, packed)
                Path(f"{path}.tmp").rename(f"{path}.gz")
                path.unlink()

    def copy_and_truncate(self) -> None:
        if self.active.exists():
            self.moves += 1
            shutil.copy(self.active, self.folder / f"copy-{self.moves}.jsonl")
            self.active.write_bytes(b"")


def test_rotated_renamed_packed_and_truncated_files__each_record_once(tmp_path: Path, settings: Settings) -> None:
    befell: Counter[str] = Counter()
    # Packing finds a log to pack about every second time.
    wanted = Counter(rotate=repeats(4), rename=repeats(4), copy_and_truncate=repeats(4), pack=repeats(1, full=90))
    for seed in itertools.count():
        if befell >= wanted:
            break
        chance = random.Random(seed)
        folder = tmp_path / f"inbox-{seed}"
        folder.mkdir()
        logger = _Logger(folder, chance)
        events = EventStore(tmp_path / f"{seed}.duckdb")
        create_tables(events)
        inbox = Inbox(folder)
        for _ in range(12):
            logger.write()
            names = sorted(folder.iterdir())
            fault = chance.choice([logger.write, logger.rotate, logger.rename, logger.pack, logger.copy_and_truncate])
            fault()
            befell[fault.__name__] += sorted(folder.iterdir()) != names
            if chance.random() < 0.5:
                inbox.ingest_new(events, settings=settings)
            if chance.random() < 0.1:
                inbox = Inbox(folder)
        inbox.ingest_new(events, settings=settings)
        assert count_rows(events)[:2] == (logger.written, logger.written), seed
        assert events.read("SELECT count(*) FROM quarantine").item() == logger.broken, seed
        events.close()


class _Clock:
    """The host's clock, as somebody sets it."""

    ahead = timedelta()


class _Set(datetime):
    @classmethod
    def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]  # the stub returns Self
        """The time that the clock shows."""
        return datetime.now(tz) + _Clock.ahead


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[timedelta], None]]:
    """Sets the clock of scheduler, executors and product off by some time."""
    for module in (apscheduler.schedulers.base, apscheduler.executors.base, core.scheduler, core.clock):
        monkeypatch.setattr(module, "datetime", _Set)
    yield lambda ahead: setattr(_Clock, "ahead", ahead)
    _Clock.ahead = timedelta()


def test_clock_jumps__ingest_goes_on_at_once_and_counts_stay(
    events: EventStore, settings: Settings, set_clock: Callable[[timedelta], None]
) -> None:
    chance = random.Random(9)
    settings.inbox.mkdir()
    inbox = Inbox(settings.inbox)
    ran = threading.Event()
    runs: list[JobRun] = []

    def ingest() -> str:
        return str(inbox.ingest_new(events, settings=settings).read or "")

    def record(run: JobRun) -> None:
        runs.append(run)
        ran.set()

    scheduler = build_scheduler([Job("ingest", 0.02, ingest)], record)
    scheduler.start()
    try:
        rounds, size = repeats(5), 20
        for number in range(rounds):
            # Decades, as at the first look at a time server, down to seconds.
            set_clock(chance.choice([-1, 1]) * timedelta(seconds=10 ** chance.uniform(0, 9)))
            ran.clear()
            # The clock of the logs jumps too, by less than the day within which logs of one turn are joined.
            jump = timedelta(hours=chance.uniform(-9, 9))
            moment = (datetime(2026, 3, 2, 12) + jump).isoformat() + "Z"
            temporary = settings.inbox / f"{number}.tmp"
            of_checks = [make_check(number * size + row, ts=moment, latency_ms=row) for row in range(size)]
            of_turns = [make_turn((number * size + row) // 2) for row in range(0, size, 2)]
            temporary.write_bytes(to_jsonl(of_checks))
            temporary.rename(settings.inbox / f"{number}-checks.jsonl")
            assert ran.wait(WAIT_S), f"stopped by clock {_Clock.ahead}"
            ran.clear()
            temporary.write_bytes(to_jsonl(of_turns))
            temporary.rename(settings.inbox / f"{number}-turns.jsonl")
            assert ran.wait(WAIT_S), f"stopped by clock {_Clock.ahead}"
    finally:
        scheduler.shutdown()
    assert [run.error for run in runs if run.error] == []
    assert count_rows(events) == (rounds * size, rounds * size, rounds * size // 2, rounds * size // 2)


def test_clock_set_back_while_the_scheduler_looks_at_it__the_wait_stays_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks twice, for what is due and for how long to wait: in the second, what is next would be years away."""
    looks = itertools.count()
    falling = SimpleNamespace(now=lambda tz: datetime.now(tz) - timedelta(days=1000 * next(looks)))
    scheduler = build_scheduler([Job("ingest", 3600, str)], lambda _run: None)
    scheduler.start()
    try:
        monkeypatch.setattr(apscheduler.schedulers.base, "datetime", falling)
        assert 0 <= scheduler._process_jobs() <= 3600
        assert next(looks) >= 2
    finally:
        scheduler.shutdown()


def test_two_writers__of_one_log_and_of_one_store(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "inbox").mkdir(parents=True)
    rounds = repeats(2)
    for number in range(rounds):
        writers = [PROCESSES.Process(target=share_log, args=(home, writer, number)) for writer in range(2)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join(WAIT_S)
        assert [writer.exitcode for writer in writers] == [0, 0]
    events = EventStore(home / "events.duckdb")
    Inbox(home / "inbox").ingest_new(events, settings=Settings().model_copy(update={"home": home}))
    stored = rounds * 4 * ROWS
    assert count_rows(events) == (stored, stored, stored // 2, stored // 2)
    events.close()
