"""Proposals: recorded with the numbers of their check, decided once, audited, and never rewritten."""

from __future__ import annotations

from typing import Any

import pytest
from case_house import ANA, BEN, LEA, T0, House
from sqlmodel import select

from core.errors import AccessError, AppError, ConflictError, NotFoundError, TransitionError, UsageError
from incidents.audit import find_tampering
from incidents.enums import ProposalState
from incidents.models import AuditEntry
from incidents.people import Actor, Role
from incidents.proposals import TRANSITIONS, ProposalView, add_proposal, decide_proposal, get_proposal, list_proposals
from metrics.whatif import CheckVerdict, FilterChange, check_change

CHANGE = FilterChange("guard", "r1", phrases=("photo",), languages=("en",))


def propose(
    house: House, change: FilterChange = CHANGE, *, actor: Actor = ANA, reason: str = "refuses"
) -> ProposalView:
    house.add_turns({"request_id": "a", "prompt": "a photo", "language": "en"})
    house.add_checks({"request_id": "a", "rule_id": "r1"})
    house.add_labels({"request_id": "a", "harmful": False})
    checked = check_change(house.events, change)
    return add_proposal(house.records, change, checked, reason=reason, actor=actor, at=T0)


def decide(house: House, state: ProposalState, **changes: Any) -> ProposalView:
    arguments: dict[str, Any] = {"state": state, "note": "because", "actor": LEA, "at": T0, **changes}
    return decide_proposal(house.records, 1, **arguments)


def audited(house: House) -> list[str]:
    with house.records.session() as session:
        return [entry.action for entry in session.exec(select(AuditEntry).order_by(AuditEntry.seq))]


def test_a_proposal_keeps_its_check_as_it_was(house: House) -> None:
    view = propose(house)
    assert (view.state, view.change, view.version) == (ProposalState.PROPOSED, CHANGE, 1)
    assert (view.checked["verdict"], view.checked["wrong_blocks_removed"]) == (CheckVerdict.TOO_FEW_LABELS, 1)
    house.add_labels(
        {"request_id": "a", "harmful": True, "reviewer": "second"}, {"request_id": "a", "reviewer": "third"}
    )
    assert check_change(house.events, CHANGE).verdict is CheckVerdict.LOSES_TRUE_POSITIVES
    assert get_proposal(house.records, 1, actor=BEN) == view


def test_the_way_from_proposal_to_decision_is_audited(house: House) -> None:
    propose(house)
    tried = decide(house, ProposalState.TRIED, experiment=" exp-1 ")
    assert tried.experiment == "exp-1"
    accepted = decide(house, ProposalState.ACCEPTED, version=tried.version)
    assert [(item.actor, item.state.value) for item in accepted.history] == [
        ("ana", "proposed"),
        ("lea", "tried"),
        ("lea", "accepted"),
    ]
    assert audited(house) == ["proposal.proposed", "proposal.tried", "proposal.accepted"]
    assert find_tampering(house.records) is None
    assert list_proposals(house.records, actor=BEN, filter_name="guard", rule_id="r1") == [accepted]
    assert list_proposals(house.records, actor=BEN, filter_name="guard", rule_id="r2") == []


@pytest.mark.parametrize("first", [ProposalState.ACCEPTED, ProposalState.REJECTED])
def test_a_settled_proposal_stays_settled(house: House, first: ProposalState) -> None:
    propose(house)
    decide(house, first)
    for state in ProposalState:
        with pytest.raises(TransitionError):
            decide(house, state, experiment="x" if state is ProposalState.TRIED else None)
    assert TRANSITIONS.keys() == set(ProposalState)


BAD: list[tuple[dict[str, Any], type[AppError]]] = [
    ({"actor": ANA}, AccessError),
    ({"note": "  "}, UsageError),
    ({"note": "n" * 2001}, UsageError),
    ({"experiment": "x"}, UsageError),
    ({"state": ProposalState.TRIED}, UsageError),
    ({"state": ProposalState.PROPOSED}, TransitionError),
    ({"version": 7}, ConflictError),
]


def test_a_bad_decision_changes_nothing(house: House) -> None:
    before = propose(house)
    for changes, error in BAD:
        with pytest.raises(error):
            decide(house, **{"state": ProposalState.ACCEPTED, **changes})
        assert get_proposal(house.records, 1, actor=BEN) == before
    assert audited(house) == ["proposal.proposed"]


def test_a_bad_proposal_is_refused(house: House) -> None:
    with pytest.raises(AccessError):
        propose(house, actor=Actor("vic", Role.VIEWER))
    with pytest.raises(UsageError, match="missing"):
        propose(house, reason=" ")
    with pytest.raises(UsageError, match="no effect"):
        propose(house, FilterChange("guard", "r1", phrases=("nowhere",)))
    assert list_proposals(house.records, actor=BEN) == []
    with pytest.raises(NotFoundError):
        get_proposal(house.records, 1, actor=BEN)
