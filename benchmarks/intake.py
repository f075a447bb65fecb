"""Rows a second that the HTTP intake makes durable: batches from several clients against a real server.

Run: python -m benchmarks.intake [--clients 16] [--batches 50] [--size 500]
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx

from benchmarks.ingest import write_log
from benchmarks.serving import environment_without, free_port, run_server, weir_command


@contextmanager
def serve(home: Path) -> Iterator[str]:
    """The address of a server on `home`, with nothing else to do."""
    port = free_port()
    command, environment = weir_command(home, port), environment_without("WEIR_")
    with run_server(command, environment, port=port, log=home.with_suffix(".log")):
        yield f"http://127.0.0.1:{port}"


def make_batches(folder: Path, *, first: int, count: int, size: int) -> list[bytes]:
    """Bodies of `size` rows each."""
    log = folder / "rows.jsonl"
    write_log(log, count * size, first=first)
    lines = log.read_bytes().splitlines(keepends=True)
    return [b"".join(lines[start : start + size]) for start in range(0, len(lines), size)]


def post_all(address: str, batches: list[bytes]) -> list[float]:
    """Posts one batch after another; seconds that each took."""
    seconds = []
    with httpx.Client(timeout=60) as client:
        for body in batches:
            started = time.perf_counter()
            answer = client.post(f"{address}/intake/v1/filter_log", params={"source": "benchmark"}, content=body)
            seconds.append(time.perf_counter() - started)
            answer.raise_for_status()
            if answer.json()["accepted"] != body.count(b"\n"):
                raise RuntimeError(f"Not every row was new: {answer.text}")
    return seconds


def main() -> None:
    """Prints a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--batches", type=int, default=50)
    parser.add_argument("--size", type=int, default=500)
    asked = parser.parse_args()
    load = os.getloadavg()[0]
    print(f"| batches of {asked.size} rows | rows | durable rows/s | ms a request, median | 95 % |")
    print("|---|---:|---:|---:|---:|")
    first = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        home = folder / "home"
        home.mkdir()
        with serve(home) as address:
            for clients in (1, 4, asked.clients):
                work = []
                for _ in range(clients):
                    work.append(make_batches(folder, first=first, count=asked.batches, size=asked.size))
                    first += asked.batches * asked.size
                started = time.perf_counter()
                with ThreadPoolExecutor(clients) as pool:
                    timings = pool.map(post_all, [address] * clients, work)
                    seconds = [one for found in timings for one in found]
                took = time.perf_counter() - started
                rows = clients * asked.batches * asked.size
                cuts = statistics.quantiles(seconds, n=20)
                print(
                    f"| {clients} client{'s' * (clients > 1)} | {rows:,} | {rows / took:,.0f} "
                    f"| {cuts[9] * 1000:.0f} | {cuts[18] * 1000:.0f} |"
                )
    print(f"\nLoad of the machine before, and after: {load:.1f}, {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores.")


if __name__ == "__main__":
    main()
