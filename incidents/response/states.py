"""The life of an incident as data: (state, action) -> state, required facts, role."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime

from core.errors import TransitionError
from incidents.enums import GuidedEnum
from incidents.people import Role
from incidents.response.enums import (
    Dismissal,
    Duty,
    IncidentAction,
    IncidentState,
    LinkKind,
    ReportKind,
    Resolution,
    Section,
    Severity,
    Source,
)

TEXT_LIMIT = 20_000


@dataclass(frozen=True, slots=True)
class IncidentRule:
    """One allowed action.

    Attributes:
        to: State afterwards.
        requires: Facts that the event's payload must hold, not empty (`FACTS` says how each is read).
        role: Least role that may do it.
    """

    to: IncidentState
    requires: tuple[str, ...] = ()
    role: Role = Role.REVIEWER


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact of an event's payload.

    Attributes:
        title: For forms.
        kind: How people enter it.
        check: Raises ValueError for a value that is none.
        choices: Valid values with their guidance, for `choice`.
    """

    title: str
    kind: str
    check: Callable[[str], object]
    choices: tuple[GuidedEnum, ...] = ()


_NEW, _TRIAGED, _ACTIVE, _STABLE, _CLOSED = IncidentState
_A = IncidentAction

_ALWAYS: Mapping[IncidentAction, tuple[str, ...]] = {
    _A.NOTE: ("text",),
    _A.DESCRIBE: ("section", "text"),
    _A.LINK: ("link", "ref"),
    _A.UNLINK: ("link", "ref"),
    _A.ADD_FOLLOW_UP: ("title", "owner", "due"),
    _A.FINISH_FOLLOW_UP: ("follow_up",),
    _A.MARK_SERIOUS: ("kind", "aware_at"),
    _A.UNMARK_SERIOUS: ("reason",),
    _A.REPORT: ("report",),
}
_WHILE_OPEN: Mapping[IncidentAction, tuple[str, ...]] = {
    _A.RATE: ("severity", "reason"),
    _A.ASSIGN: ("duty", "person"),
}
# Entered by Weir itself when a time has come; nobody's next step.
_AUTOMATIC = (_A.ESCALATE, _A.REMIND)

TRANSITIONS: dict[tuple[IncidentState | None, IncidentAction], IncidentRule] = (
    {
        (None, _A.OPEN): IncidentRule(_NEW, ("title", "severity", "source")),
        (_NEW, _A.ACKNOWLEDGE): IncidentRule(_NEW),
        (_NEW, _A.ESCALATE): IncidentRule(_NEW, ("who", "step"), Role.ADMIN),
        (_NEW, _A.TRIAGE): IncidentRule(_TRIAGED, ("severity", "owner")),
        (_NEW, _A.DISMISS): IncidentRule(_CLOSED, ("dismissal", "reason"), Role.LEAD),
        (_TRIAGED, _A.START): IncidentRule(_ACTIVE, ("summary",)),
        (_TRIAGED, _A.DISMISS): IncidentRule(_CLOSED, ("dismissal", "reason"), Role.LEAD),
        (_ACTIVE, _A.STABILISE): IncidentRule(_STABLE, ("mitigation",)),
        (_STABLE, _A.CLOSE): IncidentRule(_CLOSED, ("resolution", "cause"), Role.LEAD),
        (_STABLE, _A.RESUME): IncidentRule(_ACTIVE, ("reason",)),
        # Nobody has acknowledged the recurrence, hence new; the owner stays.
        (_CLOSED, _A.REGRESS): IncidentRule(_NEW, ("reason",)),
    }
    | {
        (state, action): IncidentRule(state, requires)
        for actions, states in ((_ALWAYS, tuple(IncidentState)), (_WHILE_OPEN, (_NEW, _TRIAGED, _ACTIVE, _STABLE)))
        for state in states
        for action, requires in actions.items()
    }
    | {(state, _A.REMIND): IncidentRule(state, ("who", "before_h", "due_at"), Role.ADMIN) for state in IncidentState}
)


