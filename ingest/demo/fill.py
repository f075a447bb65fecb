"""Fills a home with simulated traffic, through the same way in that real logs take."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

import orjson
import polars as pl

from core.clock import now
from core.errors import ConflictError, UsageError
from core.events import Connection, EventStore
from core.settings import Settings
from ingest.batch import IngestSummary
from ingest.demo.simulate import Simulation, simulate
from ingest.demo.truth import Facts
from ingest.demo.world import make_plan, make_quiet_plan
from ingest.files import Progress, ingest_paths
from ingest.schema import has_demo_data

LOGS = ("model_log", "filter_log", "label_log")
TRUTH_FILE = "demo_truth.json"
DEFAULT_DAYS = 30


@dataclass(frozen=True, slots=True)
class DemoSummary:
    """What was simulated and stored.

    Attributes:
        ingest: What became of the records.
        facts: What happened to the filters, and their true error rates.
        folder: Holds the logs, and the truth beside them.
        simulate_s: Seconds that the simulation took; the ingest's are in `ingest`.
    """

    ingest: IngestSummary
    facts: Facts
    folder: Path
    simulate_s: float


def write_logs(
    simulation: Simulation, folder: Path, *, file_format: Literal["jsonl.zst", "parquet"] = "jsonl.zst"
) -> list[Path]:
    """Writes the three logs into `folder`, and beside them the truth: the facts, and a row per turn.

    Compressed JSONL, because it is read twice as fast as Parquet, whose cells become JSON first.

    Returns:
        The logs, in the order in which they should be ingested. Same simulation, same bytes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name in LOGS:
        frame: pl.DataFrame = getattr(simulation, name)
        path = folder / f"{name}.{file_format}"
        if file_format == "parquet":
            frame.write_parquet(path, compression="zstd")
        else:
            text = frame.with_columns(pl.col("ts").dt.strftime("%Y-%m-%dT%H:%M:%S%.3fZ"))
            text.write_ndjson(path, compression="zstd", compression_level=1)
        paths.append(path)
    simulation.truth.write_parquet(folder / "demo_truth.parquet", compression="zstd")
    (folder / TRUTH_FILE).write_bytes(orjson.dumps(simulation.facts, option=orjson.OPT_INDENT_2))
    return paths


def fill_demo(
    events: EventStore,
    *,
    settings: Settings,
    days: int = DEFAULT_DAYS,
    seed: int = 0,
    until: datetime | None = None,
    is_quiet: bool = False,
    on_progress: Progress | None = None,
) -> DemoSummary:
    """Simulates traffic, writes it as logs into the folder `demo` of the home, and ingests them as demo data.

    Args:
        events: The store.
        settings: The home's settings.
        days: Days of traffic.
        seed: Same seed, days and end: same bytes.
        until: End of the traffic, naive UTC; None = the present minute.
        is_quiet: Leave out what happens to the filters.
        on_progress: As in `ingest_paths`.

    Raises:
        UsageError: `days` is less than 1, or `seed` is negative.
        ConflictError: The store holds demo data already; a second demo would count everything twice.
    """
    if days < 1:
        raise UsageError("A demo needs at least one day", f"--days {days}", "Use a whole number from 1 on.")
    if seed < 0:
        raise UsageError("A seed is not negative", f"--seed {seed}", "Use a whole number from 0 on.")
    if has_demo_data(events):
        raise ConflictError("This home holds demo data already", str(settings.home), "Choose another home with --home.")
    started = time.perf_counter()
    end = until or now().replace(second=0, microsecond=0)
    simulation = simulate(days, seed=seed, until=end, course=make_quiet_plan if is_quiet else make_plan)
    folder = settings.home / "demo"
    paths = write_logs(simulation, folder)
    simulate_s = time.perf_counter() - started
    # Marked first: nobody must take half-loaded simulated traffic for real.
    events.write(_mark)
    summary = ingest_paths(events, paths, settings=settings, on_progress=on_progress)
    return DemoSummary(summary, simulation.facts, folder, simulate_s)


def _mark(connection: Connection) -> None:
    connection.execute("INSERT INTO properties VALUES ('demo', 'true')")
