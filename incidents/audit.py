"""Every change of the decision store runs through `change`: alone, audited, all or nothing.

A change first locks the head of the audit log, so that changes happen one after another on any engine: what a
change reads stays true until it commits. Decisions are small transactions, which makes this affordable.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import deque
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
_ORIGIN = "0" * 64
_LOCK = sa.update(Progress).where(col(Progress.name) == _HEAD).values(position=Progress.position)
_LAST = (
    select(Progress.position, AuditEntry.digest)
    .join(AuditEntry, col(AuditEntry.seq) == Progress.position, isouter=True)
    .where(Progress.name == _HEAD)
)
_MOVE = sa.update(Progress).where(col(Progress.name) == _HEAD).values(position=sa.bindparam("head"))


class _Queue:
    """A lock that goes to whoever has waited longest.

    SQLite lets waiting writers poll, and a plain lock goes to whoever asks at the right moment: both starve some when many
    wait. Threads of one process queue here instead.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._waiting: deque[threading.Lock] = deque()
        self._is_taken = False

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Waits for one's turn and holds it."""
        own = None
        with self._guard:
            if self._is_taken:
                own = threading.Lock()
                own.acquire()
                self._waiting.append(own)
            self._is_taken = True
        if own is not None:
            own.acquire()
        try:
            yield
        finally:
            with self._guard:
                if self._waiting:
                    self._waiting.popleft().release()
                else:
                    self._is_taken = False


_QUEUE = _Queue()


class Change:
    """One transaction by one actor.

    Attributes:
        session: For reading and changing.
        actor: Who acts.
        at: When, naive UTC.
    """

    def __init__(self, session: Session, actor: Actor, at: datetime, *, head: int, digest: str) -> None:
        self.session = session
        self.actor = actor
        self.at = at
        self.is_kept = False
        self.head = self._start = head
        self._digest = digest

    @property
    def is_recorded(self) -> bool:
        """An audit entry was appended."""
        return self.head > self._start

    def keep(self) -> None:
        """Commits the transaction without an audit entry: for how far recurring work has come."""
        self.is_kept = True

    def record(self, action: str, subject: str, detail: Mapping[str, object] | None = None) -> None:
        """Appends an audit entry. `detail` holds ids and counts, never logged text."""
        self.head += 1
        entry = AuditEntry(
            seq=self.head,
            at=self.at,
            actor=self.actor.name,
            role=self.actor.role.value,
            action=action,
            subject=subject,
            detail=json.dumps(detail or {}, sort_keys=True),
            previous=self._digest,
            digest="",
        )
        entry.digest = self._digest = compute_digest(entry)
        self.session.add(entry)


@contextmanager
def change(records: RecordStore, *, actor: Actor, at: datetime) -> Iterator[Change]:
    """A transaction that excludes every other change; it keeps nothing unless it recorded an audit entry or says so.

    Changes do not nest: a part of one takes the `Change`.
    """
    with _QUEUE.turn(), records.session() as session:
        # Writing the row takes the lock (of the file in SQLite, of the row elsewhere) before any reading.
        connection = session.connection()
        connection.execute(_LOCK)
        head, digest = connection.execute(_LAST).one()
        current = Change(session, actor, at, head=head, digest=digest or _ORIGIN)
        yield current
        if current.is_recorded:
            connection.execute(_MOVE, {"head": current.head})
        elif not current.is_kept:
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
