"""Earlier feedback sets, as the audit log has them: the only place that says when a set was built."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlmodel import col, select

from core.records import RecordStore
from incidents.models import AuditEntry
from incidents.people import Actor, Role

ACTION = "export"


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One build. `folder` is where it was written, which may have moved since."""

    at: datetime
    actor: str
    name: str
    folder: Path
    rows: int
    refused: int
    data_version: int
    manifest_sha256: str


def list_exports(records: RecordStore, *, actor: Actor, limit: int = 50) -> list[LedgerEntry]:
    """The newest builds first."""
    actor.require(Role.REVIEWER)
    newest_first = (
        select(AuditEntry).where(AuditEntry.action == ACTION).order_by(col(AuditEntry.seq).desc()).limit(limit)
    )
    with records.session() as session:
        entries = session.exec(newest_first).all()
    return [_read(entry) for entry in entries]


def _read(entry: AuditEntry) -> LedgerEntry:
    detail = json.loads(entry.detail)
    return LedgerEntry(
        at=entry.at,
        actor=entry.actor,
        name=entry.subject,
        folder=Path(detail["folder"]),
        rows=detail["rows"],
        refused=detail["refused"],
        data_version=detail["data_version"],
        manifest_sha256=detail["manifest_sha256"],
    )
