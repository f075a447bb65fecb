"""What the killed process does; a module of its own, so that a fork server can import it once."""

from __future__ import annotations

import time
from multiprocessing.connection import Connection
from pathlib import Path

from core.errors import StoreBusyError
from core.events import EventStore
from core.settings import IngestSettings, Settings
from ingest.inbox import Inbox
from ingest.schema import create_tables


def _open(path: Path) -> EventStore:
    """Opens the store, waiting a moment for the killed process to be gone, as a server does at its start."""
    deadline = time.monotonic() + 20
    while True:
        try:
            return EventStore(path)
        except StoreBusyError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def ingest_inbox(home: Path, progress: Connection) -> None:
    """Ingests the inbox of `home`; says before and after it."""
    settings = Settings(ingest=IngestSettings(chunk_mb=1)).model_copy(update={"home": home})
    events = _open(settings.events_path)
    create_tables(events)
    progress.send("started")
    Inbox(settings.inbox).ingest_new(events, settings=settings)
    progress.send("done")
    progress.recv()
