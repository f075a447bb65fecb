"""Opening incidents, acting on them, reading them. Every change is one event, one audit entry, one transaction."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Session, col, select

from core.errors import ConflictError, NotFoundError
from core.records import RecordStore
from incidents.audit import Change, change
from incidents.models import AlertRow
from incidents.people import Actor, Role
from incidents.response.enums import IncidentAction, IncidentState, LinkKind, Severity, Source
from incidents.response.life import IncidentEntry, Life, fold, step
from incidents.response.models import Incident, IncidentEvent
from incidents.response.states import find_rule
from incidents.views import get_row

Links = Sequence[tuple[LinkKind, str]]


@dataclass(frozen=True, slots=True)
class IncidentView:
    """An incident as it was when read.

    Attributes:
        number: Identity.
        life: What its events say.
        entries: Those events, oldest first.
    """

    number: int
    life: Life
    entries: tuple[IncidentEntry, ...]


def open_incident(
    records: RecordStore,
    *,
    actor: Actor,
    title: str,
    severity: Severity,
    at: datetime,
    started_at: datetime | None = None,
    links: Links = (),
) -> IncidentView:
    """Opens an incident by hand.

    Raises:
        TransitionError: The title or a link cannot be stored.
        NotFoundError: A linked alert or case does not exist.
    """
    with change(records, actor=actor, at=at) as current:
        return _open(current, title=title, severity=severity, source=Source.HAND, started_at=started_at, links=links)


def open_from_alert(
    records: RecordStore, alert_id: str, *, actor: Actor, severity: Severity, at: datetime
) -> IncidentView:
    """Opens an incident about an alert, with its filter and rule; it began when the alert last began to fire.

    Raises:
        NotFoundError: There is no such alert.
        ConflictError: An open incident is tied to it already.
    """
    with change(records, actor=actor, at=at) as current:
        alert = current.session.get(AlertRow, alert_id)
        if alert is None:
            raise NotFoundError("No such alert", repr(alert_id), "It may belong to another home.")
        for row in _rows_linked(current.session, LinkKind.ALERT, alert_id):
            if row.state != IncidentState.CLOSED:
                raise ConflictError("An incident is open for this alert", f"incident {row.number}", "Work on that one.")
        subject = " / ".join(_one_line(name) for name in (alert.filter_name, alert.rule_id, alert.source) if name)
        named = [(LinkKind.FILTER, alert.filter_name), (LinkKind.RULE, alert.rule_id)]
        return _open(
            current,
            title=_one_line(f"{subject or 'All filters'} {alert.sentence}"),
            severity=severity,
            source=Source.ALERT,
            started_at=alert.fired_at,
            links=[(LinkKind.ALERT, alert_id), *((kind, name) for kind, name in named if name)],
        )


def open_from_case(
    records: RecordStore, case_id: str, *, actor: Actor, title: str, severity: Severity, at: datetime
) -> IncidentView:
    """Opens an incident about more than one case's turn; it began with that turn.

    Raises:
        NotFoundError: There is no such case.
        TransitionError: The title cannot be stored.
    """
    with change(records, actor=actor, at=at) as current:
        case = get_row(current.session, case_id)
        return _open(
            current,
            title=title,
            severity=severity,
            source=Source.CASE,
            started_at=case.turn_at,
            links=[(LinkKind.CASE, case_id)],
        )


def act(
    records: RecordStore,
    number: int,
    action: IncidentAction,
    payload: Mapping[str, str],
    *,
    actor: Actor,
    at: datetime,
    version: int | None = None,
) -> IncidentView:
    """Moves an incident one event on.

    Args:
        records: The decision store.
        number: The incident.
        action: What happens.
        payload: The facts that `states.TRANSITIONS` asks for.
        actor: Who acts.
        at: Now.
        version: Version of the incident that was looked at; None = whatever it is now.

    Raises:
        NotFoundError: There is no such incident, or what is to be linked does not exist.
        ConflictError: It is no longer the given version.
        TransitionError: The action is not allowed, or a fact is missing or invalid; the hint names what is.
        AccessError: The actor's role does not permit it.
    """
    with change(records, actor=actor, at=at) as current:
        row = _get(current.session, number)
        if version is not None and version != row.version:
            raise ConflictError(
                "The incident changed since you opened it",
                f"version {version} is now {row.version}",
                "Look at it again before you act.",
            )
        add_entry(current, row, action, payload)
        return _view(current.session, number)


def list_incidents(
    records: RecordStore,
    *,
    actor: Actor,
    states: Collection[IncidentState] | None = None,
    least: Severity = Severity.LOW,
    owner: str | None = None,
) -> list[IncidentView]:
    """Incidents of these states (None = all), of a severity or graver; open ones first, then by severity and age."""
    actor.require(Role.VIEWER)
    query = select(Incident).where(Incident.severity >= least.rank)
    if states is not None:
        query = query.where(col(Incident.state).in_([state.value for state in states]))
    if owner is not None:
        query = query.where(Incident.owner == owner)
    is_closed = sa.case((col(Incident.state) == IncidentState.CLOSED.value, 1), else_=0)
    order = (is_closed, col(Incident.severity).desc(), col(Incident.number).desc())
    with records.session() as session:
        return [_view(session, row.number) for row in session.exec(query.order_by(*order))]


def count_unacknowledged(records: RecordStore, *, actor: Actor) -> int:
    """Number of open incidents that nobody has taken up."""
    actor.require(Role.VIEWER)
    query = select(sa.func.count()).select_from(Incident)
    query = query.where(Incident.state == IncidentState.NEW.value, col(Incident.acked_at).is_(None))
    with records.session() as session:
        return session.exec(query).one()


def get_incident(records: RecordStore, number: int, *, actor: Actor) -> IncidentView:
    """One incident.

    Raises:
        NotFoundError: There is none of this number.
    """
    actor.require(Role.VIEWER)
    with records.session() as session:
        return _view(session, number)


def find_linked(records: RecordStore, kind: LinkKind, ref: str, *, actor: Actor) -> list[IncidentView]:
    """Incidents that this is tied to, newest first."""
    actor.require(Role.VIEWER)
    with records.session() as session:
        return [_view(session, row.number) for row in _rows_linked(session, kind, ref)]


def add_entry(current: Change, row: Incident, action: IncidentAction, payload: Mapping[str, str]) -> Life:
    """Adds one event to an incident, with its audit entry, which holds no text that anybody wrote.

    Raises:
        TransitionError: The action is not allowed, or a fact is missing or invalid.
        AccessError: The actor's role does not permit it.
    """
    entries = _entries(current.session, row.number)
    before = fold(entries) if entries else None
    current.actor.require(find_rule(before.state if before else None, action, payload).role)
    if action is IncidentAction.LINK:
        _require_linkable(current.session, LinkKind(payload["link"]), payload["ref"])
    facts = {name: str(value) for name, value in payload.items()}
    entry = IncidentEntry(row.version + 1, action, current.actor.name, current.at, facts, IncidentState.NEW)
    life = step(before, entry)
    for name, value in project(life).items():
        setattr(row, name, value)
    current.session.add(row)
    current.session.flush()
    current.session.add(
        IncidentEvent(
            number=row.number,
            seq=life.version,
            at=current.at,
            actor=current.actor.name,
            action=action.value,
            state=life.state.value,
            payload=json.dumps(facts, sort_keys=True),
        )
    )
    detail = {"state": life.state.value, "severity": life.severity.value, "version": life.version}
    current.record(f"incident.{action.value}", str(row.number), detail)
    return life


def project(life: Life) -> dict[str, object]:
    """The columns of an incident's row that its events determine."""
    filters, rules = life.linked(LinkKind.FILTER), life.linked(LinkKind.RULE)
    return {
        "title": life.title,
        "state": life.state.value,
        "severity": life.severity.rank,
        "owner": life.owner,
        "filter_name": filters[0] if filters else None,
        "rule_id": rules[0] if rules else None,
        "opened_at": life.opened_at,
        "version": life.version,
        "acked_at": life.acked_at,
        "mitigated_at": life.mitigated_at,
        "closed_at": life.closed_at,
    }


