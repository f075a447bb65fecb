"""The intake beside Arize Phoenix: the same spans, bodies and clients, one product after the other on one machine.

Run: make phoenix, or python -m benchmarks.phoenix PHOENIX [--clients 16] [--batches 20] [--size 500] [--more 200]
where PHOENIX is the command `phoenix` of an environment that holds it.

Each product starts with an empty store of its default kind and takes OTLP/HTTP in protobuf. Three moments count, from the
first post on: the last answer, and when the product's own query first counts every span (Weir: `weir report`, through the
running server; Phoenix: GraphQL). Then a fresh server of each is killed (-9) right after the last answer: what is in its
store afterwards is what an answer is worth. The load of the machine stands below the table.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import httpx

from benchmarks.serving import environment_without, free_port, run_server, weir_command
from benchmarks.spans import make_bodies
from core.events import EventStore
from service.remote import call, find_address

_PATIENCE_S = 1800
_BUSY = (429, 503)
_PAUSE_S, _LOOK_S = 0.1, 0.05


class Product(Protocol):
    """One server of spans, on a folder of its own."""

    name: str

    def command(self, folder: Path, port: int) -> tuple[list[str], dict[str, str]]:
        """Its command line and environment."""
        ...

    def count(self, folder: Path, address: str) -> int:
        """Spans that its own query counts."""
        ...

    def count_stored(self, folder: Path) -> int:
        """Spans in the store of a server that no longer runs."""
        ...


class Weir:
    """This project, by its command line."""

    name = "Weir"

    def command(self, folder: Path, port: int) -> tuple[list[str], dict[str, str]]:
        """See `Product`."""
        return weir_command(folder, port), environment_without("WEIR_")

    def count(self, folder: Path, address: str) -> int:
        """Turns and checks, as `weir report` prints them."""
        server = find_address(folder)
        if server is None:
            raise RuntimeError("The server is gone.")

        def rows(name: str) -> list[dict[str, int]]:
            found: list[dict[str, int]] = json.loads(call(server, ["report", name, "--json"], folder=folder).stdout)[
                "rows"
            ]
            return found

        checks = sum(row["evaluated"] + row["errors"] + row["not_run"] for row in rows("triggers"))
        return checks + sum(row["turns"] for row in rows("outcomes"))

    def count_stored(self, folder: Path) -> int:
        """See `Product`."""
        events = EventStore(folder / "events.duckdb")
        count: int = events.read("SELECT (SELECT count(*) FROM turns) + (SELECT count(*) FROM checks)").item()
        events.close()
        return count


class Phoenix:
    """Arize Phoenix, with its default store, SQLite."""

    def __init__(self, program: Path) -> None:
        self.name = "Phoenix"
        self._program = program

    def command(self, folder: Path, port: int) -> tuple[list[str], dict[str, str]]:
        """See `Product`; nothing that it would send goes out."""
        settings = {
            "PHOENIX_WORKING_DIR": str(folder),
            "PHOENIX_HOST": "127.0.0.1",
            "PHOENIX_PORT": str(port),
            "PHOENIX_GRPC_PORT": str(free_port()),
            "PHOENIX_TELEMETRY_ENABLED": "false",
            "PHOENIX_ALLOW_EXTERNAL_RESOURCES": "false",
        }
        return [str(self._program), "serve"], environment_without("PHOENIX_", "OTEL_") | settings

    def count(self, folder: Path, address: str) -> int:
        """Spans of all projects, by GraphQL."""
        query = {"query": "{ projects { edges { node { recordCount } } } }"}
        answer = httpx.post(f"{address}/graphql", json=query, timeout=60).raise_for_status().json()
        return sum(edge["node"]["recordCount"] for edge in answer["data"]["projects"]["edges"])

    def count_stored(self, folder: Path) -> int:
        """See `Product`."""
        with sqlite3.connect(folder / "phoenix.db") as store:
            count: int = store.execute("SELECT count(*) FROM spans").fetchone()[0]
        return count


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds from the first post to the last answer, and until all spans count."""

    answered_s: float
    visible_s: float


