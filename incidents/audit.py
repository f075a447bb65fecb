"""Every change of the decision store runs through `change`: alone, audited, all or nothing.

A change first locks the head of the audit log, so that changes happen one after another on any engine: what a
change reads stays true until it commits. Decisions are small transactions, which makes this affordable.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Session, col, select

from core.records import RecordStore
from incidents.models import AuditEntry, Progress
from incidents.people import Actor

_HEAD = "audit"
# SQLite lets waiting writers poll, and starves some when many wait; threads of one process queue here instead.
_TURN = threading.Lock()
_ORIGIN = "0" * 64


class Change:
    """One transaction by one actor.

    Attributes:
        session: For reading and changing.
        actor: Who acts.
        at: When, naive UTC.
    """

    def __init__(self, session: Session, actor: Actor, at: datetime) -> None:
        self.session = session
        self.actor = actor
        self.at = at
        self.is_recorded = False

    def keep(self) -> None:
        """Commits the transaction without an audit entry: for how far recurring work has come."""
        self.is_recorded = True

    def record(self, action: str, subject: str, detail: Mapping[str, object] | None = None) -> None:
        """Appends an audit entry. `detail` holds ids and counts, never logged text."""
        head = self.session.exec(select(Progress).where(Progress.name == _HEAD)).one()
        last = self.session.get(AuditEntry, head.position)
        head.position += 1
        entry = AuditEntry(
            seq=head.position,
            at=self.at,
            actor=self.actor.name,
            role=self.actor.role.value,
            action=action,
            subject=subject,
            detail=json.dumps(detail or {}, sort_keys=True),
            previous=last.digest if last else _ORIGIN,
            digest="",
        )
        entry.digest = compute_digest(entry)
        self.session.add(entry)
        self.session.flush()
        self.is_recorded = True


@contextmanager
def change(records: RecordStore, *, actor: Actor, at: datetime) -> Iterator[Change]:
    """A transaction that excludes every other change; it keeps nothing unless it recorded an audit entry or says so."""
    with _TURN, records.session() as session:
        # Writing the row takes the lock (of the file in SQLite, of the row elsewhere) before any reading.
        session.exec(sa.update(Progress).where(col(Progress.name) == _HEAD).values(position=Progress.position))
        current = Change(session, actor, at)
        yield current
        if not current.is_recorded:
            session.rollback()


def compute_digest(entry: AuditEntry) -> str:
    """SHA-256 over an entry's content and the digest before it, as hexadecimal digits."""
    content = [
        entry.seq,
        entry.at.isoformat(),
        entry.actor,
        entry.role,
        entry.action,
        entry.subject,
        entry.detail,
        entry.previous,
    ]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Break:
    """The first place where the log is not what was written.

    Attributes:
        seq: Number of the entry.
        what: What is wrong there, as a sentence.
    """

    seq: int
    what: str


def find_tampering(records: RecordStore) -> Break | None:
    """The first audit entry that was changed, removed, moved or put in; None when the chain is whole.

    The chain alone cannot tell when somebody wrote all of it anew: `audit_log.verify_audit` compares it with heads that
    were noted elsewhere.
    """
    previous, expected = _ORIGIN, 1
    with records.session() as session:
        query = select(AuditEntry).order_by(col(AuditEntry.seq)).execution_options(yield_per=1000)
        for entry in session.exec(query):
            if entry.seq != expected:
                return Break(expected, f"Entry {expected} is missing.")
            if entry.digest != compute_digest(entry):
                return Break(expected, f"Entry {expected} was changed.")
            if entry.previous != previous:
                return Break(expected, f"Entry {expected} does not follow the one before: it was moved or put in.")
            previous, expected = entry.digest, expected + 1
        head = session.exec(select(Progress).where(Progress.name == _HEAD)).one()
    if head.position >= expected:
        return Break(expected, f"The last {head.position - expected + 1} entries are missing.")
    return Break(expected, "The position of the log was changed.") if head.position < expected - 1 else None


def count_actions(records: RecordStore, *, actor: str, action: str, since: datetime) -> int:
    """How often a person did something since a moment, e.g. revealed a text today."""
    with records.session() as session:
        return session.exec(
            select(sa.func.count())
            .select_from(AuditEntry)
            .where(AuditEntry.actor == actor, AuditEntry.action == action, col(AuditEntry.at) >= since)
        ).one()
