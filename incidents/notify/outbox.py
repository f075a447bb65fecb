"""From the audit log to messages that wait to be delivered, each once per target; and the log of deliveries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlmodel import Session, col, select

from core.clock import to_utc
from core.errors import NotFoundError
from core.records import RecordStore
from core.settings import Settings
from core.settings_response import NotifyTarget
from incidents.audit import Change, change
from incidents.models import AuditEntry, Progress
from incidents.notify.messages import TOPICS, Message, find_topic, write_body
from incidents.people import SYSTEM, Actor, Role
from incidents.response.enums import Severity
from incidents.response.models import Delivery

_CURSOR = "notify"
_ACTIONS = sorted({action for topic in TOPICS.values() for action in topic.actions})
_BATCH = 500


class DeliveryState(StrEnum):
    """Where a message stands."""

    WAITING = "waiting"
    SENT = "sent"
    GIVEN_UP = "given up"


@dataclass(frozen=True, slots=True)
class DeliveryView:
    """One message to one target, as it was when read. Times are naive UTC.

    Attributes:
        delivery_id: Identity, and the key by which a receiver can tell a repeated delivery.
        target: Name of the `[[notify]]` entry.
        event: Topic, or "test".
        subject: What it is about.
        severity: How grave.
        title: Its first line.
        state: Where it stands.
        created_at: When it was made.
        due_at: When it is tried (again).
        attempts: How often it was tried.
        error: Why the last try failed; "" for none.
        sent_at: When it was delivered.
    """

    delivery_id: str
    target: str
    event: str
    subject: str
    severity: Severity
    title: str
    state: DeliveryState
    created_at: datetime
    due_at: datetime
    attempts: int
    error: str
    sent_at: datetime | None


def collect_messages(records: RecordStore, *, settings: Settings, at: datetime) -> int:
    """Makes a message for every new audit entry that a target asks for; returns their number.

    Messages and the position in the log are one transaction, so that a kill neither loses nor doubles one. Where no
    target is configured the position moves on alone: what happened before a target existed is not told.
    """
    with records.session() as session:
        position, newest = _positions(session)
    if newest <= position:
        return 0
    made = 0
    with change(records, actor=SYSTEM, at=at) as current:
        position, newest = _positions(current.session)
        newest = min(newest, position + _BATCH)
        query = select(AuditEntry).where(col(AuditEntry.seq) > position, col(AuditEntry.seq) <= newest)
        query = query.where(col(AuditEntry.action).in_(_ACTIONS)).order_by(col(AuditEntry.seq))
        for entry in current.session.exec(query).all() if settings.notify else ():
            made += _tell(current, entry, settings, at)
        current.session.get_one(Progress, _CURSOR).position = newest
        current.keep()
    return made


def add_test(records: RecordStore, target: str, *, settings: Settings, actor: Actor, at: datetime) -> str:
    """Makes a message that says it is a test; returns its id. Quiet hours do not hold it back.

    Raises:
        NotFoundError: No target has this name.
    """
    actor.require(Role.LEAD)
    get_target(settings, target)
    with change(records, actor=actor, at=at) as current:
        current.record("notify.test", target)
        newest = select(AuditEntry).order_by(col(AuditEntry.seq).desc()).limit(1)
        entry = current.session.exec(newest).one()
        message = Message(f"notify/{target}", Severity.LOW, "Test: Weir can reach you here", "", "admin")
        _add(current, get_target(settings, target), "test", entry, message, settings=settings, due_at=at)
    return _key(entry, target)


def list_deliveries(records: RecordStore, *, actor: Actor, limit: int = 100) -> list[DeliveryView]:
    """The newest messages with how they fared."""
    actor.require(Role.LEAD)
    query = select(Delivery).order_by(col(Delivery.created_at).desc(), col(Delivery.delivery_id).desc()).limit(limit)
    with records.session() as session:
        return [build_view(row) for row in session.exec(query)]


def get_target(settings: Settings, name: str) -> NotifyTarget:
    """The target of a name.

    Raises:
        NotFoundError: There is none.
    """
    for target in settings.notify:
        if target.name == name:
            return target
    names = ", ".join(target.name for target in settings.notify) or "none; add [[notify]] to weir.toml"
    raise NotFoundError("No such notification target", repr(name), f"Configured: {names}.")


def build_view(row: Delivery) -> DeliveryView:
    """A message's view."""
    facts: Mapping[str, Any] = row.model_dump(exclude={"body", "severity", "state"})
    return DeliveryView(**facts, severity=Severity.of_rank(row.severity), state=DeliveryState(row.state))


