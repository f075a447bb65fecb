"""Cost of one tick of scheduled ingest by the rows that are stored already: `python -m benchmarks.ticks [CHECKS]...`.

Fills a store as `benchmarks.overview` does, 90 days of a four-layer cascade, then lets logs of 1,000 new checks each arrive in
the inbox at its end, and times the tick that reads each. The first tick, which loads libraries, is not counted. 100 million
checks need 6 GB of disk.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.ingest import write_log
from benchmarks.overview import fill
from core.events import EventStore
from core.settings import Settings
from ingest.inbox import Inbox

TICKS, LINES = 11, 1_000
# Checks of `write_log` lie six to a second from 1 March on; the filled store ends a day later.
_END = 6 * 86_400


def measure(events: EventStore, home: Path) -> tuple[float, float]:
    """Median milliseconds of a tick, by the clock and of processor time."""
    settings = Settings().model_copy(update={"home": home})
    inbox = Inbox(settings.inbox)
    settings.inbox.mkdir(exist_ok=True)
    walls, cpus = [], []
    for tick in range(TICKS):
        write_log(settings.inbox / f"tick-{tick}.jsonl", LINES, first=_END + tick * LINES)
        started, used = time.perf_counter(), time.process_time()
        summary = inbox.ingest_new(events, settings=settings)
        walls.append((time.perf_counter() - started) * 1000)
        cpus.append((time.process_time() - used) * 1000)
        if summary.checks != LINES:
            raise RuntimeError(f"A tick stored {summary.checks} of {LINES} checks.")
    return statistics.median(walls[1:]), statistics.median(cpus[1:])


def main(sizes: list[int]) -> None:
    """Prints a table in Markdown, a row as soon as it is measured."""
    load = os.getloadavg()[0]
    print(f"| checks stored | a tick of {LINES:,} more, ms | ratio | processor time, ms | ratio |")
    print("|---:|---:|---:|---:|---:|")
    first: tuple[float, float] | None = None
    for checks in sizes:
        with tempfile.TemporaryDirectory() as folder:
            home = Path(folder)
            events = EventStore(home / "events.duckdb")
            fill(events, checks)
            wall, cpu = measure(events, home)
            events.close()
        first = first or (wall, cpu)
        print(f"| {checks:,} | {wall:.0f} | {wall / first[0]:.2f} | {cpu:.0f} | {cpu / first[1]:.2f} |", flush=True)
    print(f"\nLoad of the machine before, and after: {load:.1f}, {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores.")


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]] or [1_000_000, 10_000_000])
