"""Proposed changes of filters: who asks for which, why, what the labelled turns said, and what became of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any

from sqlmodel import Session, col, select

from core.errors import ConflictError, NotFoundError, TransitionError, UsageError
from core.records import RecordStore
from incidents.audit import Change, change
from incidents.enums import ProposalState
from incidents.models import ProposalEvent, ProposalRow
from incidents.people import Actor, Role
from metrics.report import plain
from metrics.whatif import ChangeCheck, ChangeKind, CheckVerdict, FilterChange, validate_change

TRANSITIONS: Mapping[ProposalState, tuple[ProposalState, ...]] = MappingProxyType(
    {
        ProposalState.PROPOSED: (ProposalState.TRIED, ProposalState.ACCEPTED, ProposalState.REJECTED),
        ProposalState.TRIED: (ProposalState.ACCEPTED, ProposalState.REJECTED),
        ProposalState.ACCEPTED: (),
        ProposalState.REJECTED: (),
    }
)
"""What may follow each state. A change that turns out wrong later is undone by a proposal of its own."""
LONGEST_TEXT = 2000
LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class Decision:
    """One entry of a proposal's history; the first is the proposal itself. `at` is naive UTC."""

    at: datetime
    actor: str
    state: ProposalState
    note: str


@dataclass(frozen=True, slots=True)
class ProposalView:
    """A proposal as it was when read.

    Attributes:
        proposal_id: Number in this home.
        change: What is proposed.
        kind: Exclusion or threshold.
        reason: Why.
        checked: The numbers of `metrics.whatif.ChangeCheck` when it was proposed, as JSON has them; they never change.
        state: Where it stands.
        experiment: Name, in the logs, of the experiment that tries it; None before.
        history: Who did what, oldest first.
        version: Number of decisions; pass it back to refuse acting on an outdated view.
    """

    proposal_id: int
    change: FilterChange
    kind: ChangeKind
    reason: str
    checked: dict[str, Any]
    state: ProposalState
    experiment: str | None
    history: tuple[Decision, ...]
    version: int

    def to_json(self) -> dict[str, Any]:
        """The proposal as plain JSON values."""
        document = plain(asdict(self))
        assert isinstance(document, dict)  # noqa: S101  of a dataclass
        return document


def add_proposal(
    records: RecordStore, proposed: FilterChange, checked: ChangeCheck, *, reason: str, actor: Actor, at: datetime
) -> ProposalView:
    """Records a change that somebody asks for, with the check's numbers as they are now.

    Raises:
        AccessError: The actor is no reviewer.
        UsageError: The change is empty or ambiguous, would change nothing, or the reason is missing.
    """
    actor.require(Role.REVIEWER)
    validate_change(proposed)
    if checked.verdict is CheckVerdict.NO_EFFECT:
        raise UsageError("The change has no effect", "no logged turn would be decided otherwise", "Change its terms.")
    with change(records, actor=actor, at=at) as current:
        row = ProposalRow(
            filter_name=proposed.filter_name,
            filter_version=proposed.filter_version,
            rule_id=proposed.rule_id,
            terms=json.dumps(proposed.terms(), sort_keys=True),
            reason=_need_text(reason, "why the change is needed"),
            checked=json.dumps(plain(asdict(checked)), sort_keys=True),
            state=ProposalState.PROPOSED.value,
            version=0,
        )
        current.session.add(row)
        current.session.flush()
        _move(current, row, ProposalState.PROPOSED, note=row.reason)
        return _view(current.session, row)


