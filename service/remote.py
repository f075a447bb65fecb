"""How a command reaches the server that owns the home: over loopback, with a token that only the owner can read."""

from __future__ import annotations

import json
import os
import secrets
import socket
import ssl
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx

from core.errors import StoreBusyError

ROUTE = "/internal/v1/command"
_FILE = "server.json"
# Loopback is plain HTTP: loading the certificates that a machine trusts would take longer than most commands.
_NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@dataclass(frozen=True, slots=True)
class Address:
    """Where the server of a home listens; the file that holds it is readable by its owner alone."""

    pid: int
    port: int
    token: str


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What a command wrote and its exit status."""

    status: int
    stdout: str
    stderr: str


def publish_address(home: Path, port: int) -> Address:
    """Writes the address of this process's server into the home."""
    address = Address(os.getpid(), port, secrets.token_urlsafe(32))
    path = home / _FILE
    temporary = path.with_suffix(".tmp")
    temporary.touch(mode=0o600)
    temporary.write_text(json.dumps(asdict(address)), encoding="utf-8")
    temporary.replace(path)
    return address


def withdraw_address(home: Path) -> None:
    """Removes the address when the server stops."""
    (home / _FILE).unlink(missing_ok=True)


def find_address(home: Path) -> Address | None:
    """The address of a live server on this home, None if there is none."""
    try:
        address = Address(**json.loads((home / _FILE).read_text(encoding="utf-8")))
        os.kill(address.pid, 0)
        with socket.create_connection(("127.0.0.1", address.port), timeout=2):
            return address
    except (OSError, ValueError, TypeError):
        return None


def check_unserved(home: Path) -> None:
    """Refuses a second server on one home.

    Raises:
        StoreBusyError: A live server has published its address.
    """
    address = find_address(home)
    if address:
        raise StoreBusyError(
            "A server runs on this home already", f"http://127.0.0.1:{address.port}", "Stop it first, or use it."
        )


def call(address: Address, arguments: Sequence[str], *, folder: Path, stdin: bytes = b"") -> CommandResult:
    """Runs a command in the server.

    Args:
        address: The server.
        arguments: The command line without the program's name.
        folder: Folder that relative paths are meant from.
        stdin: What `-` reads.

    Raises:
        StoreBusyError: The server does not answer.
    """
    # In the body, not in a header: a shell's wildcard may name thousands of files.
    command = json.dumps({"arguments": list(arguments), "folder": str(folder)}).encode()
    try:
        response = httpx.post(
            f"http://127.0.0.1:{address.port}{ROUTE}",
            headers={"Authorization": f"Bearer {address.token}"},
            content=command + b"\n" + stdin,
            verify=_NO_CERTIFICATES,
            trust_env=False,  # a proxy must not see the token
            timeout=None,  # noqa: S113  an ingest takes as long as it takes
        )
        response.raise_for_status()
    except httpx.HTTPError as error:
        raise StoreBusyError(
            "The running server did not take the command", str(error), "Look at the server's log, or stop it."
        ) from error
    return CommandResult(**response.json())


def read_stdin(arguments: Sequence[str]) -> bytes:
    """Standard input, if the command line asks for it with `-`."""
    return sys.stdin.buffer.read() if "-" in arguments else b""
