"""What ages out goes, what stays stays, and nothing comes back."""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from pathlib import Path

from core.events import EventStore
from core.settings import Settings
from core.settings_ingest import RetentionSettings
from ingest.files import ingest_paths
from ingest.inbox import Inbox
from ingest.load import load_records
from ingest.retention import TEXTS, age_out, find_aged
from tests.ingest.kill_worker import count_rows
from tests.ingest.logs import make_check, make_turn, to_jsonl

NOW = datetime(2026, 3, 31)
OLD, NEW = datetime(2026, 1, 10, 9), datetime(2026, 3, 30, 9)


def fill(folder: Path) -> list[Path]:
    """Logs of ten turns of January and ten of March, with a check and a verdict each."""
    logs: dict[str, list[dict[str, object]]] = {"turns": [], "checks": [], "labels": []}
    for number in range(20):
        at = f"{(OLD if number < 10 else NEW) + timedelta(seconds=number)}Z"
        logs["turns"].append(make_turn(number, ts=at, metadata={"k": "v"}))
        logs["checks"].append(make_check(number, request_id=f"r{number}", ts=at, content="text", matched_text="te"))
        logs["labels"].append(
            {"ts": at, "request_id": f"r{number}", "reviewer": "ana", "harmful": True, "revision": "better"}
        )
    paths = []
    folder.mkdir(exist_ok=True)
    for name, records in logs.items():
        path = folder / f"{name}.jsonl"
        path.write_bytes(to_jsonl(records) + b"broken\n")
        paths.append(path)
    return paths


def apply(events: EventStore, policy: RetentionSettings, settings: Settings) -> dict[str, int]:
    aged = find_aged(events, policy, inbox=settings.inbox, at=NOW)
    age_out(events, policy, aged, at=NOW)
    return aged.texts | aged.rows


def count(events: EventStore, table: str, where: str = "true") -> int:
    found: int = events.read(f"SELECT count(*) FROM {table} WHERE {where}").item()
    return found


def test_texts_age_out_before_rows(events: EventStore, settings: Settings, tmp_path: Path) -> None:
    ingest_paths(events, fill(tmp_path / "logs"), settings=settings)
    policy = RetentionSettings(text_d=30)
    assert apply(events, policy, settings) == {"turns": 10, "checks": 10, "labels": 10}
    for table, columns in TEXTS.items():
        for name in columns:
            assert count(events, table, f"ts < '2026-03-01' AND {name} IS NOT NULL") == 0, name
    assert count(events, "turns", "prompt IS NOT NULL") == count(events, "checks", "content IS NOT NULL") == 10
    assert count_rows(events) == (20, 20, 20, 20)
    assert not find_aged(events, policy, inbox=settings.inbox, at=NOW)


def test_rows_age_out_by_table_and_rollups_stay(events: EventStore, settings: Settings, tmp_path: Path) -> None:
    ingest_paths(events, fill(tmp_path / "logs"), settings=settings)
    assert apply(events, RetentionSettings(checks_d=30, labels_d=365), settings) == {
        "checks": 10,
        "check_scores": 0,
        "labels": 0,
    }
    assert count_rows(events) == (10, 20, 20, 20)
    assert apply(events, RetentionSettings(turns_d=30, labels_d=30), settings) == {"turns": 10, "labels": 10}
    assert count_rows(events) == (10, 20, 10, 20)
    assert count(events, "labels") == 10


def test_what_aged_out_does_not_come_back(events: EventStore, settings: Settings, tmp_path: Path) -> None:
    paths = fill(tmp_path / "logs")
    ingest_paths(events, paths, settings=settings)
    apply(events, RetentionSettings(turns_d=30, checks_d=30, labels_d=30), settings)
    again = ingest_paths(events, paths, settings=settings)
    assert (again.turns, again.checks, again.labels) == (0, 0, 0)
    assert (again.read, again.duplicates, again.ignored, again.rejected) == (63, 30, 30, 3)
    assert count_rows(events) == (10, 20, 10, 20)
    # A late check of a turn that is gone brings no turn back, and what is new comes in.
    late = [make_check(1, ts=f"{OLD}Z", latency_ms=7), make_check(50, ts=f"{NEW}Z")]
    assert load_records(events, "filter_log", late, source="x", settings=settings).checks == 1
    assert count_rows(events) == (11, 21, 11, 21)


def test_quarantine_and_read_log_files(events: EventStore, settings: Settings) -> None:
    paths = fill(settings.inbox)
    Inbox(settings.inbox).ingest_new(events, settings=settings)
    unread = settings.inbox / "unread.jsonl"
    unread.write_bytes(to_jsonl([make_turn(99)]))
    for path in (*paths, unread):
        os.utime(path, (0, 0))
    os.utime(paths[0])
    events.write(
        lambda connection: connection.execute("UPDATE quarantine SET rejected_at = '2026-01-01' WHERE line_no < 22")
    )
    policy = RetentionSettings(quarantine_d=30, inbox_d=30)
    assert apply(events, policy, settings) == {"quarantine": 3}
    assert count(events, "quarantine") == 0
    assert sorted(path.name for path in settings.inbox.iterdir()) == ["turns.jsonl", "unread.jsonl"]


def test_store_stays_small(events: EventStore, settings: Settings) -> None:
    sizes = []
    for day in range(6):
        at = NOW + timedelta(days=10 * day)
        rows = [
            make_check(row, ts=f"{at}Z", request_id=f"{day}-{row}", content=os.urandom(300).hex())
            for row in range(3000)
        ]
        load_records(events, "filter_log", rows, source="x", settings=settings)
        policy = RetentionSettings(turns_d=5, checks_d=5)
        age_out(events, policy, find_aged(events, policy, inbox=settings.inbox, at=at), at=at)
        events.checkpoint()
        sizes.append(events.path.stat().st_size)
    # Without ageing out the last is six times the first.
    assert sizes[-1] < 2.5 * sizes[0]
