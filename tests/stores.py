"""Empty stores, made once a process and then copied: their migrations take longer than most tests."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

from core.events import EventStore
from core.records import RecordStore
from core.settings import Settings
from incidents import MIGRATIONS
from ingest.schema import create_tables


def lay_out(home: Path) -> None:
    """Puts both stores, empty and at their newest revision, into a home that has none."""
    home.mkdir(parents=True, exist_ok=True)
    for name, content in _empty_stores().items():
        (home / name).write_bytes(content)


@functools.cache
def _empty_stores() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(home=Path(folder))
        events = EventStore(settings.events_path, threads=1)
        create_tables(events)
        events.close()
        records = RecordStore(settings.records_url)
        records.upgrade(MIGRATIONS)
        records.close()
        return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def open_records(home: Path) -> RecordStore:
    """The decision store of a home laid out here and now; close it afterwards."""
    lay_out(home)
    return RecordStore(Settings(home=home).records_url)
