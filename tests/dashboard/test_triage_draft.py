"""Drafts outlive a refresh, belong to one reviewer and case, and do not grow without end."""

import pytest

from dashboard.components.triage_draft import Draft, Drafts


def test_a_draft_belongs_to_one_reviewer_and_case() -> None:
    drafts = Drafts()
    drafts.put("ana", "c1", Draft(verdict="harmful", revision="better"))
    assert drafts.get("ana", "c1") == Draft(verdict="harmful", revision="better")
    assert drafts.get("ben", "c1") is None
    assert drafts.get("ana", "c2") is None


def test_a_dropped_draft_is_gone_and_dropping_twice_is_fine() -> None:
    drafts = Drafts()
    drafts.put("ana", "c1", Draft(note="n"))
    drafts.drop("ana", "c1")
    drafts.drop("ana", "c1")
    assert drafts.get("ana", "c1") is None


def test_the_oldest_go_first() -> None:
    drafts = Drafts(limit=2)
    for case in ("c1", "c2"):
        drafts.put("ana", case, Draft(note=case))
    drafts.put("ana", "c1", Draft(note="again"))
    drafts.put("ana", "c3", Draft())
    assert [drafts.get("ana", case) is not None for case in ("c1", "c2", "c3")] == [True, False, True]


@pytest.mark.parametrize(("verdict", "harmful"), [("harmful", True), ("benign", False), ("unsure", None), ("", None)])
def test_a_verdict_as_a_vote_states_it(verdict: str, harmful: bool | None) -> None:
    assert Draft(verdict=verdict).harmful is harmful
