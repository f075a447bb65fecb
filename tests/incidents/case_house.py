"""A home with both stores, short ways to put logs into it, and people."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from core.events import EventStore
from core.records import RecordStore
from core.settings import Settings
from incidents.cases import list_cases, open_cases
from incidents.people import SYSTEM, Actor, Role
from ingest.load import load_records
from tests.stores import lay_out

T0 = datetime.fromisoformat("2026-03-02T09:00:00")
ANA = Actor("ana", Role.REVIEWER)
BEN = Actor("ben", Role.REVIEWER)
LEA = Actor("lea", Role.LEAD)


@dataclass
class House:
    """Both stores, and loaders that go through ingest."""

    settings: Settings
    events: EventStore
    records: RecordStore

    def add_turns(self, *rows: dict[str, Any]) -> None:
        """Stores model_log records; what is not given has a default."""
        base = {"ts": T0.isoformat(), "prompt": "hello", "response": "hi", "outcome": "pass", "model": "m1"}
        self._load("model_log", [base | row for row in rows])

    def add_checks(self, *rows: dict[str, Any]) -> None:
        """Stores filter_log records; by default an enforced trigger of the filter `guard`."""
        base = {
            "ts": T0.isoformat(),
            "filter_name": "guard",
            "layer": "guard_llm",
            "triggered": True,
            "decision": "block",
            "enforced": True,
            "category": "hate",
        }
        self._load("filter_log", [base | row for row in rows])

    def add_labels(self, *rows: dict[str, Any], source: str = "import") -> None:
        """Stores label_log records."""
        base = {"ts": T0.isoformat(), "reviewer": "outside", "harmful": True, "selection": "import"}
        self._load("label_log", [base | row for row in rows], source=source)

    def _load(self, format_key: str, rows: list[dict[str, Any]], *, source: str = "test") -> None:
        summary = load_records(self.events, format_key, rows, source=source, settings=self.settings)
        assert not summary.rejections, summary.rejections

    def open_cases(self) -> int:
        """Opens what is new, as the system does."""
        return open_cases(self.records, self.events, settings=self.settings, actor=SYSTEM)

    def add_cases(self, count: int) -> list[str]:
        """Opens that many cases; returns their ids in the order in which they are served."""
        self.add_turns(*({"request_id": f"r{i:04d}", "conversation_id": f"c{i:04d}"} for i in range(count)))
        self.add_checks(
            *({"request_id": f"r{i:04d}", "ts": (T0 + timedelta(seconds=i)).isoformat()} for i in range(count))
        )
        assert self.open_cases() == count
        return [case.case_id for case in list_cases(self.records, actor=ANA, limit=count)]


def open_house(home: Path) -> House:
    """A home at that folder; close both stores afterwards."""
    lay_out(home)
    settings = Settings(home=home)
    return House(settings, EventStore(settings.events_path, threads=1), RecordStore(settings.records_url))
