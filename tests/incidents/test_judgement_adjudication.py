"""Adjudication: who may settle what, that names stay hidden, and that nothing is overwritten."""

from __future__ import annotations

import pytest
from case_house import ANA, BEN, LEA, T0, House
from sqlmodel import col, select

from core.errors import AccessError, TransitionError, UsageError
from incidents.cases import get_case
from incidents.enums import VerdictReason
from incidents.judgement.adjudication import adjudicate, count_disputes, list_disputes, read_anonymous
from incidents.judgement.disputes import find_dispute
from incidents.judgement.enums import Dispute
from incidents.judgement.models import ContestedItem
from incidents.models import Vote
from incidents.people import Actor, Role
from incidents.reviews import VoteCreate, cast_vote, mirror_votes, undo_vote
from metrics.agreement import compute
from metrics.consensus import consensus
from metrics.query import Query

MAX = Actor("max", Role.LEAD)


def disagree(house: House) -> str:
    (case_id,) = house.add_cases(1)
    cast_vote(house.records, VoteCreate(case_id, harmful=True, category="hate"), actor=ANA, at=T0)
    cast_vote(house.records, VoteCreate(case_id, harmful=False, note="a song"), actor=BEN, at=T0)
    return case_id


def settle(case_id: str, *, harmful: bool | None = False, note: str = "Lyrics are quoted: section 3.") -> VoteCreate:
    return VoteCreate(case_id, harmful=harmful, reason=VerdictReason.QUOTED, note=note)


def test_a_settled_case_keeps_every_vote(house: House) -> None:
    case_id = disagree(house)
    assert get_case(house.records, case_id, actor=LEA).harmful is None
    (waiting,) = list_disputes(house.records, actor=LEA)
    assert (waiting.case_id, waiting.dispute, waiting.votes) == (case_id, Dispute.VERDICT, 2)
    with house.records.session() as session:
        before = [vote.model_dump() for vote in session.exec(select(Vote).order_by(col(Vote.vote_id)))]
    assert adjudicate(house.records, settle(case_id), actor=LEA, at=T0).harmful is False
    assert list_disputes(house.records, actor=LEA) == []
    with house.records.session() as session:
        after = [vote.model_dump() for vote in session.exec(select(Vote).order_by(col(Vote.vote_id)))]
        assert session.get_one(ContestedItem, case_id).dispute == "verdict", "it stays a signal"
    assert after[:2] == before
    mirror_votes(house.records, house.events, settings=house.settings)
    (verdict,) = consensus(house.events.backend()).to_polars().to_dicts()
    assert (verdict["harmful"], verdict["is_contested"], verdict["is_adjudicated"]) == (False, True, True)
    (row,) = compute(house.events.backend(), Query(min_sample=1)).to_dicts()
    assert (row["raters"], row["items"]) == (2, 1), "who adjudicates is no rater"


def test_names_are_hidden_from_who_decides(house: House) -> None:
    case_id = disagree(house)
    seen = read_anonymous(house.records, case_id, actor=LEA)
    assert [vote.author for vote in seen] == ["Reviewer A", "Reviewer B"]
    assert {vote.note for vote in seen} == {None, "a song"}
    assert "ana" not in repr(seen)
    assert "ben" not in repr(seen)
    with pytest.raises(AccessError):
        read_anonymous(house.records, case_id, actor=Actor("cleo", Role.REVIEWER))


def test_nobody_settles_their_own_case(house: House) -> None:
    (case_id,) = house.add_cases(1)
    cast_vote(house.records, VoteCreate(case_id, harmful=True), actor=LEA, at=T0)
    cast_vote(house.records, VoteCreate(case_id, harmful=False), actor=ANA, at=T0)
    assert list_disputes(house.records, actor=LEA) == []
    assert count_disputes(house.records, actor=LEA) == (0, 1)
    assert count_disputes(house.records, actor=MAX) == (1, 0)
    for act in (read_anonymous, lambda *_, **who: adjudicate(house.records, settle(case_id), at=T0, **who)):
        with pytest.raises(TransitionError, match="voted"):
            act(house.records, case_id, actor=LEA)
    adjudicate(house.records, settle(case_id), actor=MAX, at=T0)
    with pytest.raises(TransitionError, match="adjudicated"):
        cast_vote(house.records, VoteCreate(case_id, harmful=True), actor=MAX, at=T0)


def test_a_decision_needs_a_verdict_a_reason_and_a_dispute(house: House) -> None:
    case_id = disagree(house)
    for bad in (settle(case_id, harmful=None), settle(case_id, note="  "), VoteCreate(case_id, harmful=True, note="x")):
        with pytest.raises(UsageError):
            adjudicate(house.records, bad, actor=LEA, at=T0)
    with pytest.raises(AccessError):
        adjudicate(house.records, settle(case_id), actor=Actor("cleo", Role.REVIEWER), at=T0)
    adjudicate(house.records, settle(case_id), actor=LEA, at=T0)
    with pytest.raises(TransitionError, match="Nothing to adjudicate"):
        adjudicate(house.records, settle(case_id), actor=MAX, at=T0)


def test_a_withdrawn_decision_and_a_new_vote_bring_the_case_back(house: House) -> None:
    case_id = disagree(house)
    adjudicate(house.records, settle(case_id), actor=LEA, at=T0)
    undo_vote(house.records, case_id, actor=LEA, at=T0)
    assert [item.case_id for item in list_disputes(house.records, actor=LEA)] == [case_id]
    adjudicate(house.records, settle(case_id), actor=LEA, at=T0)
    cast_vote(house.records, VoteCreate(case_id, harmful=True), actor=Actor("cleo", Role.REVIEWER), at=T0)
    assert [item.votes for item in list_disputes(house.records, actor=LEA)] == [3]
    assert get_case(house.records, case_id, actor=LEA).harmful is False, "until somebody decides anew"


def test_agreement_in_the_end_leaves_the_list(house: House) -> None:
    case_id = disagree(house)
    cast_vote(house.records, VoteCreate(case_id, harmful=True, category="hate"), actor=BEN, at=T0)
    assert list_disputes(house.records, actor=LEA) == []


@pytest.mark.parametrize(
    ("votes", "expected"),
    [
        ([(True, "hate", 3), (True, "hate", 2)], None),
        ([(True, "hate", 3), (True, None, None)], None),
        ([(True, "hate", 3), (None, None, None)], Dispute.VERDICT),
        ([(True, "hate", 3), (True, "privacy", 0)], Dispute.CATEGORY),
        ([(True, "hate", 4), (True, "hate", 2)], Dispute.SEVERITY),
        ([(False, None, 0), (False, "hate", 4)], None),
    ],
)
def test_what_counts_as_a_dispute(votes: list[tuple[bool | None, str | None, int | None]], expected: object) -> None:
    rows = [
        Vote(harmful=harmful, category=category, severity=severity, selection="priority")
        for harmful, category, severity in votes
    ]
    assert find_dispute(rows) is expected
