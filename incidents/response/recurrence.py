"""A closed incident whose alert fires again comes back as new; the alarm is never only in a closed file."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Session, col, select

from core.records import RecordStore
from incidents.audit import change
from incidents.models import AlertEvent, Progress
from incidents.people import SYSTEM
from incidents.response.enums import Dismissal, IncidentAction, IncidentState, LinkKind
from incidents.response.models import Incident
from incidents.response.work import add_entry, find_linked

_CURSOR = "recurrence"


def reopen_recurring(records: RecordStore, *, at: datetime) -> list[int]:
    """Reopens the newest closed incident of every alert that began to fire since the last call; returns their numbers.

    A duplicate stays closed, for another incident covers it. Nothing is reopened while an open incident is tied to the
    alert, or for what happened before the incident was closed.
    """
    with records.session() as session:
        stored = session.get(Progress, _CURSOR)
        newest = session.exec(select(sa.func.max(AlertEvent.event_id))).one() or 0
        position = stored.position if stored else 0
        if newest == position and stored is not None:
            return []
        fired = _list_fired(session, after=position)
    reopened = []
    candidates = {alert_id: find_linked(records, LinkKind.ALERT, alert_id, actor=SYSTEM) for alert_id, _ in fired}
    with change(records, actor=SYSTEM, at=at) as current:
        for alert_id, fired_at in fired:
            lives = [view for view in candidates[alert_id] if view.life.ending != Dismissal.DUPLICATE]
            if not lives or any(view.life.is_open for view in lives):
                continue
            row = current.session.get(Incident, lives[0].number, populate_existing=True)
            if row is None or row.state != IncidentState.CLOSED or row.closed_at is None or row.closed_at >= fired_at:
                continue
            add_entry(current, row, IncidentAction.REGRESS, {"reason": f"Alert {alert_id} fired again"})
            reopened.append(row.number)
        cursor = current.session.get(Progress, _CURSOR) or Progress(name=_CURSOR, position=0)
        cursor.position = newest
        current.session.add(cursor)
        current.keep()
    return reopened


def _list_fired(session: Session, *, after: int) -> list[tuple[str, datetime]]:
    """Alerts that began to fire, with the moment; one that had not ended is the same alarm and no such event."""
    query = select(AlertEvent).where(col(AlertEvent.event_id) > after, AlertEvent.action == "fire")
    return [(event.alert_id, event.at) for event in session.exec(query.order_by(col(AlertEvent.event_id)))]
