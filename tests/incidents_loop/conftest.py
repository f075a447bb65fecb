"""A home with thirty simulated days of traffic, whose truth no log holds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

from core.settings import load_settings
from incidents.exports.build import build_export
from incidents.people import Actor, Role
from ingest.demo.fill import write_logs
from ingest.demo.simulate import simulate
from ingest.files import ingest_paths
from metrics.query import Query
from service.home import Home, open_home

UNTIL = datetime(2026, 3, 2, 9)
LEA = Actor("lea", Role.LEAD)
RULE = Query(filters=(("filter_name", "blocklist"), ("rule_id", "kw-113")))
IS_SOAK = os.environ.get("WEIR_SOAK") == "1"
TURNS_PER_DAY = 2000 if IS_SOAK else 1200
SEEDS = range(5) if IS_SOAK else range(1)


@dataclass(frozen=True, slots=True)
class World:
    """A home, a feedback set built from it, and what is true: request_id, harmful."""

    home: Home
    folder: Path
    truth: pl.DataFrame


@pytest.fixture(scope="module", params=SEEDS)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    root = tmp_path_factory.mktemp("loop")
    settings = load_settings(root / "home")
    simulation = simulate(30, seed=request.param, until=UNTIL, turns_per_day=TURNS_PER_DAY)
    with open_home(settings) as home:
        ingest_paths(home.events, write_logs(simulation, root / "demo"), settings=settings)
        build_export(
            home.events,
            "classifier",
            out=root / "set",
            query=Query(),
            split={"train": 0.5, "test": 0.5},
            seed=0,
            actor=LEA,
            records=home.records,
        )
        yield World(home, root / "set", simulation.truth.select("request_id", "harmful"))
