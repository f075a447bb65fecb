"""One incident's timeline: what people did in it, and what happened around it.

Only the incident's own events are stored for it. Changes of linked alerts, verdicts on linked cases, new versions of
linked filters and changes that people registered are looked up whenever the timeline is read, so that it can never tell another story than their stores.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import sqlalchemy as sa
from sqlmodel import Session, col, select

from core.events import EventStore
from core.records import RecordStore
from incidents.alerts.models import RegisteredChange
from incidents.enums import Action, AlertState
from incidents.models import AlertEvent, CaseEvent, Vote
from incidents.response.enums import (
    Dismissal,
    Duty,
    IncidentAction,
    LinkKind,
    Resolution,
    Section,
    Source,
)
from incidents.response.life import IncidentEntry, Life
from incidents.response.words import say_moment
from incidents.response.work import IncidentView
from metrics.query import Query
from metrics.versions import list_versions

Kind = Literal["incident", "alert", "case", "version"]
# What led to an incident often happened shortly before it was felt.
LEAD = timedelta(hours=6)
_MOST_EVENTS = 500
_CHANGES = ("fire", "window", "retire")
_VERDICTS = {True: "harmful", False: "benign", None: "unsure"}


@dataclass(frozen=True, slots=True)
class TimelineItem:
    """One line of a timeline.

    Attributes:
        at: When, naive UTC.
        kind: Where it comes from.
        who: Person, or "system".
        what: Our sentence about it; may hold names out of logs.
        text: What somebody wrote or a log said; "" for none.
    """

    at: datetime
    kind: Kind
    who: str
    what: str
    text: str = ""


def build_timeline(records: RecordStore, events: EventStore, view: IncidentView, *, at: datetime) -> list[TimelineItem]:
    """Everything that belongs to the incident from `LEAD` before it began to its end, oldest first."""
    life = view.life
    since, until = life.started_at - LEAD, life.closed_at or at
    items = [TimelineItem(entry.at, "incident", entry.actor, *describe_entry(entry)) for entry in view.entries]
    with records.session() as session:
        items += _alerts(session, life.linked(LinkKind.ALERT), since, until)
        items += _cases(session, life.linked(LinkKind.CASE), since, until)
        items += _registered(session, life.linked(LinkKind.FILTER), since, until)
    items += _versions(events, life, since, until)
    return sorted(items, key=lambda item: item.at)


def describe_entry(entry: IncidentEntry) -> tuple[str, str]:
    """An event of an incident as our sentence, and the text that somebody wrote with it."""
    facts = entry.payload
    match entry.action:
        case IncidentAction.OPEN:
            return f"Opened {Source(facts['source']).title.lower()}, severity {facts['severity']}", facts["title"]
        case IncidentAction.TRIAGE:
            return f"Triaged: severity {facts['severity']}, owner {facts['owner']}", ""
        case IncidentAction.RATE:
            return f"Severity is now {facts['severity']}", facts["reason"]
        case IncidentAction.START:
            return "Work started", facts["summary"]
        case IncidentAction.STABILISE:
            return "Stable: users are no longer affected", facts["mitigation"]
        case IncidentAction.RESUME:
            return "Active again", facts["reason"]
        case IncidentAction.CLOSE:
            return f"Closed: {Resolution(facts['resolution']).title.lower()}", facts["cause"]
        case IncidentAction.DISMISS:
            return f"Dismissed: {Dismissal(facts['dismissal']).title.lower()}", facts["reason"]
        case IncidentAction.REGRESS:
            return "Came back after it was closed", facts["reason"]
        case IncidentAction.ASSIGN:
            return f"{facts['person']} is now {Duty(facts['duty']).title.lower()}", ""
        case IncidentAction.DESCRIBE:
            return f"Wrote: {Section(facts['section']).title.lower()}", facts["text"]
        case IncidentAction.LINK | IncidentAction.UNLINK:
            verb = "Linked" if entry.action is IncidentAction.LINK else "Unlinked"
            return f"{verb} {LinkKind(facts['link']).title.lower()} {facts['ref']}", ""
        case IncidentAction.ESCALATE:
            return f"Nobody took it up in time: step {facts['step']} of the escalation goes to {facts['who']}", ""
        case IncidentAction.ADD_FOLLOW_UP:
            return f"Follow-up {entry.seq} for {facts['owner']}, due {facts['due']}", facts["title"]
        case IncidentAction.FINISH_FOLLOW_UP:
            return f"Follow-up {facts['follow_up']} is done", ""
        case IncidentAction.MARK_SERIOUS:
            return f"Marked as possibly serious ({facts['kind']}); aware since {_say(facts['aware_at'])}", ""
        case IncidentAction.REMIND:
            return f"The report is due by {_say(facts['due_at'])}: {facts['who']} reminded", ""
        case IncidentAction.REPORT:
            return f"{facts['report'].capitalize()} report exported", ""
        case _:
            return entry.action.title, facts.get("text") or facts.get("reason", "")


def _say(moment: str) -> str:
    return say_moment(datetime.fromisoformat(moment))


def _alerts(session: Session, ids: list[str], since: datetime, until: datetime) -> list[TimelineItem]:
    query = select(AlertEvent).where(col(AlertEvent.alert_id).in_(ids), col(AlertEvent.action).in_(_CHANGES))
    query = query.where(col(AlertEvent.at) >= since, col(AlertEvent.at) <= until).order_by(col(AlertEvent.event_id))
    return [
        TimelineItem(row.at, "alert", "system", f"Alert {row.alert_id}: {AlertState(row.state).title}", row.sentence)
        for row in session.exec(query.limit(_MOST_EVENTS))
    ]


def _cases(session: Session, ids: list[str], since: datetime, until: datetime) -> list[TimelineItem]:
    votes = select(Vote).where(col(Vote.case_id).in_(ids), col(Vote.voted_at) >= since, col(Vote.voted_at) <= until)
    items = [
        TimelineItem(
            row.voted_at,
            "case",
            row.reviewer,
            f"Case {row.case_id}: judged {_VERDICTS[row.harmful]}"
            if row.kind == "vote"
            else f"Case {row.case_id}: {row.kind}",
        )
        for row in session.exec(votes.order_by(col(Vote.vote_id)).limit(_MOST_EVENTS))
    ]
    handed_on = select(CaseEvent).where(
        col(CaseEvent.case_id).in_(ids),
        CaseEvent.action == Action.ESCALATE.value,
        col(CaseEvent.at) >= since,
        col(CaseEvent.at) <= until,
    )
    return items + [
        TimelineItem(row.at, "case", row.actor, f"Case {row.case_id}: escalated")
        for row in session.exec(handed_on.limit(_MOST_EVENTS))
    ]


def _registered(session: Session, filters: list[str], since: datetime, until: datetime) -> list[TimelineItem]:
    """Changes that people registered, of the linked filters or of all; of every filter when none is linked."""
    query = select(RegisteredChange).where(col(RegisteredChange.at) >= since, col(RegisteredChange.at) <= until)
    if filters:
        name = col(RegisteredChange.filter_name)
        query = query.where(sa.or_(name.is_(None), name.in_(filters)))
    rows = session.exec(query.order_by(col(RegisteredChange.at)).limit(_MOST_EVENTS))
    return [
        TimelineItem(row.at, "version", row.registered_by, f"Change of {row.filter_name or 'all filters'}", row.note)
        for row in rows
    ]


def _versions(events: EventStore, life: Life, since: datetime, until: datetime) -> list[TimelineItem]:
    """New versions of the linked filters, or of all when none is linked."""
    named = tuple(("filter_name", name) for name in life.linked(LinkKind.FILTER))
    found = list_versions(events.backend(), Query(since=since, until=until, filters=named))
    return [
        TimelineItem(first_seen_at, "version", "system", f"First seen: {name}, version {version}")
        for name, version, first_seen_at in found.head(_MOST_EVENTS).iter_rows()
    ]
