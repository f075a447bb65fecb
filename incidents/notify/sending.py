"""Delivering messages through Apprise: at least once, with a key, tried again with growing pauses, never silently lost."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from apprise import Apprise, AppriseAsset, NotifyFormat, NotifyType, PersistentStoreMode

from core.records import RecordStore
from core.settings import Settings
from core.settings_response import NotifyTarget
from incidents.audit import change
from incidents.notify.outbox import DeliveryState, DeliveryView, build_view, list_due
from incidents.people import SYSTEM
from incidents.response.enums import Severity
from incidents.response.models import Delivery

FIRST_PAUSE = timedelta(seconds=30)
LONGEST_PAUSE = timedelta(hours=1)
GIVE_UP_AFTER = timedelta(days=3)
_BATCH = 20
_ERROR_CHARS = 300
_TYPES = {
    Severity.LOW: NotifyType.INFO,
    Severity.MEDIUM: NotifyType.WARNING,
    Severity.HIGH: NotifyType.FAILURE,
    Severity.CRITICAL: NotifyType.FAILURE,
}
# Nothing of Apprise's own goes out: no foreign pictures or links, no following of redirects, no files on disk.
_ASSET = AppriseAsset(
    app_id="Weir",
    app_desc="Weir",
    app_url="",
    image_url_mask="",
    image_url_logo="",
    http_redirects=False,
    allow_templates=False,
    storage_mode=PersistentStoreMode.MEMORY,
)
Send = Callable[[NotifyTarget, Delivery], str]


@dataclass(frozen=True, slots=True)
class Round:
    """What one round of deliveries came to."""

    sent: int
    failed: int


def send_due(records: RecordStore, *, settings: Settings, at: datetime, send: Send | None = None) -> Round:
    """Tries every message whose time has come; each outcome is stored before the next is tried.

    A message is sent before its outcome is stored: a kill between the two sends it again under the same key.
    """
    targets = {target.name: target for target in settings.notify}
    with records.session() as session:
        due = list_due(session, at=at, limit=_BATCH)
    sent = failed = 0
    for row in due:
        target = targets.get(row.target)
        error = (send or deliver)(target, row) if target else "no such [[notify]] entry any more"
        outcome = _store(records, row.delivery_id, error, is_known=target is not None, at=at)
        sent, failed = sent + (outcome.state is DeliveryState.SENT), failed + bool(error)
    return Round(sent, failed)


def send_now(records: RecordStore, delivery_id: str, *, settings: Settings, at: datetime) -> DeliveryView:
    """Tries one message at once, as a test does."""
    with records.session() as session:
        row = session.get_one(Delivery, delivery_id)
    target = next(target for target in settings.notify if target.name == row.target)
    return _store(records, delivery_id, deliver(target, row), is_known=True, at=at)


def deliver(target: NotifyTarget, row: Delivery) -> str:
    """Hands one message to the target's service; returns what went wrong, "" for nothing."""
    address = target.url.get_secret_value()
    service = Apprise.instantiate(address, asset=_ASSET)
    if service is None:
        return "the address cannot be read: see https://appriseit.com for the form of each service"
    if hasattr(service, "headers"):  # plain webhooks: JSON, XML, forms
        service.headers["Idempotency-Key"] = row.delivery_id
    client = Apprise(asset=_ASSET)
    client.add(service)
    said: list[str] = []
    is_sent = client.notify(
        body=row.body,
        title=row.title,
        notify_type=_TYPES[Severity.of_rank(row.severity)],
        body_format=NotifyFormat.TEXT,
        log_callback=lambda entry, _service: said.append(str(entry.message)),
        log_level=logging.WARNING,
    )
    if is_sent:
        return ""
    return hide_secrets("; ".join(said), address) or "the service did not take it"


def hide_secrets(words: str, address: str) -> str:
    """The service's complaint on one line, every longer part of the address taken out."""
    line = " ".join(words.split())
    parts = set(re.split(r"[/?@:&=]+", address))
    for part in sorted(parts, key=len, reverse=True):
        if len(part) >= 6:
            line = line.replace(part, "***")
    return line[:_ERROR_CHARS]


def pause_after(attempts: int) -> timedelta:
    """How long to wait after so many failed tries: 30 s, 1, 2, 4 min, up to an hour."""
    doubled = int(2 ** min(attempts - 1, 10))
    return min(FIRST_PAUSE * doubled, LONGEST_PAUSE)


def _store(records: RecordStore, delivery_id: str, error: str, *, is_known: bool, at: datetime) -> DeliveryView:
    with change(records, actor=SYSTEM, at=at) as current:
        row = current.session.get_one(Delivery, delivery_id)
        row.attempts += 1
        row.error = error
        if not error:
            row.state, row.sent_at = DeliveryState.SENT, at
        elif not is_known or at - row.created_at > GIVE_UP_AFTER:
            row.state = DeliveryState.GIVEN_UP
            current.record("notify.give_up", delivery_id, {"attempts": row.attempts})
        else:
            row.due_at = at + pause_after(row.attempts)
        current.session.add(row)
        current.keep()
        return build_view(row)
