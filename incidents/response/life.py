"""What an incident's events say about it: the fold, and the times that it took."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime

from core.errors import TransitionError
from incidents.response.enums import Duty, IncidentAction, IncidentState, LinkKind, Section, Severity, Source
from incidents.response.states import find_rule


@dataclass(frozen=True, slots=True)
class IncidentEntry:
    """One event of an incident, as stored in `incident_events`; `state` is the one it led to."""

    seq: int
    action: IncidentAction
    actor: str
    at: datetime
    payload: Mapping[str, str]
    state: IncidentState


@dataclass(frozen=True, slots=True)
class FollowUp:
    """Work that remains; numbered by the event that added it."""

    number: int
    title: str
    owner: str
    due: date
    done_at: datetime | None = None
    done_by: str | None = None


@dataclass(frozen=True, slots=True)
class Life:
    """What the events so far say. Times are naive UTC.

    Attributes:
        state: Where it stands.
        version: Number of events.
        title: One line.
        severity: How grave.
        source: What it was opened from.
        opened_at: When it was opened.
        opened_by: Who opened it.
        started_at: When what it is about began, as far as known.
        since: When it entered its state.
        people: Who does what; the owner stays through a regress.
        acked_at: When a person took it up, since it was opened or came back.
        mitigated_at: When users were last no longer affected; None while they may be.
        closed_at: When it was closed or dismissed; None while open.
        ending: Value of `Resolution` or `Dismissal`; None while open.
        regressions: How often it came back after it was closed.
        regressed_at: When it last did.
        escalated: Steps of the escalation policy taken since the clock last started.
        links: What is tied to it.
        follow_ups: Work that remains, oldest first.
        sections: What people wrote, by section.
        serious_kind: Kind under which it may have to be reported; None = none.
        aware_at: Since when that is known; its clock starts here.
    """

    state: IncidentState
    version: int
    title: str
    severity: Severity
    source: Source
    opened_at: datetime
    opened_by: str
    started_at: datetime
    since: datetime
    people: Mapping[Duty, str] = field(default_factory=dict)
    acked_at: datetime | None = None
    mitigated_at: datetime | None = None
    closed_at: datetime | None = None
    ending: str | None = None
    regressions: int = 0
    regressed_at: datetime | None = None
    escalated: int = 0
    links: tuple[tuple[LinkKind, str], ...] = ()
    follow_ups: tuple[FollowUp, ...] = ()
    sections: Mapping[Section, str] = field(default_factory=dict)
    serious_kind: str | None = None
    aware_at: datetime | None = None

    @property
    def owner(self) -> str | None:
        """Who answers for it."""
        return self.people.get(Duty.OWNER)

    @property
    def clock_at(self) -> datetime:
        """When its clocks last started: opened, or come back."""
        return self.regressed_at or self.opened_at

    @property
    def is_open(self) -> bool:
        """Whether anything is left to do."""
        return self.state is not IncidentState.CLOSED

    def linked(self, kind: LinkKind) -> list[str]:
        """What of a kind is tied to it, in the order of linking."""
        return [ref for found, ref in self.links if found is kind]


def step(before: Life | None, entry: IncidentEntry) -> Life:
    """The incident after one more event; `entry.state` is not looked at.

    Raises:
        TransitionError: The action is not allowed, or a fact is missing, invalid, or names nothing.
    """
    payload, action = entry.payload, entry.action
    rule = find_rule(before.state if before else None, action, payload)
    if before is None:
        return _open(rule.to, entry)
    since = before.since if rule.to is before.state else entry.at
    after = replace(before, state=rule.to, version=before.version + 1, since=since)
    match action:
        case IncidentAction.ACKNOWLEDGE:
            return replace(after, acked_at=before.acked_at or entry.at)
        case IncidentAction.TRIAGE:
            people = {**before.people, Duty.OWNER: payload["owner"]}
            acked_at = before.acked_at or entry.at
            return replace(after, severity=Severity(payload["severity"]), people=people, acked_at=acked_at)
        case IncidentAction.START:
            return replace(after, sections=_write(before, Section.SUMMARY, payload["summary"]))
        case IncidentAction.STABILISE:
            sections = _write(before, Section.MITIGATION, payload["mitigation"])
            return replace(after, mitigated_at=entry.at, sections=sections)
        case IncidentAction.RESUME:
            return replace(after, mitigated_at=None)
        case IncidentAction.CLOSE:
            sections = _write(before, Section.CAUSE, payload["cause"])
            return replace(after, closed_at=entry.at, ending=payload["resolution"], sections=sections)
        case IncidentAction.DISMISS:
            acked_at = before.acked_at or entry.at
            return replace(after, closed_at=entry.at, ending=payload["dismissal"], acked_at=acked_at)
        case IncidentAction.REGRESS:
            fresh = replace(after, acked_at=None, mitigated_at=None, closed_at=None, ending=None, escalated=0)
            return replace(fresh, regressions=before.regressions + 1, regressed_at=entry.at)
        case IncidentAction.ESCALATE:
            return replace(after, escalated=before.escalated + 1)
        case _:
            return _annotate(before, after, entry)


def fold(entries: Iterable[IncidentEntry]) -> Life:
    """What an incident's events, in order, lead to. There is at least the opening.

    Raises:
        TransitionError: The events do not form a legal life.
        ValueError: There are none.
    """
    life: Life | None = None
    for entry in entries:
        life = step(life, entry)
    if life is None:
        raise ValueError("an incident has at least its opening event")
    return life


def measure(life: Life) -> dict[str, float | None]:
    """Seconds to acknowledge, to mitigate and to resolve since its clock last started; null = not yet.

    `detect_s` counts from the beginning of what it is about to its opening.
    """
    ends = {"acknowledge_s": life.acked_at, "mitigate_s": life.mitigated_at, "resolve_s": life.closed_at}
    times = {name: (end - life.clock_at).total_seconds() if end else None for name, end in ends.items()}
    return {"detect_s": (life.opened_at - life.started_at).total_seconds(), **times}


def _open(state: IncidentState, entry: IncidentEntry) -> Life:
    payload = entry.payload
    started_at = payload.get("started_at")
    return Life(
        state=state,
        version=1,
        title=payload["title"],
        severity=Severity(payload["severity"]),
        source=Source(payload["source"]),
        opened_at=entry.at,
        opened_by=entry.actor,
        started_at=datetime.fromisoformat(started_at) if started_at else entry.at,
        since=entry.at,
    )


def _annotate(before: Life, after: Life, entry: IncidentEntry) -> Life:
    """Events that leave the state as it is."""
    payload = entry.payload
    match entry.action:
        case IncidentAction.RATE:
            return replace(after, severity=Severity(payload["severity"]))
        case IncidentAction.ASSIGN:
            return replace(after, people={**before.people, Duty(payload["duty"]): payload["person"]})
        case IncidentAction.DESCRIBE:
            return replace(after, sections=_write(before, Section(payload["section"]), payload["text"]))
        case IncidentAction.LINK:
            link = (LinkKind(payload["link"]), payload["ref"])
            return replace(after, links=tuple(dict.fromkeys((*before.links, link))))
        case IncidentAction.UNLINK:
            link = (LinkKind(payload["link"]), payload["ref"])
            if link not in before.links:
                raise TransitionError("It is not linked", f"{link[0]} {link[1]!r}", "See the incident's links.")
            return replace(after, links=tuple(kept for kept in before.links if kept != link))
        case IncidentAction.ADD_FOLLOW_UP:
            due = date.fromisoformat(payload["due"])
            added = FollowUp(after.version, payload["title"], payload["owner"], due)
            return replace(after, follow_ups=(*before.follow_ups, added))
        case IncidentAction.FINISH_FOLLOW_UP:
            return replace(after, follow_ups=_finish(before, entry))
        case IncidentAction.MARK_SERIOUS:
            aware_at = datetime.fromisoformat(payload["aware_at"])
            return replace(after, serious_kind=payload["kind"], aware_at=aware_at)
        case IncidentAction.UNMARK_SERIOUS:
            return replace(after, serious_kind=None, aware_at=None)
        case _:
            return after


def _finish(before: Life, entry: IncidentEntry) -> tuple[FollowUp, ...]:
    number = int(entry.payload["follow_up"])
    waiting = [item.number for item in before.follow_ups if item.done_at is None]
    if number not in waiting:
        names = ", ".join(map(str, waiting)) or "none"
        raise TransitionError("No such follow-up waits", str(number), f"Waiting: {names}.")
    return tuple(
        replace(item, done_at=entry.at, done_by=entry.actor) if item.number == number else item
        for item in before.follow_ups
    )


def _write(before: Life, section: Section, text: str) -> Mapping[Section, str]:
    return {**before.sections, section: text}
