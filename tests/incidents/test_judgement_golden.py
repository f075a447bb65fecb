"""Golden items: served like any other at a known rate, answers that never become labels, accuracy."""

from __future__ import annotations

from datetime import timedelta
from random import Random

import pytest
from case_house import ANA, BEN, LEA, T0, House
from sqlmodel import select

from core.errors import AccessError, NotFoundError, TransitionError
from core.settings import ReviewSettings, WellnessSettings
from incidents.cases import count_by_state, get_case, lease_next, list_cases
from incidents.enums import CaseState, OpenedBy, VerdictReason
from incidents.judgement.adjudication import adjudicate
from incidents.judgement.enums import Purpose
from incidents.judgement.golden import (
    GoldenImport,
    list_items,
    measure_accuracy,
    pin_case,
    pin_imported,
    retire_item,
)
from incidents.judgement.history import list_own
from incidents.judgement.models import Answer, Assignment
from incidents.judgement.serving import get_item, judge_item, skip_item, take_next, undo_item
from incidents.models import Vote
from incidents.people import Actor, Role
from incidents.priority import DRAWN_PRIORITY
from incidents.reviews import VoteCreate, cast_vote, mirror_votes
from incidents.sampling import draw_sample
from incidents.views import CaseView
from metrics.consensus import consensus
from metrics.query import Query

ALWAYS = ReviewSettings(double_share=0.0, audit_share=0.0, golden_share=0.5)


class Certain(Random):
    """Chance that always falls on the golden item."""

    def random(self) -> float:
        return 0.0


# Nobody's budget ends a test of shares.
TIRELESS = WellnessSettings(category_budget=10_000, total_budget=10_000)


def serve(
    house: House, actor: Actor, *, dice: Random | None = None, review: ReviewSettings = ALWAYS
) -> CaseView | None:
    settings = house.settings.model_copy(update={"review": review, "wellness": TIRELESS})
    return take_next(
        house.records,
        actor=actor,
        settings=settings,
        at=T0,
        random=dice or Certain(),
    )


def add_golden(house: House, count: int, *, harmful: bool = True) -> GoldenImport:
    names = [f"g{number}" for number in range(count)]
    house.add_turns(*({"request_id": name, "conversation_id": f"c-{name}"} for name in names))
    house.add_checks(*({"request_id": name} for name in names))
    house.add_labels(
        *(
            {"request_id": name, "reviewer": "panel", "selection": "golden", "harmful": harmful, "category": "hate"}
            for name in names
        )
    )
    return pin_imported(house.records, house.events, settings=house.settings, actor=LEA, at=T0)


def answer(house: House, actor: Actor, *, harmful: bool | None) -> str:
    case = serve(house, actor)
    assert case is not None
    judge_item(house.records, VoteCreate(case.case_id, harmful=harmful), actor=actor, at=T0)
    return case.case_id


def test_imported_items_wait_for_nobody_and_are_pinned_once(house: House) -> None:
    assert add_golden(house, 3) == GoldenImport(pinned=3, known=0, unlogged=0, waiting=0)
    assert house.open_cases() == 0
    assert count_by_state(house.records, actor=LEA)["open"] == 0
    assert add_golden(house, 3) == GoldenImport(pinned=0, known=3, unlogged=0, waiting=0)
    house.add_labels({"request_id": "nowhere", "reviewer": "panel", "selection": "golden"})
    again = pin_imported(house.records, house.events, settings=house.settings, actor=LEA, at=T0)
    assert again == GoldenImport(pinned=0, known=3, unlogged=1, waiting=0)
    assert serve(house, ANA) is None, "without a queue a golden item would give itself away"


def test_a_turn_that_people_are_to_judge_is_left_to_them(house: House) -> None:
    house.add_turns({"request_id": "g0"})
    house.add_checks({"request_id": "g0"})
    house.open_cases()
    assert add_golden(house, 1) == GoldenImport(pinned=0, known=0, unlogged=0, waiting=1)


def test_an_item_looks_like_what_it_displaces(house: House) -> None:
    add_golden(house, 1)
    house.add_cases(1)
    golden = serve(house, ANA)
    assert golden is not None
    opened = get_item(house.records, golden.case_id, actor=ANA, at=T0)
    plain = lease_next(house.records, actor=BEN, lease_s=600, at=T0)
    assert plain is not None
    assert opened.request_id == "g0"
    assert (opened.state, opened.opened_by) == (CaseState.OPEN, OpenedBy.ENFORCED_TRIGGER)
    assert opened.opened_at == plain.opened_at
    assert opened.due_at is not None
    assert (opened.harmful, opened.verdict_category, opened.decided_at) == (None, None, None)


