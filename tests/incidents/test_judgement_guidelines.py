"""Guideline versions: what turns stale, what leaves estimates and exports, and what a version resolves."""

from __future__ import annotations

from datetime import timedelta

import pytest
from case_house import ANA, BEN, LEA, T0, House

from core.errors import AccessError, UsageError
from incidents.enums import VerdictReason
from incidents.exports.exporter import Refusal
from incidents.exports.labelled import read_labelled
from incidents.exports.refusals import refuse_turns
from incidents.judgement.adjudication import adjudicate
from incidents.judgement.guidelines import declare_version, group_contested, list_versions, mirror_versions
from incidents.reviews import VoteCreate, cast_vote, mirror_votes
from ingest.schema import get_data_version
from metrics.consensus import consensus
from metrics.query import Query


def declare(house: House, name: str, *categories: str, days: int = 1) -> int:
    at = T0 + timedelta(days=days)
    return declare_version(
        house.records, house.events, name=name, categories=categories, note="", actor=LEA, at=at
    ).resolved


def label(house: House, turn: str, **facts: object) -> None:
    house.add_turns({"request_id": turn, "conversation_id": turn})
    house.add_labels({"request_id": turn, "category": "hate", **facts})


def fresh(house: House) -> set[str]:
    return set(consensus(house.events.backend()).to_polars()["request_id"])


def test_a_changed_category_outdates_what_was_judged_before(house: House) -> None:
    label(house, "before")
    label(house, "other", category="privacy")
    label(house, "after", ts=(T0 + timedelta(days=2)).isoformat())
    label(house, "named", guideline_version="g-2")
    assert fresh(house) == {"before", "other", "after", "named"}
    version = get_data_version(house.events)
    declare(house, "g-2", "hate")
    assert get_data_version(house.events) > version, "cached figures must be computed anew"
    assert fresh(house) == {"other", "after", "named"}
    declare(house, "g-3", "privacy", days=3)
    assert fresh(house) == {"after", "named"}
    declare(house, "g-4", "*", days=4)
    assert fresh(house) == set()


def test_a_benign_verdict_is_about_what_the_filters_said(house: House) -> None:
    for turn, category in (("flagged", "hate"), ("elsewhere", "privacy"), ("silent", None)):
        label(house, turn, harmful=False, category=None)
        if category:
            house.add_checks({"request_id": turn, "category": category})
    declare(house, "g-2", "hate")
    assert fresh(house) == {"elsewhere", "silent"}


def test_an_editorial_version_outdates_nothing(house: House) -> None:
    label(house, "before")
    declare(house, "g-2")
    assert fresh(house) == {"before"}


def test_one_fresh_vote_brings_the_turn_back_alone(house: House) -> None:
    label(house, "turn", harmful=True, reviewer="old")
    declare(house, "g-2", "hate")
    house.add_labels(
        {"request_id": "turn", "harmful": False, "reviewer": "new", "ts": (T0 + timedelta(days=2)).isoformat()}
    )
    (verdict,) = consensus(house.events.backend()).to_polars().to_dicts()
    assert (verdict["harmful"], verdict["votes"], verdict["is_contested"]) == (False, 1, False)


def test_stale_turns_leave_exports_under_their_own_reason(house: House) -> None:
    label(house, "before")
    label(house, "other", category="privacy")
    declare(house, "g-2", "hate")
    kept, refused = refuse_turns(
        read_labelled(house.events, Query()), include_contested=False, include_unresolved=False
    )
    assert kept["request_id"].to_list() == ["other"]
    assert refused.rows() == [("before", Refusal.STALE_POLICY.value)]


def test_votes_name_the_version_in_force(house: House) -> None:
    first, second = house.add_cases(2)
    cast_vote(house.records, VoteCreate(first, harmful=True, category="hate"), actor=ANA, at=T0)
    declare(house, "g-1", "hate")
    cast_vote(house.records, VoteCreate(second, harmful=True, category="hate"), actor=ANA, at=T0)
    mirror_votes(house.records, house.events, settings=house.settings)
    labels = house.events.read("SELECT guideline_version FROM labels ORDER BY ts, guideline_version NULLS FIRST")
    assert labels["guideline_version"].to_list() == [None, "g-1"]
    assert len(fresh(house)) == 1


def test_a_version_resolves_settled_disputes_of_its_categories(house: House) -> None:
    settled, waiting = house.add_cases(2)
    for case_id in (settled, waiting):
        cast_vote(house.records, VoteCreate(case_id, harmful=True, category="hate"), actor=ANA, at=T0)
        benign = VoteCreate(case_id, harmful=False, reason=VerdictReason.QUOTED)
        cast_vote(house.records, benign, actor=BEN, at=T0)
    verdict = VoteCreate(settled, harmful=False, reason=VerdictReason.QUOTED, note="section 3")
    adjudicate(house.records, verdict, actor=LEA, at=T0)
    (group,) = group_contested(house.records, actor=ANA)
    assert (group.category, group.dispute, group.reason, group.cases, group.waiting) == (
        "hate",
        "verdict",
        "quoted",
        2,
        1,
    )
    assert declare(house, "g-1", "privacy") == 0
    assert declare(house, "g-2", "hate") == 1
    assert [group.case_ids for group in group_contested(house.records, actor=ANA)] == [(waiting,)]
    assert [(item.name, item.resolved) for item in list_versions(house.records, actor=ANA)] == [("g-2", 1), ("g-1", 0)]


def test_what_cannot_be_declared(house: House) -> None:
    declare(house, "g-1", "hate")
    for name, categories in (("g-1", []), ("", []), ("g-2", ["nonsense"])):
        with pytest.raises(UsageError):
            declare(house, name, *categories)
    with pytest.raises(AccessError):
        declare_version(house.records, house.events, name="g-2", categories=[], note="", actor=ANA, at=T0)
    assert mirror_versions(house.records, house.events, at=T0) == 0
