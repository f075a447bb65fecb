"""What people are told of: audit entries as messages. Without `with_text` a message holds no text out of logs or notes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlmodel import Session, col, select

from core.registry import Registry
from incidents.alerts.kinds import KINDS
from incidents.enums import AlertState, EscalationReason
from incidents.models import AlertRow, AuditEntry, CaseEvent
from incidents.response.enums import IncidentAction, Severity
from incidents.response.models import Incident, IncidentEvent
from incidents.response.words import describe_clock, say_moment

_GRAVE_REASONS = {
    EscalationReason.IMMINENT_HARM: Severity.CRITICAL,
    EscalationReason.CHILD_SAFETY: Severity.CRITICAL,
    EscalationReason.LEGAL: Severity.HIGH,
}
_LAST_HOURS = timedelta(hours=4)
_UNSAFE = re.compile(r"[^\w .,'-]")


@dataclass(frozen=True, slots=True)
class Message:
    """What one target is to be told.

    Attributes:
        subject: What it is about: "incident/7", "alert-group/3f2a", "case/c1".
        severity: How grave.
        title: One line without any text out of logs.
        text: Titles and names out of logs and notes, for targets that ask for them; "" for none.
        path: Page and query of the dashboard that shows it.
        target: Name of a target that is told whatever it asked for; "" for none.
    """

    subject: str
    severity: Severity
    title: str
    text: str
    path: str
    target: str = ""


@dataclass(frozen=True, slots=True)
class Topic:
    """One kind of event that targets can ask for.

    Attributes:
        key: Name in `weir.toml`.
        title: For pages.
        actions: Actions of the audit log that are of this kind.
        build: The message about an entry; None when there is nothing to tell (any more).
    """

    key: str
    title: str
    actions: frozenset[str]
    build: Callable[[Session, AuditEntry, datetime], Message | None]


def find_topic(action: str) -> Topic | None:
    """The topic of an audit action; None when nobody is told of such."""
    return next((topic for topic in TOPICS.values() if action in topic.actions), None)


def write_body(message: Message, *, entry: AuditEntry, public_url: str, with_text: bool, key: str) -> str:
    """The message's text; `key` lets a receiver tell a repeated delivery."""
    lines = [f"{say_moment(entry.at)}, by {_name(entry.actor)}"]
    if with_text and message.text:
        lines.append(message.text)
    if public_url:
        lines.append(f"{public_url.rstrip('/')}/{message.path}")
    return "\n".join([*lines, f"Reference {key}"])


def _name(actor: str) -> str:
    """A person's name without anything that a chat service would act on."""
    return _UNSAFE.sub("", actor)[:40] or "someone"


def _alert(session: Session, entry: AuditEntry, at: datetime) -> Message | None:
    row = session.get(AlertRow, entry.subject)
    is_silenced = row is not None and row.silenced_until is not None and row.silenced_until > at
    if row is None or is_silenced or row.state == AlertState.OK:
        return None
    names = " / ".join(name for name in (row.filter_name, row.rule_id, row.source) if name)
    return Message(
        subject=f"alert-group/{row.group_id or row.alert_id}",
        severity=Severity.MEDIUM,
        title=f"Alert: {KINDS[row.kind].title} (rule {row.rule_name})",
        text=f"{names} {row.sentence}".strip(),
        path="incidents?part=Alerts",
    )


def _incident(session: Session, entry: AuditEntry, _at: datetime) -> Message | None:
    row = session.get(Incident, int(entry.subject))
    if row is None:
        return None
    detail = json.loads(entry.detail)
    action = IncidentAction(entry.action.removeprefix("incident."))
    severity = Severity(detail["severity"])
    facts = _facts(session, row.number, detail["version"])
    what = f"{action.title}, now {detail['state']}"
    if action is IncidentAction.ESCALATE:
        what = f"nobody took it up, step {facts['step']}: {facts['who']}"
    if action is IncidentAction.REMIND:
        due_at = datetime.fromisoformat(facts["due_at"])
        left = f"{describe_clock(due_at, at=entry.at)}, due by {say_moment(due_at)}"
        what = f"its report is not made, {left}: {_name(facts['who'])}"
        # The law's clock knows no quiet hours and no least severity.
        severity = (
            Severity.CRITICAL
            if due_at - entry.at <= _LAST_HOURS
            else max(severity, Severity.HIGH, key=lambda item: item.rank)
        )
    return Message(
        subject=f"incident/{row.number}",
        severity=severity,
        title=f"Incident {row.number} ({severity.value}): {what}",
        text=row.title,
        path=f"incidents?part=Incidents&incident={row.number}",
        target=facts.get("target", ""),
    )


def _facts(session: Session, number: int, version: int) -> Mapping[str, str]:
    query = select(IncidentEvent.payload).where(IncidentEvent.number == number, IncidentEvent.seq == version)
    facts: Mapping[str, str] = json.loads(session.exec(query).one())
    return facts


def _case_escalated(session: Session, entry: AuditEntry, _at: datetime) -> Message | None:
    query = select(CaseEvent.payload).where(
        CaseEvent.case_id == entry.subject, CaseEvent.action == "escalate", CaseEvent.at == entry.at
    )
    payload = session.exec(query.order_by(col(CaseEvent.seq).desc())).first()
    if payload is None:
        return None
    facts = json.loads(payload)
    reason = EscalationReason(facts["reason"])
    return Message(
        subject=f"case/{entry.subject}",
        severity=_GRAVE_REASONS.get(reason, Severity.MEDIUM),
        title=f"Case escalated: {reason.title}",
        text=str(facts.get("note", "")),
        path=f"triage?case={entry.subject}",
    )


def _case_waits(_session: Session, entry: AuditEntry, _at: datetime) -> Message | None:
    detail = json.loads(entry.detail)
    return Message(
        subject=f"case/{entry.subject}",
        severity=Severity(detail["severity"]),
        title=f"An escalated case waits: step {detail['step']} of its escalation",
        text="",
        path=f"triage?case={entry.subject}",
        target=detail["target"],
    )


_OPENED = (IncidentAction.OPEN, IncidentAction.REGRESS)
_CHANGED = (
    IncidentAction.ACKNOWLEDGE,
    IncidentAction.TRIAGE,
    IncidentAction.START,
    IncidentAction.STABILISE,
    IncidentAction.RESUME,
    IncidentAction.CLOSE,
    IncidentAction.DISMISS,
    IncidentAction.RATE,
    IncidentAction.ASSIGN,
)


def _of(*actions: IncidentAction) -> frozenset[str]:
    return frozenset(f"incident.{action.value}" for action in actions)


TOPICS: Registry[Topic] = Registry(
    "kind of notification",
    Topic(
        "alert",
        "An alert begins to fire; alerts of one filter at one time are one message",
        frozenset({"alert.fire"}),
        _alert,
    ),
    Topic("incident-opened", "An incident is opened, or comes back", _of(*_OPENED), _incident),
    Topic("incident-changed", "An incident's state, severity or people change", _of(*_CHANGED), _incident),
    Topic("incident-escalated", "Nobody took an incident up in time", _of(IncidentAction.ESCALATE), _incident),
    Topic(
        "serious-incident",
        "An incident is marked as possibly serious, and when its report is due soon or late",
        _of(IncidentAction.MARK_SERIOUS, IncidentAction.REMIND),
        _incident,
    ),
    Topic("case-escalated", "A reviewer hands a case on", frozenset({"case.escalate"}), _case_escalated),
    Topic("case-waiting", "Nobody took an escalated case up in time", frozenset({"case.wait"}), _case_waits),
)
