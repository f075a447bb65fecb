"""The life of a case as data: (state, action) -> state, required facts, role; and the fold of its events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from core.errors import TransitionError
from incidents.enums import Action, CaseState
from incidents.people import Role


@dataclass(frozen=True, slots=True)
class Rule:
    """One allowed action.

    Attributes:
        to: State afterwards.
        requires: Facts that the event's payload must hold, not empty.
        role: Least role that may do it.
    """

    to: CaseState
    requires: tuple[str, ...] = ()
    role: Role = Role.REVIEWER


_OPEN, _DECIDED, _ESCALATED, _CLOSED = (
    CaseState.OPEN,
    CaseState.DECIDED,
    CaseState.ESCALATED,
    CaseState.CLOSED,
)

TRANSITIONS: dict[tuple[CaseState | None, Action], Rule] = {
    (None, Action.OPEN): Rule(_OPEN, ("opened_by",), Role.LEAD),
    (_OPEN, Action.LEASE): Rule(_OPEN, ("until",)),
    (_OPEN, Action.RELEASE): Rule(_OPEN),
    (_OPEN, Action.SKIP): Rule(_OPEN),
    (_OPEN, Action.SNOOZE): Rule(_OPEN, ("until",)),
    (_OPEN, Action.HAND_OVER): Rule(_OPEN, ("to", "until")),
    (_OPEN, Action.DRAW): Rule(_OPEN, ("sample_id",), Role.LEAD),
    (_OPEN, Action.VOTE): Rule(_DECIDED, ("vote_id",)),
    # After an appeal or a regression the earlier verdicts stand, and may still be taken back.
    (_OPEN, Action.WITHDRAW): Rule(_OPEN, ("vote_id",)),
    (_OPEN, Action.ESCALATE): Rule(_ESCALATED, ("reason",)),
    (_OPEN, Action.CLOSE): Rule(_CLOSED, ("reason",), Role.LEAD),
    (_DECIDED, Action.LEASE): Rule(_DECIDED, ("until",)),
    (_DECIDED, Action.RELEASE): Rule(_DECIDED),
    (_DECIDED, Action.DRAW): Rule(_DECIDED, ("sample_id",), Role.LEAD),
    (_DECIDED, Action.VOTE): Rule(_DECIDED, ("vote_id",)),
    (_DECIDED, Action.ADJUDICATE): Rule(_DECIDED, ("vote_id",), Role.LEAD),
    (_DECIDED, Action.WITHDRAW): Rule(_DECIDED, ("vote_id",)),
    (_DECIDED, Action.REOPEN): Rule(_OPEN, ("vote_id",)),
    (_DECIDED, Action.RETURN): Rule(_ESCALATED, ("vote_id",)),
    (_DECIDED, Action.REGRESS): Rule(_OPEN, ("candidate",), Role.LEAD),
    (_DECIDED, Action.APPEAL): Rule(_OPEN, ("claims",), Role.LEAD),
    (_DECIDED, Action.ESCALATE): Rule(_ESCALATED, ("reason",)),
    (_ESCALATED, Action.LEASE): Rule(_ESCALATED, ("until",)),
    (_ESCALATED, Action.RELEASE): Rule(_ESCALATED),
    (_ESCALATED, Action.SKIP): Rule(_ESCALATED),
    (_ESCALATED, Action.SNOOZE): Rule(_ESCALATED, ("until",)),
    (_ESCALATED, Action.HAND_OVER): Rule(_ESCALATED, ("to", "until")),
    (_ESCALATED, Action.DRAW): Rule(_ESCALATED, ("sample_id",), Role.LEAD),
    (_ESCALATED, Action.VOTE): Rule(_DECIDED, ("vote_id",)),
    (_ESCALATED, Action.WITHDRAW): Rule(_ESCALATED, ("vote_id",)),
    # A random draw needs a verdict of its own, whatever an import says.
    (_CLOSED, Action.DRAW): Rule(_OPEN, ("sample_id",), Role.LEAD),
    (_CLOSED, Action.REGRESS): Rule(_OPEN, ("candidate",), Role.LEAD),
    (_CLOSED, Action.APPEAL): Rule(_OPEN, ("claims",), Role.LEAD),
}


@dataclass(frozen=True, slots=True)
class Event:
    """One change of a case, as stored in `case_events`."""

    action: Action
    actor: str
    at: datetime
    payload: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a case's events say about it.

    Attributes:
        state: Where it stands.
        version: Number of events.
        leased_by: Who took it last; holds it only until `leased_until`.
        leased_until: End of the lease.
        acked_at: When a person first took it up, since it was opened or last escalated.
        decided_at: First of the verdicts that stand; None while there is none or someone else must look.
        escalated_at: When a person last escalated it.
        snoozed_until: Until when it is served to nobody.
        assigned_to: Colleague whom it was handed to, and who alone is served it until `assigned_until`.
        assigned_until: End of that.
    """

    state: CaseState
    version: int
    leased_by: str | None = None
    leased_until: datetime | None = None
    acked_at: datetime | None = None
    decided_at: datetime | None = None
    escalated_at: datetime | None = None
    snoozed_until: datetime | None = None
    assigned_to: str | None = None
    assigned_until: datetime | None = None


