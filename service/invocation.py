"""One run of the command line: where it reads and writes, which home it works on, how it shows its result."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from core.settings import Settings, load_settings
from service import render

if TYPE_CHECKING:
    from service.home import Home


OK, FAILED, WRONG_USAGE, PARTLY = 0, 1, 2, 3
"""Exit statuses of commands."""


@dataclass(slots=True)
class Invocation:
    """One run of the command line: where it reads and writes, and the home if this process has it open already."""

    folder: Path = field(default_factory=Path.cwd)
    stdin: bytes | None = None
    out: TextIO = field(default_factory=lambda: sys.stdout)
    err: TextIO = field(default_factory=lambda: sys.stderr)
    home: Home | None = None


INVOCATION: ContextVar[Invocation] = ContextVar("invocation")
"""The run that the present context belongs to: a server runs several at once."""


def absolute(path: Path) -> Path:
    """`path`, if relative, from the caller's folder: that of the server is another."""
    return (INVOCATION.get().folder / path).resolve()


def home_settings(home: Path | None) -> Settings:
    """The settings of the named home, or of the one that the environment names.

    Raises:
        ConfigError: A setting is unknown or invalid.
    """
    return load_settings(absolute(home) if home else None)


@contextmanager
def opened_home(home: Path | None, *, is_bulk: bool = False) -> Iterator[Home]:
    """The home that this process has open already, else the named one for as long as the command runs.

    Args:
        home: The home's folder; None for the one that the environment names.
        is_bulk: The command reads files of any size: a store opened for it keeps to the memory that ingest may have.

    Raises:
        ConfigError: A setting is unknown or invalid.
        StoreBusyError: Another process keeps the store.
    """
    invocation = INVOCATION.get()
    if invocation.home is not None:
        yield invocation.home
        return
    from service.home import open_home_patiently

    settings = home_settings(home)
    if is_bulk:
        store = settings.store.model_copy(update={"memory_limit": settings.ingest.memory_limit})
        settings = settings.model_copy(update={"store": store})
    with open_home_patiently(settings) as opened:
        yield opened


@contextmanager
def named_paths(names: list[str]) -> Iterator[list[Path]]:
    """The paths named, relative ones from the caller's folder; `-`, standard input, as a temporary file."""
    invocation = INVOCATION.get()
    with tempfile.TemporaryDirectory() as folder:
        paths: list[Path] = []
        for name in names:
            if name == "-":
                path = Path(folder) / "standard-input"
                path.write_bytes(sys.stdin.buffer.read() if invocation.stdin is None else invocation.stdin)
                paths.append(path)
            else:
                paths.append(invocation.folder / name)
        yield paths


@contextmanager
def progress(task: str) -> Iterator[Callable[[str, float], None]]:
    """A progress bar on a terminal; nothing otherwise."""
    err = INVOCATION.get().err
    if not err.isatty():
        yield lambda _step, _share: None
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(file=err), transient=True) as bar:
        handle = bar.add_task(task, total=1.0)
        yield lambda step, share: bar.update(handle, description=render.make_inert(step), completed=share)


@contextmanager
def waiting(command: str) -> Iterator[None]:
    """A sign of life while the server works."""
    if not sys.stderr.isatty():
        yield
        return
    with Console(stderr=True).status(f"The running server does: {command}"):
        yield


def emit(as_json: bool, document: Any, show: Callable[[TextIO], None]) -> None:
    """Writes a command's result: as one JSON document, or with `show` for a person."""
    out = INVOCATION.get().out
    if as_json:
        out.write(json.dumps(document, ensure_ascii=True, allow_nan=False) + "\n")
    else:
        show(out)
