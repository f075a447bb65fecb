"""Every log format's speed as a ratio to DuckDB's bare read of the same file, in one run.

Run: python -m benchmarks.formats [--mb 32] [--only FORMAT]...

Each file is the format's sample log over and over, a minute later each time, with identifiers of its own. The floor is
`CREATE TABLE AS` over `read_json` (`read_csv`, `read_parquet`), which checks and deduplicates nothing. Each is run twice and
the faster counts; beside the ratio by the clock stands that by processor time, which a busy machine changes less.
"""

from __future__ import annotations

import argparse
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import orjson
import polars as pl

from core.events import EventStore
from core.settings import Settings
from ingest.files import ingest_paths
from ingest.formats import FORMATS
from ingest.schema import create_tables

T = TypeVar("T")
SAMPLES = Path(__file__).parents[1] / "sample_logs"
_STEP_S, _STEP_ID = 60, 100_000
_UNITS = ((1e9, 1), (1e12, 1_000), (1e15, 1_000_000), (1e18, 1_000_000_000))
_NAMED_ID = re.compile(r"(?i)(^|[._a-z])id$|uuid$|identifier$|recordnumber$")
# What names a rule, a model or a place stays: real logs have few of them.
_SHARED_ID = re.compile(r"(?i)rule|policy|acl|guild|guardrail|model|channel|template|project|account")
_HEXADECIMAL = re.compile(r"[0-9a-f]{16,}")
_NUMBER = re.compile(r"\d+(\.\d+)?")
_ISO = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d")
_READERS = {".csv": "read_csv", ".parquet": "read_parquet"}

Change = Callable[[int], Any]


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds by the clock and of processor time."""

    wall_s: float
    cpu_s: float


def grow(sample: Path, target: Path, size: int) -> None:
    """Writes the records of `sample` to `target` over and over, until it has `size` bytes."""
    records = [orjson.loads(line) for line in sample.read_bytes().splitlines() if line.strip()]
    changes = [change for record in records for change in _find_changes(record)]
    with target.open("wb") as file:
        turn = 0
        while file.tell() < size:
            for node, key, change in changes:
                node[key] = change(turn)
            file.write(b"".join(orjson.dumps(record) + b"\n" for record in records))
            turn += 1


def _find_changes(node: Any, name: str = "") -> Iterator[tuple[Any, Any, Change]]:
    """The places of identifiers and times in a record, each with what it holds in the n-th repetition."""
    entries = list(node.items()) if isinstance(node, dict) else list(enumerate(node)) if isinstance(node, list) else []
    for key, child in entries:
        label = key if isinstance(key, str) else name
        change = _change_of(label, child)
        if change:
            yield node, key, change
        else:
            yield from _find_changes(child, label)


def _change_of(name: str, value: Any) -> Change | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)) or not value:
        return None
    text = str(value)
    if isinstance(value, str) and _ISO.match(text):
        moment = datetime.fromisoformat(text)
        return lambda turn: (moment + timedelta(seconds=turn * _STEP_S)).isoformat().replace("+00:00", "Z")
    for scale, unit in _UNITS:
        if _NUMBER.fullmatch(text) and scale < float(text) < 3 * scale:
            whole, kind = float(text) if "." in text else int(text), type(value)
            return lambda turn: kind(whole + turn * _STEP_S * unit)
    if not _NAMED_ID.search(name) or _SHARED_ID.search(name) or isinstance(value, float):
        return None
    if isinstance(value, int):
        return lambda turn: value + turn * _STEP_ID
    if _HEXADECIMAL.fullmatch(text):
        return lambda turn: f"{int(text, 16) ^ (turn << 20):0{len(text)}x}"
    return lambda turn: f"{text}-{turn}"


def cost_of(work: Callable[[], T]) -> tuple[Cost, T]:
    """What `work` costs, and what it returns."""
    started, used = time.perf_counter(), time.process_time()
    result = work()
    return Cost(time.perf_counter() - started, time.process_time() - used), result


def read_bare(log: Path, store: Path) -> None:
    """The floor: DuckDB reads the file into a table of its own making."""
    reader = _READERS.get(log.suffix, "read_json")
    connection = duckdb.connect(str(store), config={"threads": 2})
    read = f"CREATE TABLE log AS SELECT * FROM {reader}(?"
    try:
        connection.execute(f"{read})", [str(log)])
    except duckdb.InvalidInputException:
        # A type that only a later line shows: the whole file is looked through first.
        connection.execute(f"{read}, sample_size = -1)", [str(log)])
    connection.close()


def measure(log: Path, format_key: str, folder: Path) -> str:
    """One row of the table."""
    settings = Settings().model_copy(update={"home": folder})
    floors, costs = [], []
    for turn in range(2):
        floors.append(cost_of(partial(read_bare, log, folder / f"bare-{turn}.duckdb"))[0])
        events = EventStore(folder / f"events-{turn}.duckdb")
        create_tables(events)
        cost, summary = cost_of(partial(ingest_paths, events, [log], settings=settings, format_key=format_key))
        costs.append(cost)
        events.close()
    if summary.rejected or summary.duplicates > summary.read // 2:
        raise RuntimeError(f"{log.name}: {summary}")
    floor_s, cost_s = min(one.wall_s for one in floors), min(one.wall_s for one in costs)
    floor_cpu, cost_cpu = min(one.cpu_s for one in floors), min(one.cpu_s for one in costs)
    size = log.stat().st_size / 1e6
    return (
        f"| `{log.name}` | {summary.read:,} | {size / floor_s:,.0f} | {size / cost_s:,.1f} | {floor_s / cost_s:.2f} "
        f"| {floor_cpu / cost_cpu:.2f} |"
    )


def main() -> None:
    """Prints a table in Markdown, a row as soon as it is measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mb", type=float, default=32)
    parser.add_argument("--only", action="append", choices=list(FORMATS), help="a format; repeat for several")
    asked = parser.parse_args()
    load = os.getloadavg()[0]
    print(f"| {asked.mb:g} MB each | records | floor, MB/s | ingest, MB/s | ratio | ratio by processor time |")
    print("|---|---:|---:|---:|---:|---:|")
    for key in asked.only or FORMATS:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            log = folder / f"{key}.jsonl"
            grow(SAMPLES / log.name, log, int(asked.mb * 1e6))
            print(measure(log, key, folder), flush=True)
            if key == "filter_log":
                frame = pl.read_ndjson(log, infer_schema_length=None)
                frame = frame.select(pl.exclude(pl.Object, pl.Struct, pl.List, pl.Null))
                for other, write in ((".csv", frame.write_csv), (".parquet", frame.write_parquet)):
                    write(log.with_suffix(other))
                    (folder / other).mkdir()
                    print(measure(log.with_suffix(other), key, folder / other), flush=True)
    print(f"\nLoad of the machine before, and after: {load:.1f}, {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores.")


if __name__ == "__main__":
    main()
