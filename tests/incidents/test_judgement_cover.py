"""Covered texts: what stays covered at each level, for whom, and that blind reviews tell nothing."""

from __future__ import annotations

from typing import Any

import pytest
from case_house import ANA, T0, House
from sqlmodel import select

from core.errors import NotFoundError
from incidents.cases import reveal_turn, uncover_turn
from incidents.judgement.cover import COVERED, Cover, cover_text, list_spans
from incidents.judgement.wellness import Wishes, choose_cover, measure_exposure, read_wishes, save_wishes
from incidents.models import AuditEntry

WORDS = {"any": ("knife",), "hate": ("vermin",)}
EVIDENCE: dict[str, Any] = {"checks": [{"matched_text": "kill them"}, {"matched_text": None}, {"matched_text": "k"}]}


@pytest.mark.parametrize(
    ("cover", "category", "is_blind", "spans"),
    [
        (Cover.PLAIN, "hate", False, ()),
        (Cover.SPANS, "hate", False, ("kill them",)),
        (Cover.WORDS, "hate", False, ("kill them", "vermin", "knife")),
        (Cover.WORDS, "privacy", False, ("kill them", "knife")),
        (Cover.WORDS, None, False, ("kill them", "vermin", "knife")),
        (Cover.SPANS, "hate", True, ()),
        (Cover.WORDS, "privacy", True, ("vermin", "knife")),
    ],
)
def test_what_is_covered(cover: Cover, category: str | None, is_blind: bool, spans: tuple[str, ...]) -> None:
    assert list_spans(cover, EVIDENCE, words=WORDS, category=category, is_blind=is_blind) == spans


def test_a_span_is_covered_in_any_case_and_with_its_ending() -> None:
    text = "Knives? A KNIFE, two knifes.\nThey (kill) us."
    assert cover_text(text, ("knife", "(kill)")) == f"Knives? A {COVERED}, two {COVERED}.\nThey {COVERED} us."
    assert cover_text(text, ()) == text


def test_the_level_follows_from_severity_and_an_unknown_one_covers_more() -> None:
    wishes = Wishes(cover_mild=Cover.SPANS, cover_grave=Cover.WORDS)
    levels = [choose_cover(wishes, severity) for severity in (1, 2, 3, 4, None)]
    assert levels == [Cover.SPANS, Cover.SPANS, Cover.WORDS, Cover.WORDS, Cover.WORDS]


def test_wishes_are_kept_and_uncovering_is_audited_but_no_second_exposure(house: House) -> None:
    (case_id,) = house.add_cases(1)
    wishes = Wishes(cover_grave=Cover.SPANS)
    save_wishes(house.records, wishes, actor=ANA, at=T0)
    reveal_turn(house.records, case_id, actor=ANA, request_id="r0000", at=T0)
    with house.records.session() as session:
        assert read_wishes(session, "ana") == wishes
        before = measure_exposure(session, "ana", settings=house.settings.wellness, at=T0)
    uncover_turn(house.records, case_id, actor=ANA, request_id="r0000", at=T0)
    with house.records.session() as session:
        assert measure_exposure(session, "ana", settings=house.settings.wellness, at=T0) == before
        entry = session.exec(select(AuditEntry).where(AuditEntry.action == "case.uncover")).one()
    assert (entry.actor, entry.subject, entry.detail) == ("ana", case_id, '{"request_id": "r0000"}')
    with pytest.raises(NotFoundError, match="no such turn"):
        uncover_turn(house.records, case_id, actor=ANA, request_id="elsewhere", at=T0)