def decide_proposal(
    records: RecordStore,
    proposal_id: int,
    *,
    state: ProposalState,
    note: str,
    experiment: str | None = None,
    actor: Actor,
    at: datetime,
    version: int | None = None,
) -> ProposalView:
    """Moves a proposal on.

    Args:
        records: The decision store.
        proposal_id: The proposal.
        state: TRIED, ACCEPTED or REJECTED.
        note: Why.
        experiment: With TRIED, the name under which the model log will carry the experiment.
        actor: Who decides.
        at: Now.
        version: Of the view that the decision rests on.

    Raises:
        AccessError: The actor is no lead.
        NotFoundError: There is no such proposal. ConflictError: It changed meanwhile.
        TransitionError: The state cannot follow its present one.
        UsageError: The note is missing, or the experiment's name is missing or out of place.
    """
    actor.require(Role.LEAD)
    with change(records, actor=actor, at=at) as current:
        row = _get_row(current.session, proposal_id)
        if version is not None and version != row.version:
            raise ConflictError("The proposal changed since you opened it", f"version {row.version}", "Look again.")
        allowed = TRANSITIONS[ProposalState(row.state)]
        if state not in allowed:
            names = ", ".join(item.value for item in allowed) or "nothing: it is settled"
            raise TransitionError("Not possible now", f"proposal {proposal_id} is {row.state}", f"Allowed: {names}.")
        if (state is ProposalState.TRIED) != bool(experiment and experiment.strip()):
            raise UsageError(
                "An experiment belongs to a trial", state.value, "Name it when, and only when, the state is tried."
            )
        if experiment:
            row.experiment = _need_text(experiment, "the experiment's name", longest=LONGEST_NAME)
        _move(current, row, state, note=_need_text(note, "why you decide so"))
        return _view(current.session, row)


def list_proposals(
    records: RecordStore, *, actor: Actor, filter_name: str | None = None, rule_id: str | None = None
) -> list[ProposalView]:
    """Proposals, newest first; of one filter, or of one rule of it, where they are named."""
    actor.require(Role.VIEWER)
    query = select(ProposalRow).order_by(col(ProposalRow.proposal_id).desc())
    if filter_name is not None:
        query = query.where(ProposalRow.filter_name == filter_name)
    if rule_id is not None:
        query = query.where(ProposalRow.rule_id == rule_id)
    with records.session() as session:
        return [_view(session, row) for row in session.exec(query)]


def get_proposal(records: RecordStore, proposal_id: int, *, actor: Actor) -> ProposalView:
    """One proposal.

    Raises:
        NotFoundError: There is none of this number.
    """
    actor.require(Role.VIEWER)
    with records.session() as session:
        return _view(session, _get_row(session, proposal_id))


def read_change(
    filter_name: str, *, rule_id: str | None, filter_version: str | None, terms: Mapping[str, Any]
) -> FilterChange:
    """The change that `FilterChange.terms` describes."""
    return FilterChange(
        filter_name,
        rule_id=rule_id,
        filter_version=filter_version,
        phrases=tuple(terms.get("phrases", ())),
        languages=tuple(terms.get("languages", ())),
        apps=tuple(terms.get("apps", ())),
        threshold=terms.get("threshold"),
    )


def _need_text(text: str, what: str, *, longest: int = LONGEST_TEXT) -> str:
    kept = text.strip()
    if not kept or len(kept) > longest:
        raise UsageError("Something is missing", f"say {what}", f"1 to {longest:,} characters.")
    return kept


def _get_row(session: Session, proposal_id: int) -> ProposalRow:
    row = session.get(ProposalRow, proposal_id)
    if row is None:
        raise NotFoundError("No such proposal", str(proposal_id), "See weir proposals list.")
    return row


def _move(current: Change, row: ProposalRow, state: ProposalState, *, note: str) -> None:
    row.state, row.version = state.value, row.version + 1
    current.session.add(row)
    current.session.add(
        ProposalEvent(
            proposal_id=row.proposal_id or 0,
            seq=row.version,
            at=current.at,
            actor=current.actor.name,
            state=state.value,
            note=note,
        )
    )
    # The check's verdict is kept here too, so that accepting against it stays visible.
    verdict = json.loads(row.checked)["verdict"]
    current.record(f"proposal.{state.value}", str(row.proposal_id), {"check": verdict, "experiment": row.experiment})


def _view(session: Session, row: ProposalRow) -> ProposalView:
    events = session.exec(
        select(ProposalEvent).where(ProposalEvent.proposal_id == row.proposal_id).order_by(col(ProposalEvent.seq))
    )
    proposed = read_change(
        row.filter_name, rule_id=row.rule_id, filter_version=row.filter_version, terms=json.loads(row.terms)
    )
    return ProposalView(
        proposal_id=row.proposal_id or 0,
        change=proposed,
        kind=proposed.kind,
        reason=row.reason,
        checked=json.loads(row.checked),
        state=ProposalState(row.state),
        experiment=row.experiment,
        history=tuple(Decision(event.at, event.actor, ProposalState(event.state), event.note) for event in events),
        version=row.version,
    )