def _open(
    current: Change,
    *,
    title: str,
    severity: Severity,
    source: Source,
    started_at: datetime | None,
    links: Links,
) -> IncidentView:
    newest = current.session.exec(select(sa.func.max(Incident.number))).one()
    row = Incident(
        number=(newest or 0) + 1,
        title=title,
        state="",
        severity=severity.rank,
        owner=None,
        opened_at=current.at,
        version=0,
    )
    facts = {"title": title, "severity": severity.value, "source": source.value}
    if started_at is not None:
        facts["started_at"] = started_at.isoformat()
    add_entry(current, row, IncidentAction.OPEN, facts)
    for kind, ref in links:
        add_entry(current, row, IncidentAction.LINK, {"link": kind.value, "ref": ref})
    return _view(current.session, row.number)


def _require_linkable(session: Session, kind: LinkKind, ref: str) -> None:
    """Raises NotFoundError when the alert or case does not exist; filters may be named before they log anything."""
    if kind is LinkKind.CASE:
        get_row(session, ref)
    elif kind is LinkKind.ALERT and session.get(AlertRow, ref) is None:
        raise NotFoundError("No such alert", repr(ref), "See `weir alerts list --all`.")


def _rows_linked(session: Session, kind: LinkKind, ref: str) -> list[Incident]:
    payload = json.dumps({"link": kind.value, "ref": ref}, sort_keys=True)
    ever = select(IncidentEvent.number).where(
        IncidentEvent.action == IncidentAction.LINK.value, IncidentEvent.payload == payload
    )
    rows = session.exec(select(Incident).where(col(Incident.number).in_(ever)).order_by(col(Incident.number).desc()))
    return [row for row in rows if ref in fold(_entries(session, row.number)).linked(kind)]


def _get(session: Session, number: int) -> Incident:
    row = session.get(Incident, number)
    if row is None:
        raise NotFoundError("No such incident", str(number), "See `weir incidents list`.")
    return row


def _view(session: Session, number: int) -> IncidentView:
    _get(session, number)
    entries = _entries(session, number)
    return IncidentView(number, fold(entries), tuple(entries))


def _entries(session: Session, number: int) -> list[IncidentEntry]:
    query = select(IncidentEvent).where(IncidentEvent.number == number).order_by(col(IncidentEvent.seq))
    return [
        IncidentEntry(
            seq=row.seq,
            action=IncidentAction(row.action),
            actor=row.actor,
            at=row.at,
            payload=json.loads(row.payload),
            state=IncidentState(row.state),
        )
        for row in session.exec(query)
    ]


def _one_line(text: str) -> str:
    """Names out of logs as one printable line that fits a title."""
    shown = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(shown.split())[:300]