def list_actions(state: IncidentState | None) -> list[IncidentAction]:
    """The actions that are allowed in a state, those that change it first."""
    return [action for (before, action) in TRANSITIONS if before == state]


def list_steps(state: IncidentState) -> list[IncidentAction]:
    """The actions by which a person moves an incident on from a state."""
    return [
        action
        for (before, action) in TRANSITIONS
        if before == state and action not in _ALWAYS and action not in _WHILE_OPEN and action not in _AUTOMATIC
    ]


def find_rule(state: IncidentState | None, action: IncidentAction, payload: Mapping[str, object]) -> IncidentRule:
    """The rule for an action whose facts are all there and valid.

    Raises:
        TransitionError: The action is not allowed in this state, or a required fact is missing or invalid.
    """
    rule = TRANSITIONS.get((state, action))
    if rule is None:
        allowed = ", ".join(list_actions(state))
        where = f"{action} while the incident is {state or 'not opened'}"
        raise TransitionError("Not allowed", where, f"Allowed: {allowed}.")
    missing = [name for name in rule.requires if payload.get(name) in (None, "")]
    if missing:
        raise TransitionError("Something is missing", f"{action} needs {', '.join(missing)}", "Add it and repeat.")
    for name, value in payload.items():
        fact = FACTS.get(name)
        if fact is None:
            raise TransitionError("Not a fact of an incident", repr(name), f"Valid: {', '.join(FACTS)}.")
        try:
            fact.check(str(value))
        except ValueError as error:
            valid = ", ".join(fact.choices) or fact.kind
            raise TransitionError(f"Not a valid {name}", repr(str(value)[:80]), f"Valid: {valid}.") from error
    return rule


def _check_text(value: str) -> None:
    # PostgreSQL stores no NUL, and no engine stores half of a surrogate pair.
    broken = "\0" in value or any("\ud800" <= character <= "\udfff" for character in value)
    if broken or not value.strip() or len(value) > TEXT_LIMIT:
        raise ValueError(value[:80])


def _check_line(value: str) -> None:
    _check_text(value)
    if len(value) > 300 or not value.isprintable():
        raise ValueError(value[:80])


def _choice(title: str, choices: type[GuidedEnum]) -> Fact:
    return Fact(title, "choice", choices, tuple(choices))


FACTS: Mapping[str, Fact] = {
    "title": Fact("Title", "one line of at most 300 printable characters", _check_line),
    "severity": _choice("Severity", Severity),
    "source": _choice("Opened from", Source),
    "started_at": Fact("Began", "time", datetime.fromisoformat),
    "owner": Fact("Owner", "one line of at most 300 printable characters", _check_line),
    "summary": Fact("What is happening", "text", _check_text),
    "mitigation": Fact("What stopped the harm", "text", _check_text),
    "reason": Fact("Reason", "text", _check_text),
    "resolution": _choice("Resolution", Resolution),
    "dismissal": _choice("Why it is no incident", Dismissal),
    "cause": Fact("Cause", "text", _check_text),
    "text": Fact("Text", "text", _check_text),
    "section": _choice("Section", Section),
    "link": _choice("Kind", LinkKind),
    # Names of rules come from logs and are linked as they are.
    "ref": Fact("Which one", "text", _check_text),
    "duty": _choice("Duty", Duty),
    "person": Fact("Person", "one line of at most 300 printable characters", _check_line),
    "due": Fact("Due", "date", date.fromisoformat),
    "follow_up": Fact("Follow-up", "number", int),
    "kind": Fact("Kind", "one line of at most 300 printable characters", _check_line),
    "aware_at": Fact("Aware since", "time", datetime.fromisoformat),
    "report": Fact("Report", "initial or follow-up", ReportKind),
    "who": Fact("Who was told", "one line of at most 300 printable characters", _check_line),
    "step": Fact("Step", "number", int),
    "before_h": Fact("Hours before", "number", int),
    "due_at": Fact("Due", "time", datetime.fromisoformat),
    "target": Fact("Told by", "one line of at most 300 printable characters", _check_line),
}
