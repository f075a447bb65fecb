"""Evaluating the rules on schedule: every window once, whatever happens in between."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlmodel import Session, col, select

from core.clock import EPOCH
from core.events import EventStore
from core.records import RecordStore
from core.settings import AlertRule, Settings
from incidents.alerts.judgement import Judgement, Subject, fill_windows
from incidents.alerts.kinds import judge_rule, say
from incidents.alerts.rules import list_rules
from incidents.alerts.states import ALARMED, Alert, advance
from incidents.audit import Change, change
from incidents.enums import AlertState
from incidents.models import AlertEvent, AlertRow, Progress
from incidents.people import SYSTEM
from metrics.alarms.grid import list_ends

# Logs of a window may come this late and still count.
GRACE = timedelta(minutes=2)
# After a long pause older windows are left out: nobody could act on them.
_MOST_WINDOWS, _LONGEST_PAUSE = 48, timedelta(days=7)
_SEPARATOR = "\x1f"
_FIRE = "fire"


@dataclass(frozen=True, slots=True)
class Firing:
    """An alert that began to fire and still does.

    Attributes:
        alert_id: Identity: rule and subject.
        rule_name: The rule in force.
        filter_name: The filter, as logged; None = all.
        rule_id: The filter's rule, as logged; None = the whole filter.
        source: The source, of an alert about one.
        end: End of the window in which it began to fire.
        sentence: What it says, after the subject's name.
        is_silenced: Somebody asked not to be told.
        kind: What it watches (`kinds.KINDS`).
        group_id: Shared by alerts of one filter that fire at one time: tell people once per group.
        event_id: Increases from firing to firing; where `list_firings` goes on.
    """

    alert_id: str
    rule_name: str
    filter_name: str | None
    rule_id: str | None
    source: str | None
    end: datetime
    sentence: str
    is_silenced: bool
    kind: str
    group_id: str
    event_id: int


def evaluate_alerts(records: RecordStore, events: EventStore, *, settings: Settings, at: datetime) -> list[Firing]:
    """Judges every window that closed since the last time, once; returns what began to fire and still does.

    Args:
        records: Keeps states and how far each rule has come, so that a restart neither repeats nor leaves out a window.
        events: The events.
        settings: Holds the rules; what a lead changed since applies.
        at: Now.
    """
    before = _find_last_event(records)
    rules = [entry.rule for entry in list_rules(records, settings=settings) if entry.rule.is_on]
    for rule in rules:
        _evaluate(records, events, rule, at=at)
    _retire(records, {rule.name for rule in rules}, at=at)
    return list_firings(records, after=before, at=at)


def list_firings(records: RecordStore, *, after: int, at: datetime) -> list[Firing]:
    """What began to fire after the event `after` and still does, oldest first.

    A subscriber that keeps the last `event_id` it told of hears of every alarm once, whenever the process was killed.
    An alarm that was over before anybody could hear of it is not among them.
    """
    query = (
        select(AlertEvent, AlertRow)
        .join(AlertRow, col(AlertEvent.alert_id) == col(AlertRow.alert_id))
        .where(
            col(AlertEvent.event_id) > after,
            AlertEvent.action == _FIRE,
            col(AlertRow.state).in_([state.value for state in ALARMED]),
            AlertRow.fired_at == AlertEvent.window_end,
        )
        .order_by(col(AlertEvent.event_id))
    )
    with records.session() as session:
        return [_firing(event, row, at) for event, row in session.exec(query)]


def _firing(event: AlertEvent, row: AlertRow, at: datetime) -> Firing:
    return Firing(
        alert_id=row.alert_id,
        rule_name=row.rule_name,
        filter_name=row.filter_name,
        rule_id=row.rule_id,
        source=row.source,
        end=event.window_end or row.window_end,
        sentence=event.sentence,
        is_silenced=row.silenced_until is not None and row.silenced_until > at,
        kind=row.kind,
        group_id=row.group_id or row.alert_id,
        event_id=event.event_id or 0,
    )


def _find_last_event(records: RecordStore) -> int:
    with records.session() as session:
        return session.exec(select(sa.func.max(AlertEvent.event_id))).one() or 0


def _evaluate(records: RecordStore, events: EventStore, rule: AlertRule, *, at: datetime) -> None:
    name, window_s = f"alerts/{rule.name}", rule.window_min * 60
    with records.session() as session:
        stored = session.get(Progress, name)
        position = stored.position if stored else None
    closed = at - GRACE
    earliest = closed - min(timedelta(seconds=_MOST_WINDOWS * window_s), _LONGEST_PAUSE)
    done = earliest if position is None else max(earliest, EPOCH + timedelta(seconds=position))
    ends = list_ends(done, closed, window_s=window_s)
    if not ends:
        return
    judged = judge_rule(events, records, rule, ends)
    with change(records, actor=SYSTEM, at=at) as current:
        # Another evaluation may have come first.
        stored = current.session.get(Progress, name, populate_existing=True)
        if (stored.position if stored else None) != position:
            return
        rows = current.session.exec(select(AlertRow).where(AlertRow.rule_name == rule.name))
        known = {Subject(row.filter_name, row.rule_id, row.source): row for row in rows}
        running = [subject for subject, row in known.items() if row.state != AlertState.OK]
        for subject, sequence in fill_windows(judged, ends, also=running).items():
            row = known.get(subject)
            if row is not None or any(found.is_breached for found in sequence):
                _fold(current, rule, row, sequence)
        seconds = int((ends[-1] - EPOCH).total_seconds())
        if stored is None:
            current.session.add(Progress(name=name, position=seconds))
        else:
            stored.position = seconds
        current.keep()


def _fold(current: Change, rule: AlertRule, row: AlertRow | None, sequence: Sequence[Judgement]) -> None:
    """Takes one subject's new windows in; every change of state is an event."""
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
        row.fired_at, row.breached_at, row.window_end = after.fired_at, after.breached_at, found.end
        if found.is_breached:
            row.sentence = say(rule, found)
            row.evidence = json.dumps(found.evidence())
        if after.state is AlertState.OK:
            row.acked_by = row.acked_at = None
        if after.state is before.state:
            continue
        has_fired = after.state is AlertState.FIRING and before.state not in ALARMED
        if has_fired:
            row.group_id = _find_group(current.session, row, found.end)
        add_event(current, row, _FIRE if has_fired else "window", {}, end=found.end)


