"""Calibration rounds: everybody is served the same cases, blind, and compares afterwards."""

from __future__ import annotations

import math

import pytest
from case_house import ANA, BEN, LEA, T0, House

from core.errors import AccessError, TransitionError, UsageError
from core.settings import ReviewSettings
from incidents.enums import CaseState, VerdictReason
from incidents.judgement.adjudication import adjudicate
from incidents.judgement.calibration import compare_round, end_round, list_rounds, start_round
from incidents.judgement.serving import judge_item, take_next
from incidents.people import Actor, Role
from incidents.reviews import VoteCreate, cast_vote, mirror_votes
from incidents.views import CaseView

EVE, FAY = Actor("eve", Role.REVIEWER), Actor("fay", Role.REVIEWER)
FIRST_ONLY = ReviewSettings(double_share=0.0, audit_share=0.0, golden_share=0.0)


def serve(house: House, actor: Actor) -> CaseView | None:
    settings = house.settings.model_copy(update={"review": FIRST_ONLY})
    return take_next(house.records, actor=actor, settings=settings, at=T0)


def prepare(house: House) -> list[str]:
    """Three decided cases, the first of them disputed and settled as benign."""
    cases = house.add_cases(3)
    for case_id in cases:
        cast_vote(house.records, VoteCreate(case_id, harmful=True), actor=ANA, at=T0)
    cast_vote(house.records, VoteCreate(cases[0], harmful=False), actor=BEN, at=T0)
    settled = VoteCreate(cases[0], harmful=False, reason=VerdictReason.QUOTED, note="a quotation")
    adjudicate(house.records, settled, actor=LEA, at=T0)
    return cases


def judge_all(house: House, actor: Actor, *, harmful: bool) -> int:
    count = 0
    while (case := serve(house, actor)) is not None:
        assert case.state is CaseState.OPEN
        judge_item(house.records, VoteCreate(case.case_id, harmful=harmful), actor=actor, at=T0)
        count += 1
    return count


def test_everybody_judges_the_set_and_compares(house: House) -> None:
    cases = prepare(house)
    round_id = start_round(house.records, title="Quotations", n=2, seed=0, actor=LEA, at=T0)
    assert judge_all(house, EVE, harmful=True) == 2
    assert judge_all(house, FAY, harmful=False) == 2
    with pytest.raises(TransitionError, match="still runs"):
        compare_round(house.records, round_id, actor=EVE, statistics=house.settings.statistics)
    statistics = house.settings.statistics.model_copy(update={"min_sample": 1})
    seen = compare_round(house.records, round_id, actor=LEA, statistics=statistics)
    assert (seen.people, seen.complete, len(seen.items)) == (2, 2, 2)
    assert (seen.all_agree["numerator"], seen.all_agree["denominator"]) == (0, 2)
    assert seen.alpha.estimate < 0
    assert not math.isnan(seen.ac1.estimate)
    assert (seen.accuracy["numerator"], seen.accuracy["denominator"]) == (1, 2)
    end_round(house.records, round_id, actor=LEA, at=T0)
    own = compare_round(house.records, round_id, actor=FAY, statistics=statistics)
    assert own.own_accuracy["estimate"] == 1
    (item,) = [item for item in own.items if item.case_id == cases[0]]
    assert (item.settled, item.harmful, item.benign, item.own) == (False, 1, 1, "benign")
    mirror_votes(house.records, house.events, settings=house.settings)
    assert set(house.events.read("SELECT DISTINCT reviewer FROM labels")["reviewer"]) == {"ana", "ben", "lea"}


def test_who_judged_a_case_before_is_not_asked_again(house: House) -> None:
    prepare(house)
    start_round(house.records, title="All", n=3, seed=0, actor=LEA, at=T0)
    assert judge_all(house, ANA, harmful=True) == 0
    assert judge_all(house, BEN, harmful=True) == 2
    assert judge_all(house, LEA, harmful=True) == 2


def test_settled_disputes_come_first_and_a_round_at_a_time(house: House) -> None:
    cases = prepare(house)
    with pytest.raises(AccessError):
        start_round(house.records, title="x", n=1, seed=0, actor=ANA, at=T0)
    with pytest.raises(UsageError, match="Too few"):
        start_round(house.records, title="x", n=4, seed=0, actor=LEA, at=T0)
    first = start_round(house.records, title="One", n=1, seed=9, actor=LEA, at=T0)
    result = compare_round(house.records, first, actor=LEA, statistics=house.settings.statistics)
    assert [item.case_id for item in result.items] == [cases[0]]
    assert (result.people, result.accuracy["estimate"]) == (0, None)
    with pytest.raises(TransitionError, match="runs already"):
        start_round(house.records, title="Two", n=1, seed=0, actor=LEA, at=T0)
    end_round(house.records, first, actor=LEA, at=T0)
    with pytest.raises(TransitionError, match="ended"):
        end_round(house.records, first, actor=LEA, at=T0)
    assert serve(house, EVE) is None
    assert [item.title for item in list_rounds(house.records, actor=EVE)] == ["One"]