def end_quiet(target: NotifyTarget, severity: Severity, at: datetime) -> datetime:
    """When a message may go out: now, or at the end of the quiet hours; critical ones do not wait."""
    if target.quiet_from is None or target.quiet_until is None or severity is Severity.CRITICAL:
        return at
    zone = ZoneInfo(target.zone)
    local = at.replace(tzinfo=ZoneInfo("UTC")).astimezone(zone)
    start, end = time.fromisoformat(target.quiet_from), time.fromisoformat(target.quiet_until)
    clock = local.time().replace(tzinfo=None)
    is_quiet = start <= clock < end if start <= end else clock >= start or clock < end
    if not is_quiet:
        return at
    day = local.date() if clock < end else local.date() + timedelta(days=1)
    return to_utc(datetime.combine(day, end, tzinfo=zone))


def _positions(session: Session) -> tuple[int, int]:
    """How far this package has come in the audit log, and how long the log is."""
    cursor = session.get_one(Progress, _CURSOR, populate_existing=True)
    newest = session.exec(select(sa.func.max(AuditEntry.seq))).one() or 0
    return cursor.position, newest


def _tell(current: Change, entry: AuditEntry, settings: Settings, at: datetime) -> int:
    topic = find_topic(entry.action)
    message = topic.build(current.session, entry, at) if topic else None
    if topic is None or message is None:
        return 0
    made = 0
    for target in settings.notify:
        is_asked = topic.key in target.events and message.severity.rank >= Severity(target.min_severity).rank
        if not is_asked and target.name != message.target:
            continue
        if topic.key == "alert" and _was_told(current.session, target.name, message.subject):
            continue
        due_at = end_quiet(target, message.severity, at)
        _add(current, target, topic.key, entry, message, settings=settings, due_at=due_at)
        made += 1
    return made


def _was_told(session: Session, target: str, subject: str) -> bool:
    query = select(Delivery.delivery_id).where(Delivery.target == target, Delivery.subject == subject)
    return session.exec(query).first() is not None


def _add(
    current: Change,
    target: NotifyTarget,
    event: str,
    entry: AuditEntry,
    message: Message,
    *,
    settings: Settings,
    due_at: datetime,
) -> None:
    key = _key(entry, target.name)
    body = write_body(message, entry=entry, public_url=settings.serve.public_url, with_text=target.with_text, key=key)
    current.session.add(
        Delivery(
            delivery_id=key,
            target=target.name,
            event=event,
            subject=message.subject,
            severity=message.severity.rank,
            title=f"Weir: {message.title}",
            body=body,
            created_at=current.at,
            due_at=due_at,
            state=DeliveryState.WAITING,
            attempts=0,
            error="",
        )
    )
    current.session.flush()


def _key(entry: AuditEntry, target: str) -> str:
    """The same for the same event and target, and unlike that of any other home: the digest covers its history."""
    return f"{entry.seq}-{entry.digest[:8]}-{target}"


def list_due(session: Session, *, at: datetime, limit: int) -> Sequence[Delivery]:
    """Messages whose time has come, the oldest first."""
    query = select(Delivery).where(Delivery.state == DeliveryState.WAITING, col(Delivery.due_at) <= at)
    return session.exec(query.order_by(col(Delivery.due_at), col(Delivery.delivery_id)).limit(limit)).all()
