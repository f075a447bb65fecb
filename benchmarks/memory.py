"""Peak memory of an ingest by size of the file, each in a process of its own.

Run: python -m benchmarks.memory [--mb 100 500 2000] [--only FORMAT]... (2 GB need about 6 GB of disk and some minutes)
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.formats import SAMPLES, grow
from core.events import EventStore
from core.settings import Settings
from ingest.files import ingest_paths
from ingest.schema import create_tables


def ingest(log: Path, format_key: str, home: Path) -> None:
    """Ingests one file as `weir ingest` does with no server running, and prints records, seconds and this process's peak in MB."""
    settings = Settings().model_copy(update={"home": home})
    events = EventStore(settings.events_path, memory_limit=settings.ingest.memory_limit, threads=settings.store.threads)
    create_tables(events)
    started = time.perf_counter()
    summary = ingest_paths(events, [log], settings=settings, format_key=format_key)
    took = time.perf_counter() - started
    events.close()
    # Unlike `ru_maxrss`, this starts anew with the program, whatever process started it.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) // 1024
    print(summary.read - summary.rejected, round(took, 1), peak)


def main() -> None:
    """Prints a table in Markdown, a row as soon as it is measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mb", type=int, nargs="+", default=[100, 500, 2000])
    parser.add_argument("--only", action="append", help="a format; repeat for several")
    parser.add_argument("--child", nargs=3, type=str, metavar=("LOG", "FORMAT", "HOME"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        ingest(Path(asked.child[0]), asked.child[1], Path(asked.child[2]))
        return
    load = os.getloadavg()[0]
    print("| file | MB | records | s | peak memory, MB |")
    print("|---|---:|---:|---:|---:|")
    for key in asked.only or ["filter_log", "openai_moderation"]:
        for size in asked.mb:
            with tempfile.TemporaryDirectory() as name:
                log = Path(name) / f"{key}.jsonl"
                grow(SAMPLES / log.name, log, size * 1_000_000)
                child = [sys.executable, "-m", "benchmarks.memory", "--child", str(log), key, name]
                said = subprocess.run(child, check=True, capture_output=True, text=True).stdout.split()
            print(f"| `{log.name}` | {size:,} | {int(said[0]):,} | {said[1]} | {said[2]} |", flush=True)
    print(f"\nLoad of the machine before, and after: {load:.1f}, {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores.")


if __name__ == "__main__":
    main()
