"""Cases alike, and one decision over many: exactly what was shown, a vote each, one audit entry, one undo."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from case_house import ANA, BEN, LEA, T0, House
from sqlmodel import col, select

from core.errors import AccessError, ConflictError, NotFoundError, TransitionError, UsageError
from core.settings import QueueSettings
from incidents.alike import list_alike, list_similar_decided
from incidents.audit import find_tampering
from incidents.bulk import Selection, Shown, apply_verdict, count_selected, judge_selected, undo_bulk
from incidents.cases import count_by_state, get_case, lease_case, list_cases
from incidents.enums import CaseState, VerdictReason
from incidents.facets import index_cases
from incidents.models import AuditEntry, Case, CaseEvent, Vote
from incidents.people import SYSTEM
from incidents.reviews import VoteCreate, cast_vote, mirror_votes, undo_vote
from incidents.sampling import draw_sample
from metrics.query import Query

TEXT = "How do I take a portrait of my grandmother at dusk with an old camera, and which film should I choose for it?"
OTHER = "Please translate this letter of my landlord, who wants to end my lease by the end of the coming winter month."
EVERYTHING = QueueSettings.model_construct(name="everything")


def fill(house: House) -> dict[str, str]:
    """Four turns alike, one that differs, one without text; case ids by turn."""
    alike = [TEXT, TEXT.upper(), TEXT.replace("old", "new"), f"{TEXT}!!"]
    house.add_turns(
        *({"request_id": f"alike{n}", "prompt": text, "response": "No."} for n, text in enumerate(alike)),
        {"request_id": "other", "prompt": OTHER, "response": "No."},
        {"request_id": "empty", "prompt": None, "response": None},
    )
    names = [*(f"alike{n}" for n in range(4)), "other", "empty"]
    house.add_checks(*({"request_id": name, "filter_name": "words", "rule_id": f"kw-{name[:5]}"} for name in names))
    house.open_cases()
    return {case.request_id: case.case_id for case in list_cases(house.records, actor=ANA)}


def alike(house: House, case_id: str) -> list[str]:
    return sorted(case.request_id for case in list_alike(house.records, case_id, actor=ANA, at=T0))


def entries(house: House, action: str) -> list[dict[str, object]]:
    with house.records.session() as session:
        rows = session.exec(select(AuditEntry).where(AuditEntry.action == action).order_by(col(AuditEntry.seq)))
        return [json.loads(row.detail) for row in rows]


def test_turns_that_say_nearly_the_same_are_alike_and_others_are_not(house: House) -> None:
    ids = fill(house)
    assert alike(house, ids["alike0"]) == ["alike1", "alike2", "alike3"]
    assert alike(house, ids["alike2"]) == ["alike0", "alike1", "alike3"]
    assert alike(house, ids["other"]) == alike(house, ids["empty"]) == []
    house.add_turns({"request_id": "later", "prompt": TEXT, "response": "No."})
    house.add_checks({"request_id": "later"})
    house.open_cases()
    assert "later" in alike(house, ids["alike0"])


def test_groups_stay_when_cases_are_indexed_anew(house: House) -> None:
    fill(house)

    def groups() -> dict[str, str | None]:
        with house.records.session() as session:
            return {case.request_id: case.group_id for case in session.exec(select(Case))}

    before = groups()
    with house.records.session() as session:
        for case in session.exec(select(Case)):
            case.facets_version = 0
    assert index_cases(house.records, settings=house.settings, actor=SYSTEM) == 6
    assert groups() == before


def test_a_verdict_is_applied_to_exactly_those_shown_and_undone_as_a_whole(house: House) -> None:
    ids = fill(house)
    vote = VoteCreate(ids["alike0"], False, severity=0, reason=VerdictReason.BENIGN_TOPIC, revision="Use a wide lens.")
    cast_vote(house.records, vote, actor=ANA, at=T0)
    shown = [ids["alike1"], ids["alike2"]]
    applied = apply_verdict(house.records, ids["alike0"], shown, actor=ANA, at=T0)
    assert applied.count == 2
    with house.records.session() as session:
        votes = session.exec(select(Vote).where(Vote.bulk_id == applied.bulk_id).order_by(Vote.case_id)).all()
        events = session.exec(select(CaseEvent).where(col(CaseEvent.case_id).in_(shown))).all()
    assert [(v.case_id, v.reviewer, v.harmful, v.reason, v.revision) for v in votes] == [
        (case_id, "ana", False, "benign_topic", None) for case_id in sorted(shown)
    ]
    assert len([event for event in events if event.action == "vote"]) == 2
    assert entries(house, "cases.judge_bulk") == [
        {"cases": sorted(shown), "count": 2, "predicate": f"alike={ids['alike0']}"}
    ]
    assert len(entries(house, "case.vote")) == 1
    similar = list_similar_decided(house.records, ids["alike3"], actor=ANA)
    assert sorted(case.request_id for case in similar) == ["alike0", "alike1", "alike2"]
    mirror_votes(house.records, house.events, settings=house.settings)
    marked = house.events.read("SELECT request_id FROM labels WHERE extra LIKE '%bulk_id%' ORDER BY 1")
    assert marked["request_id"].to_list() == ["alike1", "alike2"]

    assert undo_bulk(house.records, applied.bulk_id, actor=ANA, at=T0) == 2
    assert get_case(house.records, ids["alike0"], actor=ANA).state is CaseState.DECIDED
    assert all(get_case(house.records, case_id, actor=ANA).state is CaseState.OPEN for case_id in shown)
    assert undo_bulk(house.records, applied.bulk_id, actor=ANA, at=T0) == 0
    assert find_tampering(house.records) is None


def test_undoing_a_bulk_decision_leaves_what_was_judged_since(house: House) -> None:
    ids = fill(house)
    cast_vote(house.records, VoteCreate(ids["alike0"], harmful=False), actor=ANA, at=T0)
    applied = apply_verdict(house.records, ids["alike0"], [ids["alike1"], ids["alike2"]], actor=ANA, at=T0)
    cast_vote(house.records, VoteCreate(ids["alike1"], harmful=True), actor=ANA, at=T0 + timedelta(seconds=1))
    undo_vote(house.records, ids["alike2"], actor=ANA, at=T0 + timedelta(seconds=2))
    assert undo_bulk(house.records, applied.bulk_id, actor=ANA, at=T0 + timedelta(seconds=3)) == 0
    assert get_case(house.records, ids["alike1"], actor=ANA).harmful is True


def test_what_may_not_be_decided_unseen_is_left_out_and_refused(house: House) -> None:
    ids = fill(house)
    lease_case(house.records, ids["alike1"], actor=BEN, lease_s=60, at=T0)
    query = Query(filters=(("filter_name", "words"),))
    draw_sample(house.records, house.events, query, n=6, seed=1, settings=house.settings, actor=LEA)
    assert alike(house, ids["alike0"]) == []
    with pytest.raises(TransitionError, match="standing verdict"):
        apply_verdict(house.records, ids["alike0"], [ids["alike1"]], actor=ANA, at=T0)
    cast_vote(house.records, VoteCreate(ids["alike0"], harmful=False), actor=ANA, at=T0)
    before = count_by_state(house.records, actor=ANA)
    for wrong in (["alike1"], ["alike2"], ["other"]):
        with pytest.raises(ConflictError, match="changed since"):
            apply_verdict(house.records, ids["alike0"], [ids[name] for name in wrong], actor=ANA, at=T0)
    with pytest.raises(UsageError):
        apply_verdict(house.records, ids["alike0"], [], actor=ANA, at=T0)
    with pytest.raises(NotFoundError):
        undo_bulk(house.records, "nowhere", actor=ANA, at=T0)
    assert count_by_state(house.records, actor=ANA) == before


def test_a_selection_is_decided_as_shown_or_not_at_all(house: House) -> None:
    ids = fill(house)
    selection = Selection(EVERYTHING, filter_name="words", rule_id="kw-alike", category="hate")
    assert str(selection) == "queue=everything and filter_name=words and rule_id=kw-alike and category=hate"
    shown = count_selected(house.records, selection, actor=ANA, at=T0)
    assert shown.count == 4
    vote = VoteCreate("", False, reason=VerdictReason.FALSE_MATCH)
    with pytest.raises(AccessError):
        judge_selected(house.records, selection, vote, shown=shown, actor=ANA, at=T0)
    # As many cases as were shown, but not the same ones.
    cast_vote(house.records, VoteCreate(ids["alike3"], harmful=True), actor=ANA, at=T0)
    house.add_turns({"request_id": "new", "prompt": TEXT})
    house.add_checks({"request_id": "new", "filter_name": "words", "rule_id": "kw-alike"})
    house.open_cases()
    changed = count_selected(house.records, selection, actor=ANA, at=T0)
    assert changed.count == shown.count
    with pytest.raises(ConflictError, match="4 cases then, 4 now"):
        judge_selected(house.records, selection, vote, shown=shown, actor=LEA, at=T0)
    applied = judge_selected(house.records, selection, vote, shown=changed, actor=LEA, at=T0)
    assert applied.count == 4
    assert count_by_state(house.records, actor=ANA)["decided"] == 5
    nothing = Shown(0, count_selected(house.records, selection, actor=ANA, at=T0).digest)
    with pytest.raises(UsageError, match="at once"):
        judge_selected(house.records, selection, vote, shown=nothing, actor=LEA, at=T0)
