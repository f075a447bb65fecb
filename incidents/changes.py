"""Changes of filters that people register, because no log tells them."""

from __future__ import annotations

from datetime import datetime

from sqlmodel import col, select

from core.errors import UsageError
from core.records import RecordStore
from incidents.alerts.models import RegisteredChange
from incidents.audit import change
from incidents.people import Actor, Role
from metrics.changes import Noted

LONGEST_NOTE = 200


def register_change(
    records: RecordStore, *, at: datetime, filter_name: str | None, note: str, actor: Actor, now: datetime
) -> RegisteredChange:
    """Registers what was changed; audited.

    Args:
        records: The decision store.
        at: When it took effect, naive UTC.
        filter_name: The filter; None = all.
        note: What was done, in at most 200 characters.
        actor: Who registers it.
        now: The present moment.

    Raises:
        UsageError: The note is empty or too long.
    """
    actor.require(Role.REVIEWER)
    note = " ".join(note.split())
    if not 0 < len(note) <= LONGEST_NOTE:
        raise UsageError(
            "A change needs a note", f"{len(note)} characters", f"Say what was done, in at most {LONGEST_NOTE}."
        )
    with change(records, actor=actor, at=now) as current:
        row = RegisteredChange(
            at=at, filter_name=filter_name or None, note=note, registered_by=actor.name, registered_at=now
        )
        current.session.add(row)
        current.session.flush()
        current.record("change.register", str(row.change_id), {"at": at.isoformat()})
    return row


def list_registered(records: RecordStore) -> list[Noted]:
    """Every registered change, newest first."""
    with records.session() as session:
        rows = session.exec(select(RegisteredChange).order_by(col(RegisteredChange.at).desc()))
        return [Noted(row.at, row.filter_name, row.note) for row in rows]
