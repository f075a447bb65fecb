"""Votes: corrections, withdrawals, what they add up to, and their copy in the label log."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import polars as pl
import pytest
from case_house import ANA, BEN, LEA, T0, House

from core.errors import NotFoundError, TransitionError, UsageError
from incidents.cases import escalate_case, get_case
from incidents.enums import CaseState, EscalationReason, VerdictReason
from incidents.models import Progress, Vote
from incidents.opening import MIRROR_SOURCE
from incidents.people import Actor, Role
from incidents.reviews import VoteCreate, cast_vote, list_votes, mirror_votes, undo_vote
from metrics.consensus import consensus


def mirror(house: House) -> int:
    return mirror_votes(house.records, house.events, settings=house.settings)


def verdicts(house: House) -> dict[str, bool | None]:
    frame = consensus(house.events.backend()).to_polars().filter(pl.col("filter_name").is_null())
    return dict(frame.select("request_id", "harmful").iter_rows())


def test_a_vote_decides_and_keeps_everything_that_was_said(house: House) -> None:
    case_id = house.add_cases(1)[0]
    vote = VoteCreate(
        case_id,
        harmful=True,
        category="hate",
        severity=3,
        reason=VerdictReason.POLICY_VIOLATION,
        principle_id="H-2",
        revision="a better answer",
        critique="too eager",
        note="for colleagues",
    )
    view = cast_vote(house.records, vote, actor=ANA, at=T0)
    assert (view.state, view.harmful, view.verdict_category) == (CaseState.DECIDED, True, "hate")
    assert view.decided_at == T0
    assert not view.is_held(T0)
    assert mirror(house) == 1
    label = house.events.read("SELECT * FROM labels").to_dicts()[0]
    expected = {
        "ts": T0,
        "request_id": "r0000",
        "conversation_id": "c0000",
        "filter_name": None,
        "reviewer": "ana",
        "harmful": True,
        "category": "hate",
        "severity": 3,
        "reason": "policy_violation",
        "principle_id": "H-2",
        "revision": "a better answer",
        "critique": "too eager",
        "selection": "priority",
        "stratum": None,
        "inclusion_probability": None,
        "source": MIRROR_SOURCE,
    }
    assert {name: label[name] for name in expected} == expected


def test_a_correction_replaces_the_reviewers_earlier_vote_in_both_stores(house: House) -> None:
    case_id = house.add_cases(1)[0]
    cast_vote(house.records, VoteCreate(case_id, harmful=True), actor=ANA, at=T0)
    view = cast_vote(house.records, VoteCreate(case_id, harmful=False), actor=ANA, at=T0)
    assert view.harmful is False
    mirror(house)
    assert house.events.read("SELECT count(*) AS n FROM labels").item() == 2
    assert verdicts(house) == {"r0000": False}


def test_majority_decides_and_a_tie_stays_open_to_doubt(house: House) -> None:
    case_id = house.add_cases(1)[0]
    cast_vote(house.records, VoteCreate(case_id, harmful=True, category="hate"), actor=ANA, at=T0)
    tied = cast_vote(house.records, VoteCreate(case_id, harmful=False), actor=BEN, at=T0)
    assert (tied.state, tied.harmful, tied.verdict_category) == (CaseState.DECIDED, None, None)
    settled = cast_vote(house.records, VoteCreate(case_id, harmful=True), actor=LEA, at=T0)
    assert (settled.harmful, settled.verdict_category) == (True, "hate")
    unsure = cast_vote(house.records, VoteCreate(case_id, harmful=None), actor=BEN, at=T0)
    assert unsure.harmful is True
    mirror(house)
    assert verdicts(house) == {"r0000": True}


def test_a_verdict_about_a_filter_is_kept_apart_from_the_turns(house: House) -> None:
    case_id = house.add_cases(1)[0]
    view = cast_vote(house.records, VoteCreate(case_id, harmful=False, filter_name="guard"), actor=ANA, at=T0)
    assert (view.state, view.harmful) == (CaseState.DECIDED, None)
    view = cast_vote(house.records, VoteCreate(case_id, harmful=True), actor=ANA, at=T0)
    assert view.harmful is True


def test_undo_withdraws_without_deleting_and_opens_the_case_again(house: House) -> None:
    case_id = house.add_cases(1)[0]
    cast_vote(house.records, VoteCreate(case_id, harmful=True, severity=2), actor=ANA, at=T0)
    mirror(house)
    assert verdicts(house) == {"r0000": True}
    view = undo_vote(house.records, case_id, actor=ANA, at=T0)
    assert (view.state, view.harmful, view.decided_at) == (CaseState.OPEN, None, None)
    with pytest.raises(TransitionError, match="ana"):
        undo_vote(house.records, case_id, actor=ANA, at=T0)
    assert mirror(house) == 1
    assert verdicts(house) == {}
    with house.records.session() as session:
        votes = list_votes(session, case_id)
    assert [(vote.kind, vote.harmful, vote.refers_to) for vote in votes] == [
        ("vote", True, None),
        ("withdrawal", None, votes[0].vote_id),
    ]
    cast_vote(house.records, VoteCreate(case_id, harmful=False), actor=ANA, at=T0)
    mirror(house)
    assert verdicts(house) == {"r0000": False}


def test_undo_takes_back_ones_own_vote_only(house: House) -> None:
    case_id = house.add_cases(1)[0]
    cast_vote(house.records, VoteCreate(case_id, harmful=True), actor=ANA, at=T0)
    cast_vote(house.records, VoteCreate(case_id, harmful=False), actor=BEN, at=T0)
    view = undo_vote(house.records, case_id, actor=BEN, at=T0)
    assert (view.state, view.harmful) == (CaseState.DECIDED, True)
    mirror(house)
    assert verdicts(house) == {"r0000": True}


def test_undo_on_an_escalated_case_hands_it_back_to_the_escalation(house: House) -> None:
    case_id = house.add_cases(1)[0]
    escalate_case(house.records, case_id, actor=ANA, reason=EscalationReason.POLICY_UNCLEAR, note="", at=T0)
    cast_vote(house.records, VoteCreate(case_id, harmful=True), actor=LEA, at=T0)
    assert undo_vote(house.records, case_id, actor=LEA, at=T0).state is CaseState.ESCALATED


def test_mirroring_again_adds_nothing_even_after_a_crash_before_its_cursor_moved(house: House) -> None:
    first, second = house.add_cases(2)
    cast_vote(house.records, VoteCreate(first, harmful=True), actor=ANA, at=T0)
    cast_vote(house.records, VoteCreate(second, harmful=None), actor=ANA, at=T0)
    undo_vote(house.records, first, actor=ANA, at=T0)
    assert mirror(house) == 3
    assert mirror(house) == 0
    before = house.events.read("SELECT * FROM labels ORDER BY label_id")
    with house.records.session() as session:
        progress = session.get(Progress, "mirror")
        assert progress is not None
        progress.position = 0
    assert mirror(house) == 3
    assert house.events.read("SELECT * FROM labels ORDER BY label_id").equals(before)


def test_a_clock_that_went_back_does_not_reorder_votes(house: House) -> None:
    case_id = house.add_cases(1)[0]
    cast_vote(house.records, VoteCreate(case_id, harmful=True), actor=ANA, at=T0)
    cast_vote(house.records, VoteCreate(case_id, harmful=False), actor=ANA, at=T0 - timedelta(hours=1))
    mirror(house)
    assert verdicts(house) == {"r0000": False}


def test_hostile_text_is_stored_as_it_is(house: House) -> None:
    hostile = "=cmd|' /C calc'!A0 <script>\x07\u202e \U0001f600 '); DROP TABLE votes; --"
    case_id = house.add_cases(1)[0]
    reviewer = Actor("o'brien; --", Role.REVIEWER)
    cast_vote(house.records, VoteCreate(case_id, harmful=True, revision=hostile, note=hostile), actor=reviewer, at=T0)
    with house.records.session() as session:
        assert list_votes(session, case_id)[0].revision == hostile
    assert mirror(house) == 1
    assert house.events.read("SELECT reviewer FROM labels").item() == reviewer.name


@pytest.mark.parametrize(
    "wrong",
    [
        {"severity": 5},
        {"severity": -1},
        {"category": ""},
        {"category": "a\nb"},
        {"category": "x" * 201},
        {"revision": "x" * 100_001},
        {"critique": "a\0b"},
        {"note": "a\ud800b"},
    ],
)
def test_what_cannot_be_stored_is_refused_with_the_fields_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as failure:
        VoteCreate("id", harmful=True, **wrong)
    assert next(iter(wrong)) in failure.value.sentence()


def test_a_vote_on_nothing_leaves_nothing(house: House) -> None:
    with pytest.raises(NotFoundError):
        cast_vote(house.records, VoteCreate("none", harmful=True), actor=ANA, at=T0)
    with house.records.session() as session:
        assert session.get(Vote, 1) is None
    with pytest.raises(NotFoundError):
        get_case(house.records, "none", actor=ANA)


def test_a_persons_category_is_the_hazard_that_it_names_in_both_stores(house: House) -> None:
    first, second, third = house.add_cases(3)
    for case_id, word in ((first, "Hate"), (second, "suicide self-harm"), (third, "off topic")):
        judged = cast_vote(house.records, VoteCreate(case_id, harmful=True, category=word), actor=ANA, at=T0)
        assert judged.verdict_category in ("hate", "suicide_self_harm", "unmapped:off topic")
    house.add_labels({"request_id": "outside", "category": "Off-Topic"}, {"request_id": "outside", "category": "HATE"})
    mirror_votes(house.records, house.events, settings=house.settings)
    found = house.events.read("SELECT category FROM labels ORDER BY 1")["category"].to_list()
    assert found == ["hate", "hate", "suicide_self_harm", "unmapped:Off-Topic", "unmapped:off topic"]


def test_marks_of_filters_are_votes_of_their_own_and_go_back_with_the_verdict(house: House) -> None:
    case_id = house.add_cases(1)[0]
    marks = (("guard", True), ("words", False))
    cast_vote(house.records, VoteCreate(case_id, harmful=True, category="hate", filters=marks), actor=ANA, at=T0)
    with house.records.session() as session:
        cast = [(vote.filter_name, vote.harmful, vote.category) for vote in list_votes(session, case_id)]
    assert cast == [(None, True, "hate"), ("guard", True, "hate"), ("words", False, None)]
    assert mirror(house) == 3
    found = consensus(house.events.backend()).to_polars().select("filter_name", "harmful").rows()
    assert dict(found) == {None: True, "guard": True, "words": False}
    assert undo_vote(house.records, case_id, actor=ANA, at=T0).state is CaseState.OPEN
    mirror(house)
    assert consensus(house.events.backend()).to_polars().is_empty()


def test_a_later_mark_alone_is_withdrawn_alone(house: House) -> None:
    case_id = house.add_cases(1)[0]
    cast_vote(house.records, VoteCreate(case_id, harmful=True), actor=ANA, at=T0)
    cast_vote(house.records, VoteCreate(case_id, harmful=False, filter_name="guard"), actor=ANA, at=T0)
    assert undo_vote(house.records, case_id, actor=ANA, at=T0).state is CaseState.DECIDED
    mirror(house)
    assert list(verdicts(house).values()) == [True]
