"""Second looks: who gets which case again, that nobody can tell, and that shares come out as set."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest
from case_house import ANA, BEN, LEA, T0, House
from hypothesis import given
from hypothesis import strategies as st
from sqlmodel import col, select

from core.errors import ConflictError
from core.settings import ReviewSettings
from incidents.audit import find_tampering
from incidents.cases import escalate_case, get_case
from incidents.enums import CaseState, EscalationReason
from incidents.judgement.enums import Purpose
from incidents.judgement.looks import choose_purpose
from incidents.judgement.models import Assignment, SecondLook
from incidents.judgement.offers import count_offered, list_offered, plan_waiting
from incidents.judgement.serving import (
    escalate_item,
    get_item,
    judge_item,
    lease_item,
    release_item,
    skip_item,
    take_next,
    undo_item,
)
from incidents.models import Vote
from incidents.people import Actor, Role
from incidents.reviews import VoteCreate, cast_vote, find_standing, undo_vote
from incidents.views import CaseView

EVERY = ReviewSettings(double_share=1.0, audit_share=0.0, golden_share=0.0)


def serve(house: House, actor: Actor, *, minutes: float = 0, review: ReviewSettings = EVERY) -> CaseView | None:
    at = T0 + timedelta(minutes=minutes)
    settings = house.settings.model_copy(update={"review": review})
    return take_next(
        house.records,
        actor=actor,
        settings=settings,
        at=at,
        random=Random(int(minutes * 60)),
    )


def decide(house: House, actor: Actor = ANA, *, harmful: bool = True) -> CaseView:
    case = serve(house, actor)
    assert case is not None
    return judge_item(house.records, VoteCreate(case.case_id, harmful=harmful), actor=actor, at=T0)


def standing(house: House, case_id: str) -> list[Vote]:
    with house.records.session() as session:
        return find_standing(session.exec(select(Vote).where(Vote.case_id == case_id).order_by(col(Vote.vote_id))))


def test_a_second_look_is_served_as_a_first_review(house: House) -> None:
    (case_id,) = house.add_cases(1)
    first = serve(house, ANA)
    judge_item(house.records, VoteCreate(case_id, harmful=True, category="hate"), actor=ANA, at=T0)
    second = serve(house, BEN)
    assert first is not None
    assert second is not None
    hidden = ("leased_by", "version", "evidence")
    seen = {name: getattr(second, name) for name in CaseView.__slots__ if name not in hidden}
    assert seen == {name: getattr(first, name) for name in CaseView.__slots__ if name not in hidden}
    opened = get_item(house.records, case_id, actor=BEN, at=T0)
    assert replace(opened, evidence={}) == second
    assert opened.evidence == get_case(house.records, case_id, actor=ANA).evidence
    assert second.is_held(T0, by="ben")


def test_both_votes_count_and_nobody_is_asked_twice(house: House) -> None:
    house.add_cases(1)
    case_id = decide(house).case_id
    assert serve(house, ANA) is None
    assert serve(house, BEN) is not None
    judge_item(house.records, VoteCreate(case_id, harmful=True), actor=BEN, at=T0)
    assert {vote.reviewer for vote in standing(house, case_id)} == {"ana", "ben"}
    assert [serve(house, actor) for actor in (ANA, BEN, LEA)] == [None, None, None]
    assert find_tampering(house.records) is None


def test_only_one_person_holds_a_second_look_until_the_lease_ends(house: House) -> None:
    house.add_cases(1)
    case_id = decide(house).case_id
    assert serve(house, BEN) is not None
    cleo = Actor("cleo", Role.REVIEWER)
    assert serve(house, cleo, minutes=1) is None
    assert serve(house, BEN, minutes=5) is not None, "a closed browser gets its case back"
    lapsed = serve(house, cleo, minutes=60)
    assert lapsed is not None
    late = T0 + timedelta(minutes=61)
    with pytest.raises(ConflictError, match="ran out"):
        judge_item(house.records, VoteCreate(case_id, harmful=True), actor=BEN, at=late)
    judge_item(house.records, VoteCreate(case_id, harmful=True), actor=cleo, at=late)
    assert serve(house, BEN, minutes=62) is None


def test_what_a_second_look_can_do(house: House) -> None:
    house.add_cases(1)
    case_id = decide(house).case_id
    assert serve(house, BEN) is not None
    release_item(house.records, case_id, actor=BEN, at=T0)
    assert lease_item(house.records, case_id, actor=BEN, lease_s=60, at=T0).leased_until == T0 + timedelta(seconds=60)
    judge_item(house.records, VoteCreate(case_id, harmful=False), actor=BEN, at=T0)
    again = undo_item(house.records, case_id, actor=BEN, lease_s=60, at=T0)
    assert (again.state, again.leased_by) == (CaseState.OPEN, "ben")
    assert [vote.reviewer for vote in standing(house, case_id)] == ["ana"]
    skip_item(house.records, case_id, actor=BEN, at=T0)
    assert serve(house, BEN) is None
    assert serve(house, LEA) is not None
    escalate_item(house.records, case_id, actor=LEA, reason=EscalationReason.LEGAL, note="", at=T0)
    assert get_case(house.records, case_id, actor=LEA).state is CaseState.ESCALATED


def test_a_withdrawn_first_verdict_takes_the_second_look_back(house: House) -> None:
    house.add_cases(1)
    case_id = decide(house).case_id
    undo_vote(house.records, case_id, actor=ANA, at=T0)
    taken = serve(house, BEN)
    assert taken is not None
    assert get_case(house.records, case_id, actor=BEN).leased_by == "ben", "it is a first review again"


def test_a_case_that_two_have_judged_by_themselves_is_not_judged_again(house: House) -> None:
    house.add_cases(1)
    case_id = decide(house).case_id
    cast_vote(house.records, VoteCreate(case_id, harmful=True), actor=BEN, at=T0)
    assert serve(house, LEA) is None
    undo_vote(house.records, case_id, actor=BEN, at=T0)
    assert serve(house, LEA) is not None


def test_an_escalated_case_waits_for_authority_first(house: House) -> None:
    house.add_cases(1)
    case_id = decide(house).case_id
    escalate_case(house.records, case_id, actor=ANA, reason=EscalationReason.LEGAL, note="", at=T0)
    assert serve(house, BEN) is None


def test_senior_audits_go_to_leads_only(house: House) -> None:
    review = ReviewSettings(double_share=0.0, audit_share=1.0, golden_share=0.0)
    house.add_cases(1)
    case = serve(house, ANA, review=review)
    assert case is not None
    judge_item(house.records, VoteCreate(case.case_id, harmful=True), actor=ANA, at=T0)
    assert serve(house, BEN, review=review) is None
    assert serve(house, LEA, review=review) is not None


@given(st.floats(0, 0.5), st.floats(0, 0.5), st.text(min_size=1), st.integers(0, 10**9))
def test_a_larger_share_keeps_what_a_smaller_one_chose(smaller: float, larger: float, salt: str, turn: int) -> None:
    low, high = sorted((smaller, larger))
    chosen = [
        choose_purpose(f"r{turn}", salt=salt[:16], settings=ReviewSettings(double_share=share, audit_share=0.2))
        for share in (low, high)
    ]
    if chosen[0] is not None:
        assert chosen[1] is chosen[0]


def test_shares_converge_and_depend_on_the_secret() -> None:
    review = ReviewSettings(double_share=0.1, audit_share=0.02)
    by_salt = [
        {turn: choose_purpose(f"r{turn}", salt=salt, settings=review) for turn in range(20_000)} for salt in ("a", "b")
    ]
    for chosen in by_salt:
        counts = Counter(chosen.values())
        assert counts[Purpose.SECOND] / 20_000 == pytest.approx(0.1, abs=0.01)
        assert counts[Purpose.AUDIT] / 20_000 == pytest.approx(0.02, abs=0.005)
    both = sum(by_salt[0][turn] is by_salt[1][turn] is Purpose.SECOND for turn in range(20_000))
    assert both / 20_000 == pytest.approx(0.01, abs=0.004), "another secret chooses independently"


@pytest.mark.parametrize("seed", range(4))
def test_nobody_judges_one_case_twice_and_none_is_lost(house: House, seed: int) -> None:
    """Random shifts of four people who judge, pass on, leave and undo; afterwards everybody works off what is left."""
    people = [ANA, BEN, LEA, Actor("cleo", Role.REVIEWER)]
    dice = Random(seed)
    cases = house.add_cases(4)
    last: dict[str, str] = {}
    minute = 0.0
    for _ in range(30):
        actor, what = dice.choice(people), dice.choice(["judge", "judge", "judge", "skip", "leave", "undo"])
        minute += 11 if what == "leave" else 0.1
        at = T0 + timedelta(minutes=minute)
        if what == "undo":
            if actor.name in last:
                undo_item(house.records, last.pop(actor.name), actor=actor, lease_s=600, at=at)
        elif (case := serve(house, actor, minutes=minute)) is not None and what == "skip":
            skip_item(house.records, case.case_id, actor=actor, at=at)
        elif case is not None and what == "judge":
            judge_item(house.records, VoteCreate(case.case_id, harmful=True), actor=actor, at=at)
            last[actor.name] = case.case_id
    idle = 0
    while idle < len(people):
        for actor in people:
            minute += 11
            case = serve(house, actor, minutes=minute)
            idle = idle + 1 if case is None else 0
            if case is not None:
                at = T0 + timedelta(minutes=minute)
                judge_item(house.records, VoteCreate(case.case_id, harmful=True), actor=actor, at=at)
    with house.records.session() as session:
        for case_id in cases:
            votes = session.exec(select(Vote).where(Vote.case_id == case_id).order_by(col(Vote.vote_id))).all()
            asked = session.exec(select(Assignment.reviewer).where(Assignment.case_id == case_id)).all()
            assert 1 <= len(find_standing(votes)) <= 2
            assert len(set(asked)) == len(asked)
            # Without a second verdict only where everybody else had passed it on, or had judged it before.
            seen = {vote.reviewer for vote in votes} | set(asked)
            assert session.get_one(SecondLook, case_id).is_done or seen == {person.name for person in people}
    assert find_tampering(house.records) is None


def test_what_waits_for_a_second_look_stands_among_the_open_cases(house: House) -> None:
    house.add_cases(3)
    case_id = decide(house).case_id
    settings = house.settings.model_copy(update={"review": EVERY})
    plan_waiting(house.records, settings=settings, at=T0)
    seen = {actor.name: count_offered(house.records, actor=actor, at=T0) for actor in (ANA, BEN)}
    assert (seen["ana"]["open"], seen["ana"]["decided"]) == (2, 1), "who judged it sees it decided"
    assert (seen["ben"]["open"], seen["ben"]["decided"]) == (3, 0)
    waiting = list_offered(house.records, actor=BEN, state=CaseState.OPEN, at=T0)
    assert list_offered(house.records, actor=BEN, state=CaseState.DECIDED, at=T0) == []
    hidden = {"case_id", "request_id", "conversation_id", "version"}
    rows = [{name: getattr(case, name) for name in CaseView.__slots__ if name not in hidden} for case in waiting]
    assert rows[0] == rows[1] == rows[2], "its row tells nothing"
    opened = get_item(house.records, case_id, actor=BEN, at=T0)
    assert (opened.state, opened.harmful, opened.decided_at) == (CaseState.OPEN, None, None)
    held = lease_item(house.records, case_id, actor=BEN, lease_s=60, at=T0)
    assert held.is_held(T0, by="ben")
    judge_item(house.records, VoteCreate(case_id, harmful=True), actor=BEN, at=T0)
    assert {vote.reviewer for vote in standing(house, case_id)} == {"ana", "ben"}
    plan_waiting(house.records, settings=settings, at=T0)
    assert count_offered(house.records, actor=LEA, at=T0)["decided"] == 1
