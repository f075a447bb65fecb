"""A small world of judged turns in real stores."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from core.events import Connection, EventStore
from core.settings import Settings
from incidents.people import Actor, Role
from ingest.load import load_records
from ingest.schema import create_tables

START = datetime.fromisoformat("2026-03-02T09:00")
LEAD = Actor("lena", Role.LEAD)
SPLIT = {"train": 0.8, "test": 0.2}
# Letters alone, because some rows of digits are telephone numbers.
_LETTERS = str.maketrans("0123456789", "ghijklmnop")


def question(request_id: str) -> str:
    """The prompt of a turn that says nothing else: the words of no two turns resemble each other."""
    digest = hashlib.sha256(request_id.encode()).hexdigest().translate(_LETTERS)
    return f"Please answer {request_id}: {digest[:40]}?"


@dataclass
class World:
    """Collects log records and loads them into an event store."""

    events: EventStore
    settings: Settings
    pending: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    count: int = 0

    def turn(self, request_id: str, **facts: Any) -> World:
        """A logged turn that passed unless `facts` say otherwise; each comes a minute after the one before."""
        self.count += 1
        record = {
            "ts": START + timedelta(minutes=self.count),
            "request_id": request_id,
            "conversation_id": f"conversation-{request_id}",
            "prompt": question(request_id),
            "response": f"Answer to {request_id}.",
            "outcome": "pass",
        } | facts
        return self._add("model_log", record)

    def check(self, request_id: str, **facts: Any) -> World:
        """A check that ran."""
        record = {
            "ts": START + timedelta(minutes=self.count, seconds=1),
            "request_id": request_id,
            "filter_name": "guard",
            "filter_version": "1",
            "triggered": False,
        } | facts
        return self._add("filter_log", record)

    def vote(self, request_id: str, harmful: bool | None, reviewer: str = "ana", **facts: Any) -> World:
        """A verdict, an hour after the newest turn."""
        record = {
            "ts": START + timedelta(minutes=self.count, hours=1),
            "request_id": request_id,
            "reviewer": reviewer,
            "harmful": harmful,
        } | facts
        return self._add("label_log", record)

    def declare(self, *versions: tuple[str, list[str] | None], at: datetime = START) -> World:
        """Versions of the guidelines, oldest first, each with the categories that it changed; None = all."""
        rows = [(name, at, json.dumps(changed)) for name, changed in versions]

        def work(connection: Connection) -> None:
            for row in rows:
                connection.execute("INSERT INTO guidelines SELECT count(*) + 1, ?, ?, ? FROM guidelines", row)

        self.events.write(work)
        return self

    def load(self) -> EventStore:
        """Stores everything collected since the last load."""
        for format_key in ("model_log", "filter_log", "label_log"):
            records = self.pending.pop(format_key, [])
            if records:
                summary = load_records(self.events, format_key, records, source="test", settings=self.settings)
                assert summary.rejected == 0, summary.rejections
        return self.events

    def _add(self, format_key: str, record: dict[str, Any]) -> World:
        record = {
            name: value.isoformat() + "Z" if isinstance(value, datetime) else value for name, value in record.items()
        }
        self.pending.setdefault(format_key, []).append(record)
        return self


def open_world(folder: Path) -> World:
    """An empty world in `folder`."""
    events = EventStore(folder / "events.duckdb", memory_limit="500MB", threads=1)
    create_tables(events)
    return World(events, Settings(home=folder))