@contextmanager
def serving(product: Product, folder: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The address of a server on the new `folder` that is ready, and its process."""
    folder.mkdir()
    port = free_port()
    command, environment = product.command(folder, port)
    with run_server(command, environment, port=port, log=folder.with_suffix(".log")) as process:
        yield f"http://127.0.0.1:{port}", process


def post_all(address: str, bodies: Sequence[bytes]) -> None:
    """Posts one body after another; one that is turned away for lack of room is sent again, as exporters do."""
    with httpx.Client(timeout=120) as client:
        for body in bodies:
            while True:
                answer = client.post(
                    f"{address}/v1/traces", content=body, headers={"Content-Type": "application/x-protobuf"}
                )
                if answer.status_code not in _BUSY:
                    break
                time.sleep(_PAUSE_S)
            answer.raise_for_status()


def post_from(address: str, bodies: Sequence[bytes], clients: int) -> float:
    """Posts from several clients at once; seconds until the last answer."""
    started = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(post_all, [address] * clients, [bodies[place::clients] for place in range(clients)]))
    return time.perf_counter() - started


def measure(product: Product, folder: Path, bodies: Sequence[bytes], *, size: int, clients: int) -> Timing:
    """Posts all bodies to a fresh server and waits until all their spans count."""
    expected = len(bodies) * size
    with serving(product, folder) as (address, _):
        product.count(folder, address)
        started = time.perf_counter()
        answered = post_from(address, bodies, clients)
        while (found := product.count(folder, address)) < expected:
            if time.perf_counter() - started > _PATIENCE_S:
                raise RuntimeError(f"{product.name} counts {found} of {expected} spans.")
            time.sleep(_LOOK_S)
        visible = time.perf_counter() - started
    if found != expected:
        raise RuntimeError(f"{product.name} counts {found} spans; {expected} were sent.")
    return Timing(answered, visible)


def survive(product: Product, folder: Path, bodies: Sequence[bytes], *, clients: int) -> int:
    """Spans in the store when the server was killed right after the last answer."""
    with serving(product, folder) as (address, process):
        post_from(address, bodies, clients)
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=60)
    return product.count_stored(folder)


def main() -> None:
    """Prints two tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("phoenix", type=Path)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--batches", type=int, default=20)
    parser.add_argument("--size", type=int, default=500)
    parser.add_argument("--more", type=int, default=200, help="batches of Weir's longer run")
    asked = parser.parse_args()
    load = os.getloadavg()[0]
    bodies = list(make_bodies(batches=max(asked.batches, asked.more), size=asked.size))
    weir, phoenix = Weir(), Phoenix(asked.phoenix.absolute())
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        options = {"size": asked.size, "clients": asked.clients}
        same = bodies[: asked.batches]
        theirs = measure(phoenix, root / "phoenix", same, **options)
        ours = measure(weir, root / "weir", same, **options)
        longer = measure(weir, root / "longer", bodies[: asked.more], **options)
        few = bodies[:4]
        kept = {one.name: survive(one, root / f"killed-{one.name}", few, clients=4) for one in (weir, phoenix)}
    print(
        f"| batches of {asked.size} spans, {asked.clients} clients | spans | answered, spans/s | visible, spans/s | beside Phoenix |"
    )
    print("|---|---:|---:|---:|---:|")
    floor = len(same) * asked.size / theirs.visible_s
    for what, timing, count in (
        ("Phoenix", theirs, asked.batches),
        ("Weir", ours, asked.batches),
        ("Weir", longer, asked.more),
    ):
        spans = count * asked.size
        rate = spans / timing.visible_s
        print(f"| {what} | {spans:,} | {spans / timing.answered_s:,.0f} | {rate:,.0f} | {rate / floor:,.1f} x |")
    print("\n| killed (-9) right after the last 200 | spans answered | in the store afterwards |")
    print("|---|---:|---:|")
    for name, count in kept.items():
        print(f"| {name} | {len(few) * asked.size:,} | {count:,} |")
    print(f"\nLoad of the machine before, and after: {load:.1f}, {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores.")


if __name__ == "__main__":
    main()
