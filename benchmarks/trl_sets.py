"""Builds every TRL set, as messages and as plain text, from simulated traffic: `python -m benchmarks.trl_sets FOLDER`."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from core.settings import load_settings
from incidents.exports import EXPORTS
from incidents.exports.build import build_export
from incidents.people import Actor, Role
from ingest.demo.fill import fill_demo
from metrics.query import Query
from service.home import open_home

DAYS = 7
SPLIT = {"train": 0.8, "test": 0.2}


def main(folder: Path) -> None:
    """Fills a home of its own and writes a folder for each format and variant; sets of an earlier run are replaced."""
    shutil.rmtree(folder, ignore_errors=True)
    names = [exporter.key for exporter in EXPORTS.values() if exporter.variant]
    with tempfile.TemporaryDirectory() as temporary:
        settings = load_settings(Path(temporary) / "home")
        with open_home(settings) as home:
            fill_demo(home.events, settings=settings, days=DAYS, seed=1)
            for name in names:
                for variant in ("conversational", "plain"):
                    summary = build_export(
                        home.events,
                        name,
                        out=folder / f"{name}-{variant}",
                        query=Query(),
                        split=SPLIT,
                        seed=0,
                        actor=Actor("benchmark", Role.LEAD),
                        records=home.records,
                        variant=variant,
                    )
                    print(f"{name} {variant}: {summary.rows} rows")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
