"""What killed, starved and competing processes do; a module of its own, so that a fork server can import it once."""

from __future__ import annotations

import os
import random
import resource
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path

from core.errors import StoreBusyError, StoreFullError
from core.events import EventStore
from core.settings import IngestSettings, Settings
from core.settings_ingest import RetentionSettings
from ingest.inbox import Inbox
from ingest.load import load_records
from ingest.retention import age_out, find_aged
from ingest.rollups import compact_rollups
from ingest.schema import create_tables
from tests.ingest.logs import make_check, make_turn, to_jsonl

ROWS = 300
LIVE_ROWS = 80


def home_settings(home: Path) -> Settings:
    """Settings with chunks so small that a log takes several transactions."""
    return Settings(ingest=IngestSettings(chunk_mb=1)).model_copy(update={"home": home})


def open_patiently(path: Path) -> EventStore:
    """Opens the store, waiting a moment for the killed process to be gone, as a server does at its start."""
    deadline = time.monotonic() + 600
    while True:
        try:
            return EventStore(path)
        except StoreBusyError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def count_rows(events: EventStore) -> tuple[int, int, int, int]:
    """Checks and turns, each as rows and as the rollups have them."""
    row = events.read(
        "SELECT (SELECT count(*) FROM checks), (SELECT coalesce(sum(evaluated), 0)::BIGINT FROM check_rollup), "
        "(SELECT count(*) FROM turns), (SELECT coalesce(sum(turns), 0)::BIGINT FROM turn_rollup)"
    ).row(0)
    return row[0], row[1], row[2], row[3]


def ingest_inbox(home: Path, progress: Connection) -> None:
    """Ingests the inbox of `home`; tells before it what survived, and when it is done."""
    settings = home_settings(home)
    events = open_patiently(settings.events_path)
    create_tables(events)
    progress.send(count_rows(events))
    Inbox(settings.inbox).ingest_new(events, settings=settings)
    progress.send("done")
    progress.recv()


def compact(home: Path, number: int, progress: Connection) -> None:
    """Stores `LIVE_ROWS` checks in two parts, as live traffic comes, then sums up rollup rows and moves the log into the file."""
    settings = home_settings(home)
    events = open_patiently(settings.events_path)
    create_tables(events)
    inbox = Inbox(settings.inbox)
    for part in range(2):
        with (settings.inbox / "live.jsonl").open("ab") as file:
            half = LIVE_ROWS // 2
            file.write(to_jsonl([make_check((2 * number + part) * half + row) for row in range(half)]))
        inbox.ingest_new(events, settings=settings)
    progress.send(count_rows(events))
    events.write(lambda connection: compact_rollups(connection, before=datetime(2030, 1, 1)))
    events.checkpoint()
    progress.send("done")
    progress.recv()


def retain(home: Path, number: int, progress: Connection) -> None:
    """Stores `LIVE_ROWS` checks of day `number`, then lets that day and those before it age out."""
    settings = home_settings(home)
    events = open_patiently(settings.events_path)
    create_tables(events)
    progress.send(count_rows(events))
    day = datetime(2026, 3, 2) + timedelta(days=number)
    rows = [
        make_check(row, ts=f"{day + timedelta(seconds=row)}Z", request_id=f"{number}-{row // 2}", content="x" * 500)
        for row in range(LIVE_ROWS)
    ]
    load_records(events, "filter_log", rows, source="live", settings=settings)
    progress.send("stored")
    let_age(events, settings, at=day + timedelta(days=2))
    events.checkpoint()
    progress.send("done")
    progress.recv()


def let_age(events: EventStore, settings: Settings, *, at: datetime) -> None:
    """Removes checks and turns that are older than a day."""
    policy = RetentionSettings(turns_d=1, checks_d=1)
    age_out(events, policy, find_aged(events, policy, inbox=settings.inbox, at=at), at=at)


def share_log(home: Path, writer: int, number: int) -> None:
    """Adds lines to a log that another process writes too, and ingests it, while that process does."""
    settings = home_settings(home)
    handle = os.open(settings.inbox / f"shared-{number}.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for part in range(2):
        first = ((number * 2 + writer) * 2 + part) * ROWS
        for row in range(ROWS):
            os.write(handle, to_jsonl([make_check(first + row)]))
        events = open_patiently(settings.events_path)
        create_tables(events)
        Inbox(settings.inbox).ingest_new(events, settings=settings)
        events.close()
    os.close(handle)


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[bool]:
    """Makes `folder` a disk of its own, where this process may; says whether it is one."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        yield False
        return
    try:
        yield True
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@contextmanager
def full_disk(home: Path, room: int, *, is_disk: bool) -> Iterator[None]:
    """Leaves so many bytes free: of the disk where the home has its own, else for files of this process to grow."""
    if is_disk:
        ballast = home / "ballast"
        free = os.statvfs(home).f_bavail * os.statvfs(home).f_frsize
        ballast.write_bytes(bytes(max(0, free - room)))
        try:
            yield
        finally:
            ballast.unlink()
    else:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        largest = max((path.stat().st_size for path in home.glob("events.duckdb*")), default=0)
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest + room, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def run_out_of_room(home: Path, inbox: Path, rounds: int, seed: int, progress: Connection) -> None:
    """Ingests into a disk that is full again and again; tells how often that failed, or what went wrong."""
    chance = random.Random(seed)
    failures = 0
    with small_disk(home, 96 << 20) as is_disk:
        settings = home_settings(home)
        events = EventStore(settings.events_path)
        create_tables(events)
        follower = Inbox(inbox)
        for number in range(rounds):
            with (inbox / "turns.jsonl").open("ab") as file:
                file.write(to_jsonl([make_turn(number * ROWS + row, response="y" * 500) for row in range(ROWS)]))
            with (inbox / "checks.jsonl").open("ab") as file:
                file.write(to_jsonl([make_check(number * ROWS + row, content="x" * 500) for row in range(ROWS)]))
            with full_disk(home, chance.randrange(400 << 10), is_disk=is_disk):
                for _ in range(2):
                    try:
                        follower.ingest_new(events, settings=settings)
                        if chance.random() < 0.3:
                            events.write(lambda connection: compact_rollups(connection, before=datetime(2030, 1, 1)))
                            events.checkpoint()
                    except StoreFullError:
                        failures += 1
                checks, evaluated, turns, counted = count_rows(events)
                if checks != evaluated or turns != counted:
                    progress.send(f"round {number}, full: {count_rows(events)}")
                    return
                is_restarted = chance.random() < 0.2
                if is_restarted:
                    events.close()
            if is_restarted:
                events = EventStore(settings.events_path)
            follower.ingest_new(events, settings=settings)
            expected = (number + 1) * ROWS
            if count_rows(events) != (expected, expected, expected, expected):
                progress.send(f"round {number}, with room again: {count_rows(events)}, expected {expected}")
                return
        events.close()
    progress.send(failures)