def list_actions(state: CaseState | None) -> list[Action]:
    """The actions that are allowed in a state."""
    return [action for (before, action) in TRANSITIONS if before == state]


def find_rule(state: CaseState | None, action: Action, payload: Mapping[str, object]) -> Rule:
    """The rule for an action.

    Raises:
        TransitionError: The action is not allowed in this state, or a required fact is missing.
    """
    rule = TRANSITIONS.get((state, action))
    if rule is None:
        allowed = ", ".join(list_actions(state)) or "none"
        where = f"{action} while the case is {state or 'not opened'}"
        raise TransitionError("Not allowed", where, f"Allowed: {allowed}.")
    missing = [name for name in rule.requires if payload.get(name) in (None, "")]
    if missing:
        raise TransitionError("Something is missing", f"{action} needs {', '.join(missing)}", "Add it and repeat.")
    return rule


def step(before: Snapshot | None, event: Event) -> Snapshot:
    """The case after one more event.

    Raises:
        TransitionError: As `find_rule`.
    """
    rule = find_rule(before.state if before else None, event.action, event.payload)
    if before is None:
        return Snapshot(rule.to, 1)
    after = replace(before, state=rule.to, version=before.version + 1)
    match event.action:
        case Action.LEASE:
            until = datetime.fromisoformat(str(event.payload["until"]))
            acked_at = before.acked_at or event.at
            return replace(after, leased_by=event.actor, leased_until=until, acked_at=acked_at, snoozed_until=None)
        case Action.VOTE:
            acked_at, decided_at = before.acked_at or event.at, before.decided_at or event.at
            return replace(_put_down(after), acked_at=acked_at, decided_at=decided_at)
        case Action.ESCALATE:
            return replace(_put_down(after), acked_at=None, decided_at=None, escalated_at=event.at)
        case Action.REOPEN | Action.RETURN | Action.REGRESS | Action.APPEAL:
            return replace(after, decided_at=None)
        case Action.SKIP | Action.CLOSE:
            return _put_down(after)
        case Action.SNOOZE:
            return replace(_put_down(after), snoozed_until=datetime.fromisoformat(str(event.payload["until"])))
        case Action.HAND_OVER:
            until = datetime.fromisoformat(str(event.payload["until"]))
            return replace(_put_down(after), assigned_to=str(event.payload["to"]), assigned_until=until)
        case Action.RELEASE:
            return replace(after, leased_by=None, leased_until=None)
        case _:
            return after


def _put_down(case: Snapshot) -> Snapshot:
    """The case held by nobody, kept for nobody, put off to no time."""
    return replace(case, leased_by=None, leased_until=None, snoozed_until=None, assigned_to=None, assigned_until=None)


def fold(events: Iterable[Event]) -> Snapshot:
    """The state that a case's events, in order, lead to. There is at least the opening.

    Raises:
        TransitionError: The events do not form a legal life.
        ValueError: There are none.
    """
    snapshot: Snapshot | None = None
    for event in events:
        snapshot = step(snapshot, event)
    if snapshot is None:
        raise ValueError("a case has at least its opening event")
    return snapshot
