"""What people see of alerts and do about them: the list, its history, taking one up, silencing it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlmodel import Session, col, select

from core.clock import EPOCH
from core.errors import NotFoundError, UsageError
from core.records import RecordStore
from incidents.alerts.watch import add_event
from incidents.audit import change
from incidents.enums import AlertState
from incidents.models import AlertEvent, AlertRow
from incidents.people import Actor, Role

LONGEST_SILENCE = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class AlertView:
    """An alert as it was when read. Times are naive UTC.

    Attributes:
        alert_id: Identity: rule and subject.
        rule_name: The rule in `weir.toml`.
        kind: What it watches (`kinds.KINDS`).
        filter_name: The filter; None = all.
        rule_id: The filter's rule; None = the whole filter.
        source: The source, of an alert about one.
        state: Where it stands; silenced while a silence lasts, whatever the windows say.
        since: End of the window in which the windows brought it into their state.
        fired_at: End of the window in which it last began to fire.
        window_end: End of the last window that was judged.
        breached_at: End of the last window that breached: the one that the sentence is about.
        group_id: Alerts of one filter that fire at one time share it; None before it has fired.
        sentence: What the last breach says.
        evidence: The numbers behind that, by name.
        silenced_until: End of the silence, if one was set.
        silenced_by: Who set it.
        silence_reason: Why.
        acked_by: Who took it up; forgotten when it ends.
        acked_at: When.
    """

    alert_id: str
    rule_name: str
    kind: str
    filter_name: str | None
    rule_id: str | None
    source: str | None
    state: AlertState
    since: datetime | None
    fired_at: datetime | None
    window_end: datetime
    breached_at: datetime | None
    group_id: str | None
    sentence: str
    evidence: dict[str, float]
    silenced_until: datetime | None
    silenced_by: str | None
    silence_reason: str | None
    acked_by: str | None
    acked_at: datetime | None


def list_alerts(records: RecordStore, *, actor: Actor, at: datetime, with_ok: bool = False) -> list[AlertView]:
    """Alerts, those that fire first, then by state and the latest change; those that are over only on request."""
    actor.require(Role.VIEWER)
    order = {state: rank for rank, state in enumerate(_ORDER)}
    with records.session() as session:
        views = [_view(row, at) for row in session.exec(select(AlertRow))]
    shown = [view for view in views if with_ok or view.state is not AlertState.OK]
    return sorted(
        shown, key=lambda view: (order[view.state], -((view.since or EPOCH) - EPOCH).total_seconds(), view.alert_id)
    )


def get_alert(records: RecordStore, alert_id: str, *, actor: Actor, at: datetime) -> AlertView:
    """One alert.

    Raises:
        NotFoundError: There is none.
    """
    actor.require(Role.VIEWER)
    with records.session() as session:
        return _view(_get_row(session, alert_id), at)


def list_alert_events(records: RecordStore, alert_id: str, *, actor: Actor) -> list[AlertEvent]:
    """What happened to an alert, newest first."""
    actor.require(Role.VIEWER)
    query = select(AlertEvent).where(AlertEvent.alert_id == alert_id).order_by(col(AlertEvent.event_id).desc())
    with records.session() as session:
        return list(session.exec(query))


def acknowledge_alert(records: RecordStore, alert_id: str, *, actor: Actor, at: datetime) -> None:
    """Notes that the actor has taken the alert up.

    Raises:
        NotFoundError: There is none.
        UsageError: It is over.
    """
    actor.require(Role.REVIEWER)
    with change(records, actor=actor, at=at) as current:
        row = _get_row(current.session, alert_id)
        if row.state == AlertState.OK:
            raise UsageError("There is nothing to take up", f"alert {alert_id} is over", "")
        row.acked_by, row.acked_at = actor.name, at
        add_event(current, row, "acknowledge", {})


def silence_alert(
    records: RecordStore, alert_id: str, *, actor: Actor, until: datetime | None, reason: str, at: datetime
) -> None:
    """Silences an alert until a moment, or ends its silence (`until` None). It is judged all the same.

    Raises:
        NotFoundError: There is none.
        UsageError: The moment has passed or lies more than 30 days ahead, or no reason is given.
    """
    actor.require(Role.LEAD)
    if until is not None and not at < until <= at + LONGEST_SILENCE:
        raise UsageError("Not the end of a silence", f"{until:%Y-%m-%d %H:%M}", "Choose a moment in the next 30 days.")
    if until is not None and not reason.strip():
        raise UsageError("A silence needs a reason", "", "Say why nobody needs to be told.")
    with change(records, actor=actor, at=at) as current:
        row = _get_row(current.session, alert_id)
        row.silenced_until, row.silenced_by = until, actor.name if until else None
        row.silence_reason = reason.strip() if until else None
        detail = {"until": until.isoformat(), "reason": reason} if until else {}
        add_event(current, row, "silence" if until else "unsilence", detail)


_ORDER = (AlertState.FIRING, AlertState.RECOVERING, AlertState.PENDING, AlertState.SILENCED, AlertState.OK)


def _get_row(session: Session, alert_id: str) -> AlertRow:
    row = session.get(AlertRow, alert_id)
    if row is None:
        raise NotFoundError("No such alert", repr(alert_id), "It may belong to another home.")
    return row


def _view(row: AlertRow, at: datetime) -> AlertView:
    is_silenced = row.silenced_until is not None and row.silenced_until > at
    return AlertView(
        alert_id=row.alert_id,
        rule_name=row.rule_name,
        kind=row.kind,
        filter_name=row.filter_name,
        rule_id=row.rule_id,
        source=row.source,
        state=AlertState.SILENCED if is_silenced else AlertState(row.state),
        since=row.since,
        fired_at=row.fired_at,
        window_end=row.window_end,
        breached_at=row.breached_at,
        group_id=row.group_id,
        sentence=row.sentence,
        evidence=json.loads(row.evidence),
        silenced_until=row.silenced_until,
        silenced_by=row.silenced_by,
        silence_reason=row.silence_reason,
        acked_by=row.acked_by,
        acked_at=row.acked_at,
    )
