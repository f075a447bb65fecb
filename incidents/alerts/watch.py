"""Evaluating the rules on schedule, and what people do about alerts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlmodel import Session, col, select

from core.clock import EPOCH
from core.errors import NotFoundError, UsageError
from core.events import EventStore
from core.records import RecordStore
from core.settings import AlertRule, Settings
from incidents.alerts.kinds import KINDS, Judgement, judge_rule
from incidents.alerts.states import Alert, advance
from incidents.audit import Change, change
from incidents.enums import AlertState
from incidents.models import AlertEvent, AlertRow, Progress
from incidents.people import SYSTEM, Actor, Role
from metrics.alarms.grid import list_ends

# Logs of a window may come this late and still count.
GRACE = timedelta(minutes=2)
# After a long pause older windows are left out: nobody could act on them.
_MOST_WINDOWS = 48
_LONGEST_SILENCE = timedelta(days=30)
_SEPARATOR = "\x1f"


@dataclass(frozen=True, slots=True)
class AlertView:
    """An alert as it was when read. Times are naive UTC.

    Attributes:
        alert_id: Identity: rule and subject.
        rule_name: The rule in `weir.toml`.
        kind: What it watches (`kinds.KINDS`).
        filter_name: The filter; None = all.
        rule_id: The filter's rule; None = the whole filter.
        state: Where it stands; silenced while a silence lasts, whatever the windows say.
        since: End of the window in which the windows brought it into their state.
        fired_at: End of the window in which it last began to fire.
        window_end: The last window that was judged.
        sentence: What the last judgement says.
        evidence: The numbers behind that, by name.
        silenced_until: End of the silence, if one was set.
        silenced_by: Who set it.
        acked_by: Who took it up; forgotten when it ends.
        acked_at: When.
    """

    alert_id: str
    rule_name: str
    kind: str
    filter_name: str | None
    rule_id: str | None
    state: AlertState
    since: datetime | None
    fired_at: datetime | None
    window_end: datetime
    sentence: str
    evidence: dict[str, float]
    silenced_until: datetime | None
    silenced_by: str | None
    acked_by: str | None
    acked_at: datetime | None


@dataclass(frozen=True, slots=True)
class Firing:
    """An alert that has just begun to fire."""

    alert_id: str
    rule_name: str
    filter_name: str | None
    rule_id: str | None
    end: datetime
    sentence: str
    is_silenced: bool


def evaluate_alerts(records: RecordStore, events: EventStore, *, settings: Settings, at: datetime) -> list[Firing]:
    """Judges every window that closed since the last time, once; returns what began to fire.

    Args:
        records: Keeps states and how far each rule has come, so that a restart neither repeats nor leaves out a window.
        events: The events.
        settings: Holds the rules.
        at: Now.
    """
    firings: list[Firing] = []
    for rule in settings.alerts:
        if rule.is_on:
            firings += _evaluate(records, events, rule, at=at)
    return firings


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
        _add_event(current, row, "acknowledge", {})


def silence_alert(
    records: RecordStore, alert_id: str, *, actor: Actor, until: datetime | None, reason: str, at: datetime
) -> None:
    """Silences an alert until a moment, or ends its silence (`until` None). It is judged all the same.

    Raises:
        NotFoundError: There is none.
        UsageError: The moment has passed or lies more than 30 days ahead, or no reason is given.
    """
    actor.require(Role.LEAD)
    if until is not None and not at < until <= at + _LONGEST_SILENCE:
        raise UsageError("Not the end of a silence", f"{until:%Y-%m-%d %H:%M}", "Choose a moment in the next 30 days.")
    if until is not None and not reason.strip():
        raise UsageError("A silence needs a reason", "", "Say why nobody needs to be told.")
    with change(records, actor=actor, at=at) as current:
        row = _get_row(current.session, alert_id)
        row.silenced_until, row.silenced_by = until, actor.name if until else None
        detail = {"until": until.isoformat(), "reason": reason} if until else {}
        _add_event(current, row, "silence" if until else "unsilence", detail)


_ORDER = (AlertState.FIRING, AlertState.RECOVERING, AlertState.PENDING, AlertState.SILENCED, AlertState.OK)


def _evaluate(records: RecordStore, events: EventStore, rule: AlertRule, *, at: datetime) -> list[Firing]:
    name, window_s = f"alerts/{rule.name}", rule.window_min * 60
    with records.session() as session:
        stored = session.get(Progress, name)
        position = stored.position if stored else None
    closed = at - GRACE
    earliest = closed - timedelta(seconds=_MOST_WINDOWS * window_s)
    done = earliest if position is None else max(earliest, EPOCH + timedelta(seconds=position))
    ends = list_ends(done, closed, window_s=window_s)
    if not ends:
        return []
    judged: dict[tuple[str | None, str | None], list[Judgement]] = {}
    for found in judge_rule(events, records, rule, ends):
        judged.setdefault((found.filter_name, found.rule_id), []).append(found)
    firings = []
    with change(records, actor=SYSTEM, at=at) as current:
        # Another evaluation may have come first.
        stored = current.session.get(Progress, name, populate_existing=True)
        if (stored.position if stored else None) != position:
            return []
        known = {
            row.subject: row for row in current.session.exec(select(AlertRow).where(AlertRow.rule_name == rule.name))
        }
        for (filter_name, rule_id), sequence in judged.items():
            row = known.get(_subject(filter_name, rule_id))
            if row is None and not any(found.is_breached for found in sequence):
                continue
            firings += _fold(current, rule, row, sequence)
        seconds = int((ends[-1] - EPOCH).total_seconds())
        if stored is None:
            current.session.add(Progress(name=name, position=seconds))
        else:
            stored.position = seconds
        current.keep()
    return firings


def _fold(current: Change, rule: AlertRule, row: AlertRow | None, sequence: list[Judgement]) -> list[Firing]:
    """Takes one subject's new windows in; every change of state is an event."""
    firings = []
    for found in sequence:
        before = _state(row)
        after = advance(before, end=found.end, is_breached=found.is_breached, rule=rule)
        if row is None:
            if after.state is AlertState.OK:
                continue
            row = _new_row(rule, found)
            current.session.add(row)
            current.session.flush()
        row.state, row.since, row.count = after.state.value, after.since, after.count
        row.fired_at, row.window_end = after.fired_at, found.end
        if found.is_breached:
            row.sentence = KINDS[rule.kind].say(found, rule)
            row.evidence = json.dumps(found.evidence())
        if after.state is AlertState.OK:
            row.acked_by = row.acked_at = None
        if after.state is before.state:
            continue
        _add_event(current, row, "window", {}, end=found.end)
        if after.state is AlertState.FIRING and before.state is not AlertState.RECOVERING:
            is_silenced = row.silenced_until is not None and row.silenced_until > current.at
            firings.append(
                Firing(row.alert_id, rule.name, row.filter_name, row.rule_id, found.end, row.sentence, is_silenced)
            )
    return firings


