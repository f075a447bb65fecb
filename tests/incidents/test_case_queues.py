"""Named queues: what belongs to one, who is late, what is served next; putting off and handing over."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from case_house import ANA, BEN, LEA, T0, House
from sqlmodel import select

from core.errors import ConflictError, TransitionError, UsageError
from core.settings import QueueSettings
from incidents import facets
from incidents.cases import (
    count_by_state,
    hand_over_case,
    lease_case,
    lease_next,
    list_cases,
    list_colleagues,
    release_case,
    skip_case,
    snooze_case,
)
from incidents.facets import index_cases
from incidents.models import Case, CaseEvidence, CaseFilter
from incidents.people import SYSTEM
from incidents.queues import count_queues, find_soon, get_queue
from incidents.reviews import VoteCreate, cast_vote
from incidents.sampling import draw_sample
from incidents.transitions import fold
from incidents.views import get_snapshot, list_events
from metrics.query import Query


def queue(**conditions: Any) -> QueueSettings:
    return QueueSettings(name="chosen", **conditions)


def fill(house: House) -> None:
    """Three filters, two languages, one report and one turn of another source."""
    house.add_turns(
        {"request_id": "words", "language": "en"},
        {"request_id": "guard", "language": "en-GB"},
        {"request_id": "both", "language": "de"},
        {"request_id": "quiet", "language": "de"},
    )
    house.add_checks(
        {"request_id": "words", "filter_name": "words", "rule_id": "kw-1", "category": "privacy"},
        {"request_id": "guard", "filter_name": "guard", "category": "hate"},
        {"request_id": "both", "filter_name": "words", "rule_id": "kw-2", "category": "spam"},
        {"request_id": "both", "filter_name": "guard", "category": "suicide_self_harm"},
        {"request_id": "both", "filter_name": "silent", "triggered": False, "decision": "allow", "enforced": False},
    )
    house.add_labels({"request_id": "quiet", "harmful": None, "selection": "user_report", "reviewer": "user:1"})
    house.open_cases()


def names(house: House, chosen: QueueSettings) -> list[str]:
    return sorted(case.request_id for case in list_cases(house.records, actor=ANA, queue=chosen))


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({}, ["both", "guard", "quiet", "words"]),
        ({"filter_name": ["words"]}, ["both", "words"]),
        ({"filter_name": ["words", "guard"]}, ["both", "guard", "words"]),
        ({"filter_name": ["silent"]}, []),
        ({"filter_name": ["words"], "language": ["EN"]}, ["words"]),
        ({"language": ["en"]}, ["guard", "words"]),
        ({"language": ["en-GB"]}, ["guard"]),
        ({"category": ["suicide_self_harm", "hate"]}, ["both", "guard"]),
        ({"selection": ["user_report"]}, ["quiet"]),
        ({"source": ["elsewhere"]}, []),
        ({"source": ["test"]}, ["both", "guard", "quiet", "words"]),
    ],
)
def test_a_queue_holds_what_meets_every_condition(
    house: House, conditions: dict[str, Sequence[str]], expected: list[str]
) -> None:
    fill(house)
    assert names(house, queue(**conditions)) == expected
    served = set()
    while (case := lease_next(house.records, actor=ANA, lease_s=60, queue=queue(**conditions), at=T0)) is not None:
        served.add(case.request_id)
        cast_vote(house.records, VoteCreate(case.case_id, harmful=True), actor=ANA, at=T0)
    assert sorted(served) == expected


def test_a_random_draw_is_found_by_its_stratum_and_never_by_what_the_filters_said(house: House) -> None:
    house.add_turns(*({"request_id": f"t{number}"} for number in range(6)))
    quiet = {"triggered": False, "decision": "allow", "enforced": False}
    house.add_checks(*({"request_id": f"t{number}"} | (quiet if number else {}) for number in range(6)))
    house.open_cases()
    house.add_checks({"request_id": "late"})
    house.add_turns({"request_id": "late"})
    draw_sample(house.records, house.events, Query(), n=7, seed=1, settings=house.settings, actor=LEA)
    passed = [f"t{number}" for number in range(1, 6)]
    assert names(house, queue(stratum=["passed"])) == passed
    assert names(house, queue(stratum=["s1/passed"])) == passed
    assert names(house, queue(stratum=["s2/passed", "assed"])) == []
    assert names(house, queue(stratum=["guard/triggered/block"])) == ["late", "t0"]
    # `late` was opened by the draw alone.
    assert names(house, queue(filter_name=["guard"])) == ["t0"]
    assert names(house, queue(category=["hate"])) == ["t0"]


def test_an_unknown_queue_names_the_known_ones(house: House) -> None:
    settings = house.settings.model_copy(update={"queues": (queue(),)})
    assert get_queue(settings, "chosen").name == "chosen"
    with pytest.raises(UsageError, match="nowhere") as failure:
        get_queue(settings, "nowhere")
    assert failure.value.hint == "Valid: everything, chosen."


def test_counts_tell_waiting_held_late_and_put_off(house: House) -> None:
    fill(house)
    settings = house.settings.model_copy(update={"queues": (queue(filter_name=["words"], sla_min=30, title="Words"),)})
    index_again(house, settings)
    opened = list_cases(house.records, actor=ANA)[0].opened_at
    ids = {case.request_id: case.case_id for case in list_cases(house.records, actor=ANA)}
    snooze_case(house.records, ids["guard"], actor=ANA, until=opened + timedelta(hours=4), at=opened)
    lease_case(house.records, ids["words"], actor=ANA, lease_s=7200, at=opened)
    at = opened + timedelta(minutes=50)
    everything, words = count_queues(house.records, settings, actor=ANA, at=at)
    # both: 30 minutes by its queue; words: likewise; guard: put off; quiet: a day.
    assert (everything.waiting, everything.held, everything.near_breach, everything.breached) == (3, 1, 0, 2)
    assert everything.snoozed == 1
    assert (words.title, words.waiting, words.held, words.breached, words.snoozed) == ("Words", 2, 1, 2, 0)
    near = count_queues(house.records, settings, actor=ANA, at=opened + timedelta(minutes=20))[1]
    assert (near.near_breach, near.breached) == (2, 0)


def index_again(house: House, settings: Any) -> None:
    with house.records.session() as session:
        for case in session.exec(select(Case)):
            case.facets_version = 0
            session.add(case)
    index_cases(house.records, settings=settings, actor=SYSTEM)


def test_each_severity_has_its_service_level(house: House) -> None:
    fill(house)
    cases = list_cases(house.records, actor=ANA)
    assert {case.request_id: case.due_at - case.opened_at for case in cases if case.due_at} == {
        "both": timedelta(hours=1),
        "guard": timedelta(hours=4),
        "words": timedelta(days=1),
        "quiet": timedelta(days=1),
    }
    assert [case.request_id for case in list_cases(house.records, actor=ANA, order="due")][:2] == ["both", "guard"]


def test_the_gravest_is_next_and_every_fifth_time_the_latest(house: House) -> None:
    house.add_turns(*({"request_id": name} for name in ("mild", "usual", *(f"grave{n}" for n in range(9)))))
    house.add_checks({"request_id": "mild", "category": "spam"}, {"request_id": "usual", "category": "privacy"})
    house.open_cases()
    house.add_checks(*({"request_id": f"grave{n}", "category": "suicide_self_harm"} for n in range(9)))
    house.open_cases()
    with house.records.session() as session:
        # The mild one is late by now, the usual one nearly, and the grave ones have just come.
        for case in session.exec(select(Case)):
            before = {"mild": timedelta(days=4), "usual": timedelta(hours=23, minutes=50)}
            case.due_at = T0 + timedelta(days=1) - before.get(case.request_id, timedelta(0))
            session.add(case)

    def serve() -> str:
        soon = find_soon(house.settings.cases, T0)
        case = lease_next(house.records, actor=ANA, lease_s=60, soon=soon, at=T0)
        assert case is not None
        cast_vote(house.records, VoteCreate(case.case_id, harmful=True), actor=ANA, at=T0)
        return case.request_id.rstrip("0123456789")

    order = [serve() for _ in range(11)]
    assert order == ["grave"] * 4 + ["mild"] + ["grave"] * 4 + ["usual"] + ["grave"]


def test_a_case_put_off_waits_until_then_and_takes_its_lease_with_it(house: House) -> None:
    case_id = house.add_cases(1)[0]
    lease_next(house.records, actor=ANA, lease_s=60, at=T0)
    until = T0 + timedelta(hours=1)
    with pytest.raises(ConflictError):
        snooze_case(house.records, case_id, actor=BEN, until=until, at=T0)
    snoozed = snooze_case(house.records, case_id, actor=ANA, until=until, at=T0)
    assert (snoozed.leased_by, snoozed.snoozed_until) == (None, until)
    assert lease_next(house.records, actor=BEN, lease_s=60, at=until - timedelta(seconds=1)) is None
    taken = lease_next(house.records, actor=BEN, lease_s=60, at=until)
    assert taken is not None
    assert taken.snoozed_until is None


@pytest.mark.parametrize("ahead", [timedelta(0), timedelta(seconds=-1), timedelta(days=31)])
def test_a_case_is_put_off_to_a_time_that_comes_and_is_not_far(house: House, ahead: timedelta) -> None:
    case_id = house.add_cases(1)[0]
    with pytest.raises(UsageError, match="snooze"):
        snooze_case(house.records, case_id, actor=ANA, until=T0 + ahead, at=T0)


def test_a_case_handed_over_is_the_colleagues_next_one_until_it_is_anybodys_again(house: House) -> None:
    first, second = house.add_cases(2)
    lease_case(house.records, second, actor=ANA, lease_s=60, at=T0)
    until = T0 + timedelta(hours=2)
    handed = hand_over_case(house.records, second, actor=ANA, to="ben", note="you know this", until=until, at=T0)
    assert (handed.assigned_to, handed.leased_by) == ("ben", None)
    mine = lease_next(house.records, actor=ANA, lease_s=60, skip=[first], at=T0)
    assert mine is None
    bens = lease_next(house.records, actor=BEN, lease_s=60, at=T0)
    assert bens is not None
    assert bens.case_id == second
    release_case(house.records, second, actor=BEN, at=T0)
    late = lease_next(house.records, actor=ANA, lease_s=60, skip=[first], at=until)
    assert late is not None
    assert late.case_id == second


def test_who_skips_a_case_handed_over_gives_it_to_all(house: House) -> None:
    case_id = house.add_cases(1)[0]
    hand_over_case(house.records, case_id, actor=ANA, to="ben", note="", until=T0 + timedelta(hours=1), at=T0)
    skipped = skip_case(house.records, case_id, actor=BEN, at=T0)
    assert skipped.assigned_to is None
    assert lease_next(house.records, actor=ANA, lease_s=60, at=T0) is not None
    assert list_colleagues(house.records, actor=ANA) == ["ben"]


@pytest.mark.parametrize("to", ["", "  ", "ana", "system", "user:7"])
def test_a_case_is_handed_to_somebody_else_who_is_a_person(house: House, to: str) -> None:
    case_id = house.add_cases(1)[0]
    with pytest.raises(UsageError, match="colleague"):
        hand_over_case(house.records, case_id, actor=ANA, to=to, note="", until=T0 + timedelta(hours=1), at=T0)


def test_a_decided_case_is_neither_put_off_nor_handed_over(house: House) -> None:
    case_id = house.add_cases(1)[0]
    cast_vote(house.records, VoteCreate(case_id, harmful=True), actor=ANA, at=T0)
    until = T0 + timedelta(hours=1)
    with pytest.raises(TransitionError, match="snooze"):
        snooze_case(house.records, case_id, actor=ANA, until=until, at=T0)
    with pytest.raises(TransitionError, match="hand_over"):
        hand_over_case(house.records, case_id, actor=ANA, to="ben", note="", until=until, at=T0)
    with house.records.session() as session:
        case = session.get(Case, case_id)
        assert case is not None
        assert fold(list_events(session, case_id)) == get_snapshot(case)


def test_cases_of_an_earlier_version_are_indexed_out_of_their_own_evidence(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(house)
    with house.records.session() as session:
        before = {case.case_id: case.model_dump() for case in session.exec(select(Case))}
        fired = sorted((row.case_id, row.filter_name, row.rule_id) for row in session.exec(select(CaseFilter)))
        evidence = {row.case_id: row.body for row in session.exec(select(CaseEvidence))}
        for case in session.exec(select(Case)):
            case.facets_version, case.language, case.due_at, case.doubt = 0, None, None, None
            session.add(case)
        for row in session.exec(select(CaseFilter)):
            session.delete(row)
    monkeypatch.setattr(facets, "_BATCH", 3)
    assert index_cases(house.records, settings=house.settings, actor=SYSTEM) == 4
    assert index_cases(house.records, settings=house.settings, actor=SYSTEM) == 0
    with house.records.session() as session:
        assert {case.case_id: case.model_dump() for case in session.exec(select(Case))} == before
        assert sorted((row.case_id, row.filter_name, row.rule_id) for row in session.exec(select(CaseFilter))) == fired
        assert {row.case_id: row.body for row in session.exec(select(CaseEvidence))} == evidence
    assert len(fired) == 4


def test_a_turn_is_enqueued_once_however_often_it_arrives(house: House) -> None:
    fill(house)
    before = count_by_state(house.records, actor=ANA)
    house.add_checks({"request_id": "words", "filter_name": "another", "rule_id": "x"})
    house.add_labels({"request_id": "words", "harmful": None, "selection": "user_report", "reviewer": "user:2"})
    assert house.open_cases() == 0
    assert house.open_cases() == 0
    assert count_by_state(house.records, actor=ANA) == before
    assert names(house, queue(filter_name=["another"])) == ["words"]
