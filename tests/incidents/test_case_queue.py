"""The queue: order, leases, skips, escalations, reveals, and who may do what."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta

import polars as pl
import pytest
from case_house import ANA, BEN, T0, House

from core.errors import AccessError, ConflictError, NotFoundError, TransitionError
from incidents.audit import count_actions
from incidents.cases import (
    count_by_state,
    escalate_case,
    escalation_times,
    find_case,
    get_case,
    lease_case,
    lease_next,
    list_cases,
    release_case,
    reveal_turn,
    skip_case,
)
from incidents.enums import CaseState, EscalationReason
from incidents.people import Actor, Role
from incidents.reviews import VoteCreate, cast_vote

VIEWER = Actor("vic", Role.VIEWER)


def test_cases_are_served_by_priority(house: House) -> None:
    house.add_turns(*({"request_id": name} for name in ("mild", "grave", "usual")))
    house.add_checks(
        {"request_id": "mild", "category": "spam"},
        {"request_id": "grave", "category": "suicide_self_harm"},
        {"request_id": "usual", "category": "privacy"},
    )
    house.open_cases()
    served = []
    while (case := lease_next(house.records, actor=ANA, lease_s=60, at=T0)) is not None:
        served.append(case.request_id)
        cast_vote(house.records, VoteCreate(case.case_id, harmful=False), actor=ANA, at=T0)
    assert served == ["grave", "usual", "mild"]
    listed = list_cases(house.records, actor=VIEWER)
    assert [case.priority for case in listed] == sorted((case.priority for case in listed), reverse=True)
    assert all(case.priority_reason for case in listed)


def test_two_people_never_hold_one_case_until_the_lease_ends(house: House) -> None:
    house.add_cases(1)
    case = lease_next(house.records, actor=ANA, lease_s=60, at=T0)
    assert case is not None
    assert lease_next(house.records, actor=BEN, lease_s=60, at=T0 + timedelta(seconds=59)) is None
    acts: list[Callable[[], object]] = [
        lambda: lease_case(house.records, case.case_id, actor=BEN, lease_s=60, at=T0),
        lambda: cast_vote(house.records, VoteCreate(case.case_id, harmful=True), actor=BEN, at=T0),
        lambda: skip_case(house.records, case.case_id, actor=BEN, at=T0),
        lambda: release_case(house.records, case.case_id, actor=BEN, at=T0),
        lambda: escalate_case(house.records, case.case_id, actor=BEN, reason=EscalationReason.LEGAL, note="", at=T0),
    ]
    for act in acts:
        with pytest.raises(ConflictError, match="ana"):
            act()
    later = lease_next(house.records, actor=BEN, lease_s=60, at=T0 + timedelta(seconds=60))
    assert later is not None
    assert later.leased_by == "ben"


def test_a_closed_browser_gets_its_case_back(house: House) -> None:
    house.add_cases(3)
    first = lease_next(house.records, actor=ANA, lease_s=60, at=T0)
    again = lease_next(house.records, actor=ANA, lease_s=60, at=T0 + timedelta(seconds=30))
    assert first is not None
    assert again is not None
    assert again.case_id == first.case_id
    assert again.leased_until == T0 + timedelta(seconds=90)


def test_a_released_case_is_free_at_once(house: House) -> None:
    house.add_cases(1)
    case = lease_next(house.records, actor=ANA, lease_s=60, at=T0)
    assert case is not None
    released = release_case(house.records, case.case_id, actor=ANA, at=T0)
    assert not released.is_held(T0)
    assert release_case(house.records, case.case_id, actor=ANA, at=T0).version == released.version
    assert lease_next(house.records, actor=BEN, lease_s=60, at=T0) is not None


def test_a_skipped_case_comes_last_for_who_skipped_it_only(house: House) -> None:
    house.add_cases(2)
    first = lease_next(house.records, actor=ANA, lease_s=60, at=T0)
    assert first is not None
    skip_case(house.records, first.case_id, actor=ANA, at=T0)
    second = lease_next(house.records, actor=ANA, lease_s=60, at=T0)
    assert second is not None
    assert second.case_id != first.case_id
    for_ben = lease_next(house.records, actor=BEN, lease_s=60, at=T0)
    assert for_ben is not None
    assert for_ben.case_id == first.case_id
    release_case(house.records, first.case_id, actor=BEN, at=T0)
    cast_vote(house.records, VoteCreate(second.case_id, harmful=True), actor=ANA, at=T0)
    last = lease_next(house.records, actor=ANA, lease_s=60, at=T0)
    assert last is not None
    assert last.case_id == first.case_id
    assert lease_next(house.records, actor=ANA, lease_s=60, skip=[first.case_id], at=T0) is None


def test_twenty_reviewers_at_once_judge_every_case_exactly_once(house: House) -> None:
    house.add_cases(500)
    judged: list[str] = []
    failures: list[Exception] = []

    def review(number: int) -> None:
        actor = Actor(f"reviewer-{number}", Role.REVIEWER)
        try:
            while (case := lease_next(house.records, actor=actor, lease_s=600, at=T0)) is not None:
                cast_vote(
                    house.records,
                    VoteCreate(case.case_id, harmful=True, version=case.version),
                    actor=actor,
                    at=T0,
                )
                judged.append(case.case_id)
        except Exception as failure:  # noqa: BLE001  a thread's failure must reach the test
            failures.append(failure)

    threads = [threading.Thread(target=review, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(judged) == len(set(judged)) == 500
    assert count_by_state(house.records, actor=ANA) == {
        "open": 0,
        "decided": 500,
        "escalated": 0,
        "closed": 0,
    }


def test_acting_on_an_outdated_view_is_refused(house: House) -> None:
    case_id = house.add_cases(1)[0]
    seen = get_case(house.records, case_id, actor=ANA)
    cast_vote(house.records, VoteCreate(case_id, harmful=True), actor=BEN, at=T0)
    with pytest.raises(ConflictError, match="version 1 is now 2"):
        cast_vote(house.records, VoteCreate(case_id, harmful=False, version=seen.version), actor=ANA, at=T0)
    with pytest.raises(ConflictError):
        lease_case(house.records, case_id, actor=ANA, lease_s=60, at=T0, version=seen.version)
    with pytest.raises(ConflictError):
        escalate_case(
            house.records,
            case_id,
            actor=ANA,
            reason=EscalationReason.LEGAL,
            note="",
            at=T0,
            version=seen.version,
        )


def test_lists_page_and_filter_by_state(house: House) -> None:
    ids = house.add_cases(5)
    cast_vote(house.records, VoteCreate(ids[0], harmful=True), actor=ANA, at=T0)
    decided = list_cases(house.records, actor=VIEWER, states=[CaseState.DECIDED])
    assert [case.case_id for case in decided] == [ids[0]]
    pages = [list_cases(house.records, actor=VIEWER, limit=2, offset=offset) for offset in (0, 2, 4)]
    assert sorted(case.case_id for page in pages for case in page) == sorted(ids)
    assert all(case.evidence == {} for page in pages for case in page)
    assert list_cases(house.records, actor=VIEWER, states=[]) == []


def test_a_turn_leads_to_its_case(house: House) -> None:
    case_id = house.add_cases(1)[0]
    assert find_case(house.records, "r0000", actor=VIEWER) == case_id
    assert find_case(house.records, "another", actor=VIEWER) is None


def test_a_viewer_sees_the_queue_and_changes_nothing(house: House) -> None:
    case_id = house.add_cases(1)[0]
    get_case(house.records, case_id, actor=VIEWER)
    acts: list[Callable[[], object]] = [
        lambda: lease_next(house.records, actor=VIEWER, lease_s=60, at=T0),
        lambda: lease_case(house.records, case_id, actor=VIEWER, lease_s=60, at=T0),
        lambda: skip_case(house.records, case_id, actor=VIEWER, at=T0),
        lambda: reveal_turn(house.records, case_id, actor=VIEWER, request_id="r0000", at=T0),
        lambda: cast_vote(house.records, VoteCreate(case_id, harmful=True), actor=VIEWER, at=T0),
        lambda: escalate_case(house.records, case_id, actor=VIEWER, reason=EscalationReason.LEGAL, note="", at=T0),
    ]
    for act in acts:
        with pytest.raises(AccessError):
            act()
    assert get_case(house.records, case_id, actor=VIEWER).version == 1


def test_revealing_is_audited_and_only_for_turns_of_the_case(house: House) -> None:
    case_id = house.add_cases(2)[0]
    request_id = get_case(house.records, case_id, actor=ANA).request_id
    reveal_turn(house.records, case_id, actor=ANA, request_id=request_id, at=T0)
    with pytest.raises(NotFoundError):
        reveal_turn(house.records, case_id, actor=ANA, request_id="another", at=T0)
    with pytest.raises(NotFoundError):
        reveal_turn(house.records, "none", actor=ANA, request_id=request_id, at=T0)
    assert count_actions(house.records, actor="ana", action="case.reveal", since=T0) == 1
    later = T0 + timedelta(seconds=1)
    assert count_actions(house.records, actor="ana", action="case.reveal", since=later) == 0


def test_escalation_hands_the_case_on_and_times_are_measured(house: House) -> None:
    house.add_turns(
        {"request_id": "handed", "outcome": "human_escalation"},
        {"request_id": "blocked", "outcome": "refusal"},
    )
    house.add_checks({"request_id": "blocked"})
    house.open_cases()
    by_turn = {case.request_id: case for case in list_cases(house.records, actor=ANA)}
    handed, blocked = by_turn["handed"], by_turn["blocked"]
    opened_at = handed.opened_at

    assert escalation_times(house.records).rows() == [("handed", None, None, None)]
    lease_case(house.records, handed.case_id, actor=ANA, lease_s=600, at=opened_at + timedelta(seconds=10))
    vote = VoteCreate(handed.case_id, harmful=True, category="hate")
    cast_vote(house.records, vote, actor=ANA, at=opened_at + timedelta(seconds=70))

    moment = opened_at + timedelta(seconds=5)
    view = escalate_case(
        house.records,
        blocked.case_id,
        actor=ANA,
        reason=EscalationReason.CHILD_SAFETY,
        note="ask legal",
        at=moment,
    )
    assert view.state is CaseState.ESCALATED
    assert view.escalated_at == moment
    with pytest.raises(TransitionError, match="escalated"):
        escalate_case(house.records, blocked.case_id, actor=ANA, reason=EscalationReason.LEGAL, note="", at=moment)
    assert lease_next(house.records, actor=BEN, lease_s=60, at=moment) is None
    cast_vote(
        house.records,
        VoteCreate(blocked.case_id, harmful=False),
        actor=BEN,
        at=moment + timedelta(seconds=30),
    )

    times = escalation_times(house.records)
    assert times.schema == {
        "request_id": pl.String,
        "category": pl.String,
        "acked_s": pl.Float64,
        "decided_s": pl.Float64,
    }
    assert times.rows() == [("blocked", None, 30.0, 30.0), ("handed", "hate", 10.0, 70.0)]
    assert escalation_times(house.records, since=T0, until=T0 + timedelta(seconds=1)).height == 2
    assert escalation_times(house.records, until=T0).is_empty()
