"""Runs `weir` in this process, and says what it wrote."""

from __future__ import annotations

import json
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import cli
from service.home import Home
from service.invocation import Invocation

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "sample_logs"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one command left behind."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The JSON document on standard output; fails unless there is exactly one and nothing else."""
        assert self.out.count("\n") == 1
        assert self.out.endswith("\n")
        return json.loads(self.out)


class Terminal(StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def run(
    *arguments: str,
    home: Home | None = None,
    folder: Path = ROOT,
    stdin: bytes | None = None,
    err: StringIO | None = None,
) -> Outcome:
    """Runs a command line; with `home`, in the process that has it open, as the server does."""
    streams = StringIO(), err or StringIO()
    status = cli._run(arguments, Invocation(folder, stdin, *streams, home))
    return Outcome(status, *(stream.getvalue() for stream in streams))


def sample_counts() -> dict[str, int]:
    """Files of sample_logs, and records, turns, checks and labels in them, as the README there counts them."""
    lines = (SAMPLES / "README.md").read_text(encoding="utf-8").splitlines()
    header, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    sums = {
        name: sum(int(row[header.index(name)]) for row in rows) for name in ("records", "turns", "checks", "labels")
    }
    return {"files": len(rows), **sums}
