"""A home: one folder with its settings, event store and decision store, opened by one process."""

from __future__ import annotations

import ipaddress
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from core.errors import ConfigError, StoreBusyError
from core.events import EventStore
from core.records import RecordStore
from core.settings import Settings
from incidents import MIGRATIONS
from ingest.loads import Loads
from ingest.mapping import find_formats
from ingest.schema import create_tables


@dataclass(frozen=True, slots=True)
class Home:
    """Open stores and the settings in force. Thread-safe; pass it explicitly."""

    settings: Settings
    events: EventStore
    records: RecordStore
    loads: Loads = field(default_factory=Loads)


@contextmanager
def open_home(settings: Settings) -> Iterator[Home]:
    """Opens a home, creating what is missing; closes both stores afterwards.

    Raises:
        StoreBusyError: Another process has it open.
        ConfigError: A house log format cannot be used.
    """
    find_formats(settings)  # a mapping that cannot be used stops the start, not the first record
    settings.inbox.mkdir(parents=True, exist_ok=True)
    events = EventStore(
        settings.events_path,
        memory_limit=settings.store.memory_limit,
        threads=settings.store.threads,
    )
    try:
        create_tables(events)
        records = RecordStore(settings.records_url)
        try:
            records.upgrade(MIGRATIONS)
            yield Home(settings, events, records)
        finally:
            records.close()
    finally:
        events.close()


@contextmanager
def open_home_patiently(settings: Settings, *, timeout_s: float = 30.0) -> Iterator[Home]:
    """`open_home`, waiting while another command has the store for a moment.

    Raises:
        StoreBusyError: It is still taken after `timeout_s`.
    """
    deadline = time.monotonic() + timeout_s
    with ExitStack() as stack:
        while True:
            try:
                home = stack.enter_context(open_home(settings))
                break
            except StoreBusyError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        yield home


def check_binding(host: str, settings: Settings) -> None:
    """Refuses to listen beyond this host without an intake token.

    Raises:
        ConfigError: `host` is no loopback address and no token is set.
    """
    try:
        is_local = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_local = False
    if not is_local and not settings.has_intake_token:
        raise ConfigError(
            "Weir does not listen beyond this host without a token",
            f"host {host}",
            "Set WEIR_INTAKE_TOKEN or [[tokens]], or bind 127.0.0.1.",
        )


class _Current:
    """The home that this process serves."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.home: Home | None = None


_current = _Current()


def serve_home(home: Home | None) -> None:
    """Names the home that pages of this process show; None when the server stops."""
    with _current.lock:
        _current.home = home


def get_home() -> Home:
    """The home that this process serves.

    Raises:
        RuntimeError: The server's lifespan has not opened one.
    """
    home = _current.home
    if home is None:
        raise RuntimeError("No home is open in this process: start Weir with `weir serve` or `streamlit run app.py`.")
    return home