def test_an_answer_changes_no_label(house: House) -> None:
    add_golden(house, 1)
    house.add_cases(1)
    case_id = answer(house, ANA, harmful=False)
    mirror_votes(house.records, house.events, settings=house.settings)
    (verdict,) = consensus(house.events.backend()).to_polars().filter(request_id="g0").to_dicts()
    assert (verdict["harmful"], verdict["votes"], verdict["is_adjudicated"]) == (True, 1, True)
    assert get_case(house.records, case_id, actor=LEA).state is CaseState.CLOSED
    with house.records.session() as session:
        assert not session.exec(select(Vote)).all()


def test_undo_and_skip_do_what_they_do_elsewhere(house: House) -> None:
    add_golden(house, 1)
    house.add_cases(1)
    case_id = answer(house, ANA, harmful=False)
    again = undo_item(house.records, case_id, actor=ANA, lease_s=60, at=T0)
    assert (again.state, again.leased_by) == (CaseState.OPEN, "ana")
    assert measure_accuracy(house.records, actor=ANA, statistics=house.settings.statistics).people == 0
    judge_item(house.records, VoteCreate(case_id, harmful=True), actor=ANA, at=T0)
    with house.records.session() as session:
        assert [row.kind for row in session.exec(select(Answer))] == ["answer", "withdrawal", "answer"]
    skipped = serve(house, BEN)
    assert skipped is not None
    assert skipped.case_id == case_id
    skip_item(house.records, case_id, actor=BEN, at=T0)
    other = serve(house, BEN)
    assert other is not None
    assert other.case_id != case_id


def test_accuracy_is_aggregate_and_one_s_own(house: House) -> None:
    add_golden(house, 6)
    house.add_cases(1)
    for _ in range(6):
        answer(house, ANA, harmful=True)
    for verdict in (True, True, False, None, False, False):
        answer(house, BEN, harmful=verdict)
    by_ana = measure_accuracy(house.records, actor=ANA, statistics=house.settings.statistics)
    by_ben = measure_accuracy(house.records, actor=BEN, statistics=house.settings.statistics)
    assert (by_ana.items, by_ana.people) == (6, 2)
    assert (by_ana.all["numerator"], by_ana.all["denominator"]) == (8, 12)
    assert by_ana.own["estimate"] == 1
    assert by_ben.own["estimate"] == pytest.approx(2 / 6)
    assert by_ben.own["low"] == pytest.approx(0.0968, abs=1e-4), "Wilson, computed by hand"
    assert [(name, rate["denominator"]) for name, rate in by_ben.by_category] == [("hate", 12)]
    assert measure_accuracy(house.records, actor=LEA, statistics=house.settings.statistics).own["estimate"] is None


def test_an_adjudicated_case_can_be_pinned_and_retired(house: House) -> None:
    (case_id,) = house.add_cases(1)
    with pytest.raises(TransitionError, match="adjudicated"):
        pin_case(house.records, case_id, actor=LEA, at=T0)
    cast_vote(house.records, VoteCreate(case_id, harmful=True), actor=ANA, at=T0)
    cast_vote(house.records, VoteCreate(case_id, harmful=False), actor=BEN, at=T0)
    verdict = VoteCreate(case_id, harmful=False, reason=VerdictReason.QUOTED, note="a film's dialogue")
    adjudicate(house.records, verdict, actor=LEA, at=T0)
    with pytest.raises(AccessError):
        pin_case(house.records, case_id, actor=ANA, at=T0)
    pin_case(house.records, case_id, actor=LEA, at=T0)
    with pytest.raises(TransitionError, match="already"):
        pin_case(house.records, case_id, actor=LEA, at=T0)
    house.add_turns({"request_id": "waiting"})
    house.add_checks({"request_id": "waiting"})
    house.open_cases()
    cleo = Actor("cleo", Role.REVIEWER)
    for knows in (ANA, BEN, LEA):
        case = serve(house, knows)
        assert case is not None
        assert case.case_id != case_id, f"{knows.name} knows it"
        skip_item(house.records, case.case_id, actor=knows, at=T0)
    assert answer(house, cleo, harmful=False) == case_id
    retire_item(house.records, case_id, actor=LEA, at=T0)
    assert list_items(house.records, actor=LEA) == []
    with pytest.raises(NotFoundError):
        retire_item(house.records, case_id, actor=LEA, at=T0)
    assert measure_accuracy(house.records, actor=cleo, statistics=house.settings.statistics).own["numerator"] == 1