def _find_group(session: Session, row: AlertRow, end: datetime) -> str:
    """The group of the filter's (or source's) alerts that fire already, else a new one."""
    beside = (
        select(AlertRow.group_id)
        .where(
            AlertRow.alert_id != row.alert_id,
            col(AlertRow.filter_name).is_not_distinct_from(row.filter_name),
            col(AlertRow.source).is_not_distinct_from(row.source),
            col(AlertRow.state).in_([state.value for state in ALARMED]),
            col(AlertRow.group_id).is_not(None),
        )
        .order_by(col(AlertRow.fired_at))
    )
    about = json.dumps(row.filter_name) if row.source is None else row.subject
    return session.exec(beside).first() or _digest(about, end.isoformat())


def _retire(records: RecordStore, names: set[str], *, at: datetime) -> None:
    """Ends the alerts of rules that are no longer evaluated: nothing would ever end them."""
    left = select(AlertRow).where(AlertRow.state != AlertState.OK.value, col(AlertRow.rule_name).not_in(names))
    with records.session() as session:
        if session.exec(left).first() is None:
            return
    with change(records, actor=SYSTEM, at=at) as current:
        for row in current.session.exec(left):
            row.state, row.since, row.count = AlertState.OK.value, row.window_end, 0
            row.acked_by = row.acked_at = None
            add_event(current, row, "retire", {})


def _new_row(rule: AlertRule, found: Judgement) -> AlertRow:
    # An alert about no source keeps the identity that it always had.
    named = (found.filter_name, found.rule_id) if found.source is None else found.subject
    subject = json.dumps(named)
    return AlertRow(
        alert_id=_digest(rule.name, subject),
        rule_name=rule.name,
        subject=subject,
        kind=rule.kind,
        filter_name=found.filter_name,
        rule_id=found.rule_id,
        source=found.source,
        state=AlertState.OK.value,
        since=None,
        count=0,
        fired_at=None,
        window_end=found.end,
        sentence="",
        evidence="{}",
    )


def _digest(*parts: str) -> str:
    return hashlib.sha256(_SEPARATOR.join(parts).encode()).hexdigest()[:12]


def _state(row: AlertRow | None) -> Alert:
    if row is None:
        return Alert()
    return Alert(AlertState(row.state), row.since, row.count, row.fired_at, row.breached_at, row.window_end)


def add_event(
    current: Change, row: AlertRow, action: str, detail: Mapping[str, object], *, end: datetime | None = None
) -> None:
    """Appends to an alert's history, and to the audit log."""
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
