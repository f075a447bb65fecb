"""Wellness: what budgets, opt-outs and long shifts change in what is offered, and that nothing tells about one person."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import pytest
from case_house import ANA, BEN, LEA, T0, House
from hypothesis import given
from hypothesis import strategies as st
from sqlmodel import select

from core.errors import AccessError, UsageError
from core.settings import ReviewSettings, WellnessSettings
from incidents.audit import find_tampering
from incidents.cases import reveal_turn
from incidents.judgement.profiles import Declaration, declare, group_reviewers, read_own, summarise_pool
from incidents.judgement.serving import judge_item, skip_item, take_next
from incidents.judgement.wellness import (
    Masking,
    Wishes,
    compute_rest,
    find_rest,
    measure_exposure,
    measure_team,
    read_wishes,
    save_wishes,
)
from incidents.models import AuditEntry
from incidents.people import Actor, Role
from incidents.reviews import VoteCreate
from metrics.estimate import MIN_CELL

FIRST_ONLY = ReviewSettings(double_share=0.0, audit_share=0.0, golden_share=0.0)
PEOPLE = [Actor(f"p{number}", Role.REVIEWER) for number in range(MIN_CELL)]


def fill(house: House, *categories: str) -> None:
    house.add_turns(*({"request_id": f"r{number}"} for number in range(len(categories))))
    house.add_checks(*({"request_id": f"r{number}", "category": name} for number, name in enumerate(categories)))
    house.open_cases()


def serve(house: House, actor: Actor, *, wellness: WellnessSettings | None = None, at: datetime = T0) -> str | None:
    """Category behind the case that is served, after judging it; None when nothing is."""
    update = {"review": FIRST_ONLY, "wellness": wellness or WellnessSettings()}
    case = take_next(house.records, actor=actor, settings=house.settings.model_copy(update=update), at=at)
    if case is None:
        return None
    judge_item(house.records, VoteCreate(case.case_id, harmful=True), actor=actor, at=at)
    return case.category


def test_the_budget_of_a_category_caps_what_is_offered(house: House) -> None:
    fill(house, "violent_crimes", "violent_crimes", "violent_crimes", "spam")
    wellness = WellnessSettings(category_budget=8)
    assert [serve(house, ANA, wellness=wellness) for _ in range(4)] == [
        "violent_crimes",
        "violent_crimes",
        "spam",
        None,
    ]
    with house.records.session() as session:
        met = measure_exposure(session, "ana", settings=wellness, at=T0)
    assert met.by_category == {"violent_crimes": 8, "spam": 1}
    assert met.list_full() == {"violent_crimes"}
    assert serve(house, BEN, wellness=wellness) == "violent_crimes", "others have budgets of their own"


def test_the_next_shift_starts_at_nothing(house: House) -> None:
    fill(house, "violent_crimes", "violent_crimes")
    wellness = WellnessSettings(category_budget=4)
    assert [serve(house, ANA, wellness=wellness) for _ in range(2)] == ["violent_crimes", None]
    assert serve(house, ANA, wellness=wellness, at=T0 + timedelta(hours=13)) == "violent_crimes"


def test_the_total_budget_leaves_mild_cases_only(house: House) -> None:
    fill(house, "hate", "violent_crimes", "privacy", "spam")
    wellness = WellnessSettings(category_budget=100, total_budget=7)
    assert [serve(house, ANA, wellness=wellness) for _ in range(4)] == ["violent_crimes", "hate", "spam", None]


def test_every_revealed_turn_weighs_and_a_judged_case_once(house: House) -> None:
    fill(house, "hate")
    case = take_next(house.records, actor=ANA, settings=house.settings, at=T0)
    assert case is not None
    for _ in range(2):
        reveal_turn(house.records, case.case_id, actor=ANA, request_id=case.request_id, at=T0)
    judge_item(house.records, VoteCreate(case.case_id, harmful=True), actor=ANA, at=T0)
    with house.records.session() as session:
        met = measure_exposure(session, "ana", settings=WellnessSettings(), at=T0)
    assert met.by_category == {"hate": 3}


def test_after_grave_cases_comes_a_mild_one(house: House) -> None:
    fill(house, *["violent_crimes"] * 5, "spam", "spam")
    wellness = WellnessSettings(interleave_after=2)
    order = [serve(house, ANA, wellness=wellness) for _ in range(7)]
    grave, mild = "violent_crimes", "spam"
    assert order == [grave, grave, mild, grave, grave, mild, grave]


def test_nothing_starves_where_all_is_grave(house: House) -> None:
    fill(house, *["violent_crimes"] * 4)
    assert [serve(house, ANA, wellness=WellnessSettings(interleave_after=1)) for _ in range(4)] == [
        "violent_crimes"
    ] * 4


def test_an_opt_out_spares_the_person_and_tells_nobody(house: House) -> None:
    fill(house, "hate", "spam")
    save_wishes(house.records, Wishes(Masking.CONVERSATION, frozenset({"hate"})), actor=ANA, at=T0)
    assert [serve(house, ANA) for _ in range(2)] == ["spam", None]
    assert serve(house, BEN) == "hate"
    with house.records.session() as session:
        assert read_wishes(session, "ana") == Wishes(Masking.CONVERSATION, frozenset({"hate"}))
        assert read_wishes(session, "ben") == Wishes()
        entries = session.exec(select(AuditEntry).where(AuditEntry.subject == "comfort")).all()
        assert [json.loads(entry.detail) for entry in entries] == [{}]
    assert measure_team(house.records, settings=WellnessSettings(), actor=LEA, at=T0).opt_outs == ()
    with pytest.raises(AccessError):
        measure_team(house.records, settings=WellnessSettings(), actor=BEN, at=T0)
    with pytest.raises(UsageError):
        save_wishes(house.records, Wishes(opt_outs=frozenset({"nonsense"})), actor=ANA, at=T0)
    assert find_tampering(house.records) is None


def test_a_category_behind_a_random_sample_is_spared_too(house: House) -> None:
    fill(house, "hate")
    save_wishes(house.records, Wishes(opt_outs=frozenset({"hate"})), actor=ANA, at=T0)
    with house.records.session() as session:
        from incidents.models import Case

        case = session.exec(select(Case)).one()
        case.category, case.opened_by = None, "sample"
        session.add(case)
    assert serve(house, ANA) is None


@pytest.mark.parametrize("people", [MIN_CELL - 1, MIN_CELL])
def test_figures_about_the_team_need_enough_people(house: House, people: int) -> None:
    fill(house, *["hate"] * people)
    for actor in PEOPLE[:people]:
        assert serve(house, actor) == "hate"
        save_wishes(house.records, Wishes(opt_outs=frozenset({"privacy"})), actor=actor, at=T0)
    load = measure_team(house.records, settings=WellnessSettings(), actor=LEA, at=T0)
    if people < MIN_CELL:
        assert (load.people, load.judged, load.median_points, load.opt_outs) == (None, None, None, ())
    else:
        assert (load.people, load.judged, load.median_judged, load.median_points) == (people, people, 1, 3)
        assert load.opt_outs == (("privacy", people),)


@given(st.lists(st.integers(0, 240), min_size=1, max_size=40))
def test_rest_counts_from_the_last_long_pause(minutes: list[int]) -> None:
    wellness = WellnessSettings(rest_after_min=50, rest_min=10)
    ago = sorted(minutes)
    found = compute_rest([T0 - timedelta(minutes=value) for value in ago], settings=wellness, at=T0)
    worked, place = 0, 0
    while place < len(ago) and ago[place] - worked < 10:
        worked, place = ago[place], place + 1
    assert found == 50 - worked


def test_a_pause_starts_the_clock_anew(house: House) -> None:
    fill(house, *["spam"] * 4)
    wellness = WellnessSettings(rest_after_min=30, rest_min=10)

    def rest(minute: int) -> int:
        return find_rest(house.records, actor=ANA, settings=wellness, at=T0 + timedelta(minutes=minute))

    assert rest(0) == 30
    for minute in (0, 9, 18):
        case = take_next(house.records, actor=ANA, settings=house.settings, at=T0 + timedelta(minutes=minute))
        assert case is not None
        skip_item(house.records, case.case_id, actor=ANA, at=T0 + timedelta(minutes=minute))
    assert rest(18) == 12
    assert rest(28) == 30


def test_the_pool_is_told_in_aggregate_only(house: House) -> None:
    for number, actor in enumerate(PEOPLE):
        languages = ("en", "CY" if number else "gd")
        declare(house.records, Declaration(languages=languages, expertise=("medicine",)), actor=actor, at=T0)
    assert read_own(house.records, actor=PEOPLE[1]) == Declaration(languages=("cy", "en"), expertise=("medicine",))
    assert read_own(house.records, actor=ANA) == Declaration()
    shares = [(share.attribute, share.value, share.people) for share in summarise_pool(house.records, actor=LEA)]
    assert shares == [("expertise", "medicine", 5), ("languages", "en", 5)], "four who know Welsh are too few to tell"
    assert [value for value, _ in group_reviewers(house.records, "languages")] == ["en"]
    with pytest.raises(UsageError):
        declare(house.records, Declaration(regions=("x" * 41,)), actor=ANA, at=T0)
