"""Ingest speed as a ratio to DuckDB's bare reader of the same file, with replay, ticks and memory.

Run: python -m benchmarks.ingest [--rows 1000000]
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import duckdb

from core.events import EventStore
from core.settings import Settings
from ingest.files import ingest_paths
from ingest.inbox import Inbox
from ingest.schema import create_tables

LAYERS = (("keyword", "blocklist"), ("classifier", "toxicity-clf"), ("guard_llm", "llama-guard-3"))


def write_log(path: Path, rows: int, *, first: int = 0) -> None:
    """A filter log of `rows` checks, three a turn, four turns a conversation, 5 % triggered."""
    chance = random.Random(first)
    with path.open("w", encoding="utf-8") as file:
        for number in range(first, first + rows):
            layer, name = LAYERS[number % 3]
            is_hit = chance.random() < 0.05
            second = number // 3 // 2
            record = {
                "ts": f"2026-03-{1 + second // 86400 % 28:02d}T{second // 3600 % 24:02d}:{second // 60 % 60:02d}:"
                f"{second % 60:02d}.{number % 1000:03d}Z",
                "request_id": f"r{number // 3}",
                "conversation_id": f"c{number // 12}",
                "turn_index": number // 3 % 4,
                "layer": layer,
                "stage": "input",
                "filter_name": name,
                "filter_version": "41",
                "rule_id": f"kw-{number % 300}" if is_hit else None,
                "category": "harassment" if is_hit else None,
                "score": round(chance.random(), 4),
                "threshold": 0.8,
                "triggered": is_hit,
                "decision": "block" if is_hit else "allow",
                "enforced": is_hit,
                "mode": "enforce",
                "latency_ms": round(chance.random() * 100, 1),
                "outcome": None,
                "error": None,
                "user_id": f"u-{number % 5000}",
                "model": "gpt-4o",
            }
            file.write(json.dumps(record) + "\n")


def timed(work: Callable[[], object]) -> float:
    """Seconds that `work` takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def read_bare(log: Path, store: Path) -> None:
    """The floor: DuckDB reads the file into a table of its own making, with nothing checked or deduplicated."""
    connection = duckdb.connect(str(store), config={"threads": 2})
    connection.execute("CREATE TABLE log AS SELECT * FROM read_json(?)", [str(log)])
    connection.close()


def main() -> None:
    """Prints a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log = folder / "filter_log.jsonl"
        write_log(log, rows)
        settings = Settings().model_copy(update={"home": folder})
        # Each is run twice in turn and the faster counts: the first pass pays for cold caches.
        floors, firsts = [], []
        for turn in range(2):
            floors.append(timed(lambda turn=turn: read_bare(log, folder / f"bare-{turn}.duckdb")))  # type: ignore[misc]  # a lambda's default has no declared type
            events = EventStore(folder / f"events-{turn}.duckdb")
            create_tables(events)
            firsts.append(timed(lambda events=events: ingest_paths(events, [log], settings=settings)))  # type: ignore[misc]  # as above
            if turn == 0:
                events.close()
        replay = timed(lambda: ingest_paths(events, [log], settings=settings))
        floor, first = min(floors), min(firsts)
        print(f"| filter_log, {rows:,} rows, {log.stat().st_size / 1e6:,.0f} MB | rows/s | ratio |")
        print("|---|---:|---:|")
        print(f"| DuckDB `CREATE TABLE AS read_json` (floor) | {rows / floor:,.0f} | 1.00 |")
        print(f"| ingest, all checks on | {rows / first:,.0f} | {floor / first:.2f} of the floor |")
        print(f"| replay of the same file | {rows / replay:,.0f} | {first / replay:.1f} x the first ingest |")

        print("\n| one tick of 1,000 new rows, with stored rows | ms |")
        print("|---|---:|")
        inbox = Inbox(settings.inbox)
        for tick in range(3):
            path = settings.inbox / f"tick-{tick}.jsonl"
            path.parent.mkdir(exist_ok=True)
            write_log(path, 1000, first=rows + tick * 1000)
            seconds = timed(lambda: inbox.ingest_new(events, settings=settings))
            stored = events.read("SELECT count(*) FROM checks").item()
            print(f"| {stored:,} | {seconds * 1000:.0f} |")
        events.close()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"\nPeak memory of the process: {peak:,.0f} MB (DuckDB's limit: {settings.store.memory_limit}).")


if __name__ == "__main__":
    main()