def _new_row(rule: AlertRule, found: Judgement) -> AlertRow:
    subject = _subject(found.filter_name, found.rule_id)
    identity = hashlib.sha256(f"{rule.name}{_SEPARATOR}{subject}".encode()).hexdigest()[:12]
    return AlertRow(
        alert_id=identity,
        rule_name=rule.name,
        subject=subject,
        kind=rule.kind,
        filter_name=found.filter_name,
        rule_id=found.rule_id,
        state=AlertState.OK.value,
        since=None,
        count=0,
        fired_at=None,
        window_end=found.end,
        sentence="",
        evidence="{}",
    )


def _subject(filter_name: str | None, rule_id: str | None) -> str:
    return json.dumps([filter_name, rule_id])


def _state(row: AlertRow | None) -> Alert:
    if row is None:
        return Alert()
    return Alert(AlertState(row.state), row.since, row.count, row.fired_at, row.window_end)


def _get_row(session: Session, alert_id: str) -> AlertRow:
    row = session.get(AlertRow, alert_id)
    if row is None:
        raise NotFoundError("No such alert", repr(alert_id), "It may belong to another home.")
    return row


def _add_event(
    current: Change, row: AlertRow, action: str, detail: Mapping[str, object], *, end: datetime | None = None
) -> None:
    current.session.add(
        AlertEvent(
            alert_id=row.alert_id,
            at=current.at,
            window_end=end,
            actor=current.actor.name,
            action=action,
            state=row.state,
            sentence=row.sentence,
            evidence=json.dumps(detail) if detail else row.evidence,
        )
    )
    current.record(f"alert.{action}", row.alert_id, {"state": row.state})


def _view(row: AlertRow, at: datetime) -> AlertView:
    is_silenced = row.silenced_until is not None and row.silenced_until > at
    return AlertView(
        alert_id=row.alert_id,
        rule_name=row.rule_name,
        kind=row.kind,
        filter_name=row.filter_name,
        rule_id=row.rule_id,
        state=AlertState.SILENCED if is_silenced else AlertState(row.state),
        since=row.since,
        fired_at=row.fired_at,
        window_end=row.window_end,
        sentence=row.sentence,
        evidence=json.loads(row.evidence),
        silenced_until=row.silenced_until,
        silenced_by=row.silenced_by,
        acked_by=row.acked_by,
        acked_at=row.acked_at,
    )
