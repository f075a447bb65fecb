"""What ages out: texts first, then rows, by table; the rollups stay, so that figures by minute reach back to the beginning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from core.clock import from_epoch
from core.events import Connection, EventStore
from core.settings_ingest import RetentionSettings
from ingest.schema import CHECK_SCORES, CHECKS, LABELS, QUARANTINE, TURNS
from ingest.withheld import note_aged

TEXTS: Mapping[str, tuple[str, ...]] = {
    TURNS.name: ("prompt", "messages", "response", "final_text", "candidates", "metadata", "extra"),
    CHECKS.name: ("content", "matched_text", "metadata", "extra"),
    LABELS.name: ("revision", "critique", "extra"),
}
"""Columns that hold logged text, by table."""
_ROWS: tuple[tuple[str, str, str], ...] = (
    (TURNS.name, "turns_d", "ts"),
    (CHECKS.name, "checks_d", "ts"),
    (CHECK_SCORES.name, "checks_d", "ts"),
    (LABELS.name, "labels_d", "ts"),
    (QUARANTINE.name, "quarantine_d", "rejected_at"),
)


@dataclass(frozen=True, slots=True)
class AgedOut:
    """What is past its time.

    Attributes:
        texts: Rows whose texts go while they stay, by table.
        rows: Rows that go, by table.
        files: Log files of the inbox that go: read to their end and unchanged since.
    """

    texts: dict[str, int]
    rows: dict[str, int]
    files: tuple[Path, ...]

    def __bool__(self) -> bool:
        """Whether there is anything."""
        return bool(any(self.texts.values()) or any(self.rows.values()) or self.files)


def find_aged(events: EventStore, policy: RetentionSettings, *, inbox: Path, at: datetime) -> AgedOut:
    """What is past its time at the moment `at`; nothing is changed."""
    texts, rows = {}, {}
    for table, columns in TEXTS.items():
        if policy.text_d is not None:
            where = f"ts < ? AND ({' OR '.join(f'{name} IS NOT NULL' for name in columns)})"
            texts[table] = _count(events, table, where, _before(policy.text_d, at))
    for table, key, moment in _ROWS:
        days = getattr(policy, key)
        if days is not None:
            rows[table] = _count(events, table, f"{moment} < ?", _before(days, at))
    files = () if policy.inbox_d is None else tuple(_list_read(events, inbox, _before(policy.inbox_d, at)))
    return AgedOut(texts, rows, files)


def age_out(events: EventStore, policy: RetentionSettings, aged: AgedOut, *, at: datetime) -> None:
    """Removes what `find_aged` found at the same moment, in one transaction; then its log files."""

    def work(connection: Connection) -> None:
        for table, key, moment in _ROWS:
            days = getattr(policy, key)
            if days is None or not aged.rows.get(table):
                continue
            connection.execute(f"DELETE FROM {table} WHERE {moment} < ?", [_before(days, at)])
            if moment == "ts":
                note_aged(connection, table, _before(days, at))
        for table, columns in TEXTS.items():
            if policy.text_d is not None and aged.texts.get(table):
                connection.execute(
                    f"UPDATE {table} SET {', '.join(f'{name} = NULL' for name in columns)} "
                    f"WHERE ts < ? AND ({' OR '.join(f'{name} IS NOT NULL' for name in columns)})",
                    [_before(policy.text_d, at)],
                )

    events.write(work)
    events.forget()
    for path in aged.files:
        path.unlink(missing_ok=True)


def _before(days: int, at: datetime) -> datetime:
    return at - timedelta(days=days)


def _count(events: EventStore, table: str, where: str, before: datetime) -> int:
    found: int = events.read(f"SELECT count(*) FROM {table} WHERE {where}", [before]).item()
    return found


def _list_read(events: EventStore, inbox: Path, before: datetime) -> list[Path]:
    """Files of the inbox that were read to their end and have not changed since `before`."""
    rows = events.read("SELECT path, byte_offset FROM checkpoints WHERE error IS NULL ORDER BY path").rows()
    found = []
    for name, offset in rows:
        path = Path(name)
        try:
            status = path.stat()
        except OSError:
            continue
        is_old = from_epoch(status.st_mtime) < before
        if path.is_relative_to(inbox) and is_old and status.st_size <= offset:
            found.append(path)
    return found
