"""Rows a second that the HTTP intake makes durable: batches from several clients against a real server.

Run: python -m benchmarks.intake [--clients 16] [--batches 50] [--size 500]
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx

from benchmarks.ingest import write_log

ROOT = Path(__file__).parents[1]
START_S = 90


@contextmanager
def serve(home: Path) -> Iterator[str]:
    """The address of a server on `home`, with nothing else to do."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("WEIR_")}
    command = [sys.executable, "-c", "import cli; cli.main()", "serve", "--port", str(port), "--home", str(home)]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + START_S
        while not _is_up(address):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("The server did not start.")
            time.sleep(0.2)
        yield address
    finally:
        process.terminate()
        process.wait(timeout=30)


def _is_up(address: str) -> bool:
    try:
        return httpx.get(f"{address}/healthz", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


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
