"""Opening: what selects a turn, once and for ever, and how waiting cases follow the log."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from case_house import ANA, BEN, LEA, T0, House
from sqlmodel import select

from core.errors import AccessError
from core.settings import CaseSettings
from incidents import opening
from incidents.cases import count_by_state, get_case, lease_next, list_cases, open_cases
from incidents.enums import CaseState, OpenedBy
from incidents.filing import make_case_id
from incidents.models import AuditEntry, Case, Progress
from incidents.reviews import VoteCreate, cast_vote, mirror_votes, undo_vote
from incidents.sampling import draw_sample
from incidents.transitions import fold
from incidents.views import get_snapshot, list_events
from ingest.schema import get_data_version
from metrics.query import Query


def opened(house: House) -> dict[str, OpenedBy]:
    return {case.request_id: case.opened_by for case in list_cases(house.records, actor=ANA, limit=1000)}


def configure(house: House, **changes: Any) -> None:
    cases = CaseSettings(**(house.settings.cases.model_dump() | changes))
    house.settings = house.settings.model_copy(update={"cases": cases})


def fill(house: House) -> None:
    house.add_turns(
        *({"request_id": name} for name in ("enforced", "shadow", "passed", "failed", "reported", "quiet")),
        {"request_id": "handed", "outcome": "human_escalation"},
    )
    house.add_checks(
        {"request_id": "enforced"},
        {"request_id": "shadow", "mode": "shadow", "enforced": False},
        {"request_id": "passed", "triggered": False, "decision": "allow"},
        {"request_id": "failed", "triggered": None, "decision": "error", "error": "timeout"},
        {"request_id": "asked", "triggered": True, "decision": "escalate"},
        {"request_id": "reported", "triggered": False, "decision": "allow"},
    )
    house.add_labels({"request_id": "reported", "harmful": None, "selection": "user_report", "reviewer": "u7"})


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (("enforced_trigger",), {"enforced", "asked"}),
        (("trigger",), {"enforced", "asked", "shadow"}),
        (("escalation",), {"handed", "asked"}),
        (("user_report",), {"reported"}),
        (("enforced_trigger", "escalation", "user_report"), {"enforced", "asked", "handed", "reported"}),
        ((), set()),
    ],
)
def test_the_configured_rules_select(house: House, rules: tuple[str, ...], expected: set[str]) -> None:
    fill(house)
    configure(house, open_on=rules)
    assert house.open_cases() == len(expected)
    assert set(opened(house)) == expected


def test_the_strongest_reason_is_named(house: House) -> None:
    fill(house)
    house.open_cases()
    assert opened(house) == {
        "enforced": OpenedBy.ENFORCED_TRIGGER,
        "asked": OpenedBy.ESCALATION,
        "handed": OpenedBy.ESCALATION,
        "reported": OpenedBy.USER_REPORT,
    }


def test_opening_again_opens_nothing_even_from_the_start(house: House) -> None:
    fill(house)
    assert house.open_cases() == 4
    assert house.open_cases() == 0
    before = list_cases(house.records, actor=ANA)
    with house.records.session() as session:
        progress = session.get(Progress, "cases")
        assert progress is not None
        progress.position = 0
    assert house.open_cases() == 0
    assert list_cases(house.records, actor=ANA) == before


def test_the_cursor_follows_the_event_store_and_quiet_ticks_leave_no_audit_entry(house: House) -> None:
    fill(house)
    house.open_cases()
    house.add_turns({"request_id": "harmless"})
    with house.records.session() as session:
        entries = session.exec(select(AuditEntry.seq)).all()
    house.open_cases()
    house.open_cases()
    with house.records.session() as session:
        progress = session.get(Progress, "cases")
        assert progress is not None
        assert progress.position == get_data_version(house.events)
        assert session.exec(select(AuditEntry.seq)).all() == entries


def test_a_crash_before_the_commit_loses_no_case(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(house)

    def fail(*_: object) -> None:
        raise RuntimeError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(opening, "_mark_touched", fail)
        with pytest.raises(RuntimeError, match="power cut"):
            house.open_cases()
    assert opened(house) == {}
    assert house.open_cases() == 4


def test_a_crash_before_the_evidence_was_copied_is_made_good_by_the_next_call(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(house)

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(opening, "copy_evidence", fail)
        with pytest.raises(RuntimeError, match="power cut"):
            house.open_cases()
    assert len(opened(house)) == 4
    assert lease_next(house.records, actor=ANA, lease_s=60, at=T0) is None
    assert house.open_cases() == 0
    assert lease_next(house.records, actor=ANA, lease_s=60, at=T0) is not None


def test_old_turns_are_left_out_relative_to_the_newest_event(house: House) -> None:
    old = (T0 - timedelta(days=8)).isoformat()
    house.add_turns({"request_id": "old", "ts": old}, {"request_id": "new"})
    house.add_checks({"request_id": "old", "ts": old}, {"request_id": "new"})
    assert house.open_cases() == 1
    assert set(opened(house)) == {"new"}


def test_an_event_from_the_future_does_not_push_the_present_out(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "now", lambda: T0)
    house.add_turns({"request_id": "far", "ts": "2090-01-01T00:00:00"}, {"request_id": "new"})
    house.add_checks({"request_id": "new"})
    assert house.open_cases() == 1


def test_a_turn_that_only_its_check_knows_is_still_judged(house: House) -> None:
    house.add_checks({"request_id": "orphan", "content": "what was checked"})
    assert house.open_cases() == 1
    leased = lease_next(house.records, actor=ANA, lease_s=60, at=T0)
    assert leased is not None
    case = get_case(house.records, leased.case_id, actor=ANA)
    assert [check["content"] for check in case.evidence["checks"]] == ["what was checked"]


def test_a_report_that_comes_weeks_later_finds_its_turn(house: House) -> None:
    early = T0 - timedelta(days=40)
    house.add_turns({"request_id": "r1", "ts": early.isoformat(), "prompt": "from long ago"})
    house.add_labels({"request_id": "r1", "harmful": None, "selection": "user_report", "reviewer": "u1"})
    assert house.open_cases() == 1
    case = list_cases(house.records, actor=ANA)[0]
    evidence = get_case(house.records, case.case_id, actor=ANA).evidence
    assert [turn["prompt"] for turn in evidence["turns"]] == ["from long ago"]
    assert [report["reviewer"] for report in evidence["reports"]] == ["u1"]


def test_turns_that_an_import_settles_need_no_case(house: House) -> None:
    house.add_turns({"request_id": "before"}, {"request_id": "after"}, {"request_id": "tied"})
    house.add_labels({"request_id": "before"})
    house.add_checks({"request_id": "before"}, {"request_id": "after"}, {"request_id": "tied"})
    assert house.open_cases() == 2
    house.add_labels(
        {"request_id": "after", "harmful": False},
        {"request_id": "tied", "harmful": False},
        {"request_id": "tied", "harmful": True, "reviewer": "another"},
    )
    assert house.open_cases() == 0
    states = {case.request_id: case.state for case in list_cases(house.records, actor=ANA)}
    assert states == {"after": CaseState.CLOSED, "tied": CaseState.OPEN}


def test_ones_own_mirrored_votes_close_nothing(house: House) -> None:
    case_id = house.add_cases(1)[0]
    cast_vote(house.records, VoteCreate(case_id, harmful=True), actor=ANA, at=T0)
    mirror_votes(house.records, house.events, settings=house.settings)
    undo_vote(house.records, case_id, actor=ANA, at=T0)
    house.open_cases()
    assert count_by_state(house.records, actor=ANA)["open"] == 1


def test_later_rows_reach_a_waiting_case_unless_someone_looks_at_it(house: House) -> None:
    house.add_turns({"request_id": "r1", "conversation_id": "c1", "turn_index": 0})
    house.add_checks({"request_id": "r1", "category": "spam"})
    house.open_cases()
    case_id = make_case_id("r1")
    first = get_case(house.records, case_id, actor=ANA)

    house.add_turns({"request_id": "r2", "conversation_id": "c1", "turn_index": 1, "prompt": "and then?"})
    house.add_checks({"request_id": "r1", "filter_name": "second", "category": "suicide_self_harm"})
    house.open_cases()
    grown = get_case(house.records, case_id, actor=ANA)
    assert [turn["request_id"] for turn in grown.evidence["turns"]] == ["r1", "r2"]
    assert {check["filter_name"] for check in grown.evidence["checks"]} == {"guard", "second"}
    assert grown.priority > first.priority
    assert (grown.category, grown.version) == ("suicide_self_harm", first.version)

    case = next(c for c in [lease_next(house.records, actor=ANA, lease_s=10**9, at=T0)] if c)
    house.add_turns({"request_id": "r3", "conversation_id": "c1", "turn_index": 2})
    house.open_cases()
    assert len(get_case(house.records, case.case_id, actor=ANA).evidence["turns"]) == 2
    cast_vote(house.records, VoteCreate(case_id, harmful=True), actor=ANA, at=T0)
    undo_vote(house.records, case_id, actor=ANA, at=T0)
    house.open_cases()
    assert len(get_case(house.records, case.case_id, actor=ANA).evidence["turns"]) == 3


def test_a_decided_case_keeps_the_evidence_it_was_decided_on(house: House) -> None:
    case_id = house.add_cases(1)[0]
    cast_vote(house.records, VoteCreate(case_id, harmful=True), actor=ANA, at=T0)
    before = get_case(house.records, case_id, actor=ANA).evidence
    house.events.write(lambda connection: connection.execute("DELETE FROM turns; DELETE FROM checks"))
    house.add_checks({"request_id": "r0000", "filter_name": "late"})
    house.open_cases()
    assert get_case(house.records, case_id, actor=ANA).evidence == before


def test_only_leads_and_the_system_open_cases(house: House) -> None:
    with pytest.raises(AccessError):
        open_cases(house.records, house.events, settings=house.settings, actor=ANA)
    assert open_cases(house.records, house.events, settings=house.settings, actor=LEA) == 0


def test_case_ids_are_safe_in_addresses_whatever_the_turn_is_called() -> None:
    ids = [make_case_id(name) for name in ("r1", "../../etc/passwd", "<b>", "a b&c=d", "", "\ud800")]
    assert all(case_id.isalnum() and len(case_id) == 20 for case_id in ids)
    assert len(set(ids)) == len(ids)


def test_an_appeal_opens_a_decided_case_again_for_somebody_else(house: House) -> None:
    case_id, other = house.add_cases(2)
    for decided in (case_id, other):
        cast_vote(house.records, VoteCreate(decided, harmful=True), actor=ANA, at=T0)
    turn = get_case(house.records, case_id, actor=ANA).request_id
    house.add_labels({"request_id": turn, "reviewer": "user", "selection": "appeal", "harmful": False})
    house.open_cases()
    case = get_case(house.records, case_id, actor=ANA)
    assert (case.state, case.opened_by, case.exposure) == (CaseState.OPEN, OpenedBy.APPEAL, 1.0)
    assert case.opened_at > T0
    assert [report["selection"] for report in case.evidence["reports"]] == ["appeal"]
    assert get_case(house.records, other, actor=ANA).state is CaseState.DECIDED
    house.open_cases()
    assert get_case(house.records, case_id, actor=ANA).version == case.version, "one appeal opens it once"
    at = case.opened_at + timedelta(hours=1)
    assert lease_next(house.records, actor=ANA, lease_s=60, at=at) is None, "who judged it does not judge the appeal"
    taken = lease_next(house.records, actor=BEN, lease_s=60, at=at)
    assert taken is not None
    assert taken.case_id == case_id
    cast_vote(house.records, VoteCreate(case_id, harmful=True), actor=BEN, at=at)
    with house.records.session() as session:
        row = session.get_one(Case, case_id)
        assert get_snapshot(row) == fold(list_events(session, case_id))


def test_an_appeal_does_not_empty_a_case_whose_turn_aged_out(house: House) -> None:
    case_id = house.add_cases(1)[0]
    cast_vote(house.records, VoteCreate(case_id, harmful=True), actor=ANA, at=T0)
    before = get_case(house.records, case_id, actor=ANA).evidence
    house.events.write(lambda connection: connection.execute("DELETE FROM turns; DELETE FROM checks"))
    house.add_labels({"request_id": "r0000", "reviewer": "user", "selection": "appeal", "harmful": False})
    house.open_cases()
    after = get_case(house.records, case_id, actor=ANA)
    assert (after.state, after.evidence) == (CaseState.OPEN, before)


def test_a_drawn_case_stays_a_random_sample_when_it_is_appealed(house: House) -> None:
    house.add_turns({"request_id": "r1"})
    draw_sample(house.records, house.events, Query(), n=1, settings=house.settings, actor=LEA)
    case_id = make_case_id("r1")
    cast_vote(house.records, VoteCreate(case_id, harmful=True), actor=ANA, at=T0)
    house.add_labels({"request_id": "r1", "reviewer": "user", "selection": "appeal", "harmful": False})
    house.open_cases()
    case = get_case(house.records, case_id, actor=ANA)
    assert (case.state, case.opened_by) == (CaseState.OPEN, OpenedBy.SAMPLE)
