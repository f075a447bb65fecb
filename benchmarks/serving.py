"""Servers as processes of their own, on a free port of this host."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[1]
_START_S, _STOP_S = 180, 60
_SHOWN = 2000


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def weir_command(home: Path, port: int) -> list[str]:
    """The command line of Weir's server on `home`."""
    return [sys.executable, "-c", "import cli; cli.main()", "serve", "--port", str(port), "--home", str(home)]


def environment_without(*prefixes: str) -> dict[str, str]:
    """This process's environment without the settings of the product to be measured."""
    return {key: value for key, value in os.environ.items() if not key.startswith(prefixes)}


@contextmanager
def run_server(
    command: Sequence[str], environment: Mapping[str, str], *, port: int, log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A server that answers on `port`; it is stopped at the end.

    Raises:
        RuntimeError: It does not start.
    """
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + _START_S
        while not _is_up(f"http://127.0.0.1:{port}"):
            if process.poll() is not None or time.monotonic() > deadline:
                said = log.read_text(encoding="utf-8", errors="replace")[-_SHOWN:]
                raise RuntimeError(f"{command[0]} did not start: {said}")
            time.sleep(0.2)
        yield process
    finally:
        process.terminate()
        process.wait(timeout=_STOP_S)


def _is_up(address: str) -> bool:
    try:
        return httpx.get(f"{address}/healthz", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False