def test_items_come_at_the_set_rate_and_each_once(house: House) -> None:
    """400 serves at a rate of a fifth, of one person whose queue never ends: 80 expected, standard deviation 8."""
    add_golden(house, 150)
    house.add_cases(1)
    review = ReviewSettings(double_share=0.0, audit_share=0.0, golden_share=0.2)
    dice = Random(3)
    golden = 0
    for _ in range(400):
        case = serve(house, ANA, dice=dice, review=review)
        assert case is not None
        if case.request_id.startswith("g"):
            golden += 1
            judge_item(house.records, VoteCreate(case.case_id, harmful=True), actor=ANA, at=T0)
        else:
            skip_item(house.records, case.case_id, actor=ANA, at=T0)
    assert golden == pytest.approx(80, abs=24)
    with house.records.session() as session:
        asked = session.exec(select(Assignment).where(Assignment.purpose == Purpose.GOLDEN.value)).all()
        assert len({item.case_id for item in asked}) == len(asked) == golden
    assert T0 < max(item.leased_until for item in asked) <= T0 + timedelta(seconds=600)


def test_own_history_holds_answers_among_verdicts(house: House) -> None:
    house.add_cases(1)
    add_golden(house, 1)
    known = answer(house, ANA, harmful=True)
    first = answer(house, ANA, harmful=False)
    own = list_own(house.records, actor=ANA)
    assert {(item.case_id, item.harmful, item.is_standing) for item in own} == {
        (known, True, True),
        (first, False, True),
    }
    undo_item(house.records, known, actor=ANA, lease_s=600, at=T0)
    assert {item.case_id: item.is_standing for item in list_own(house.records, actor=ANA)} == {
        known: False,
        first: True,
    }
    assert list_own(house.records, actor=BEN) == []


def test_an_item_that_no_filter_flagged_is_served_only_where_random_samples_wait(house: House) -> None:
    house.add_turns({"request_id": "quiet", "conversation_id": "c-quiet"})
    house.add_checks({"request_id": "quiet", "triggered": False, "decision": "allow", "enforced": False})
    house.add_labels({"request_id": "quiet", "reviewer": "panel", "selection": "golden", "harmful": False})
    pin_imported(house.records, house.events, settings=house.settings, actor=LEA, at=T0)
    (flagged,) = house.add_cases(1)
    served = serve(house, ANA)
    assert served is not None
    assert served.case_id == flagged, "it would be the only random sample"
    house.add_turns({"request_id": "drawn", "conversation_id": "c-drawn", "app": "tutor"})
    house.add_checks({"request_id": "drawn", "triggered": False, "decision": "allow", "enforced": False})
    tutors = Query(filters=(("app", "tutor"),))
    draw_sample(house.records, house.events, tutors, n=1, settings=house.settings, actor=LEA)
    golden = serve(house, BEN)
    assert golden is not None
    assert (golden.request_id, golden.opened_by, golden.priority) == ("quiet", OpenedBy.SAMPLE, DRAWN_PRIORITY)
    assert (golden.category, golden.doubt, golden.exposure) == (None, None, None)


def test_a_milder_item_seems_late_or_is_not_served(house: House) -> None:
    add_golden(house, 1)
    house.add_turns({"request_id": "grave"})
    house.add_checks({"request_id": "grave", "category": "child_sexual_exploitation"})
    house.open_cases()
    first = serve(house, ANA)
    assert first is not None
    assert first.request_id == "grave", "nothing milder comes before it"
    lateness = house.settings.cases.model_copy(update={"near_breach_min": 10_000_000})
    settings = house.settings.model_copy(update={"review": ALWAYS, "cases": lateness})
    golden = take_next(house.records, actor=BEN, settings=settings, at=T0 + timedelta(hours=1), random=Certain())
    assert golden is not None
    assert golden.request_id == "g0"
    assert golden.due_at == first.due_at


def test_an_item_that_is_drawn_at_random_does_not_say_that_it_is_known(house: House) -> None:
    add_golden(house, 1)
    draw_sample(house.records, house.events, Query(), n=1, settings=house.settings, actor=LEA)
    (case,) = list_cases(house.records, actor=ANA, states=[CaseState.OPEN])
    assert (case.opened_by, case.priority, case.category) == (OpenedBy.SAMPLE, DRAWN_PRIORITY, None)
