"""What stays covered of the revealed texts of the case on the desk, until the reviewer uncovers it."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from core.clock import now
from dashboard.components.triage_desk import Desk, is_blind
from incidents.cases import CaseView, uncover_turn
from incidents.judgement.cover import Cover, cover_text, list_spans
from incidents.judgement.wellness import choose_cover, read_wishes

_UNCOVERED = "triage.uncovered"


@dataclass(frozen=True, slots=True)
class CoverView:
    """What is covered of one case.

    Attributes:
        spans: The parts of texts.
        uncovered: Request ids of turns that this session uncovered.
    """

    spans: tuple[str, ...]
    uncovered: frozenset[str]

    def hide(self, request_id: str, text: str) -> str:
        """A text of a turn as it is to be shown."""
        return text if request_id in self.uncovered else cover_text(text, self.spans)


def read_cover(desk: Desk, case: CaseView) -> CoverView:
    """What the reviewer wishes to be covered of a case, less what they uncovered."""
    with desk.home.records.session() as session:
        wishes = read_wishes(session, desk.actor.name)
    blind = is_blind(case)
    cover: Cover = choose_cover(wishes, None if blind else case.severity_hint)
    spans = list_spans(
        cover,
        case.evidence,
        words=desk.home.settings.wellness.words,
        category=case.category,
        is_blind=blind,
    )
    uncovered = {turn for case_id, turn in _uncovered() if case_id == case.case_id}
    return CoverView(spans, frozenset(uncovered))


def uncover(desk: Desk, case: CaseView, request_id: str) -> None:
    """Shows the covered parts of one turn, after the audit entry is written."""
    uncover_turn(desk.home.records, case.case_id, actor=desk.actor, request_id=request_id, at=now())
    st.session_state[_UNCOVERED] = _uncovered() | {(case.case_id, request_id)}


def _uncovered() -> frozenset[tuple[str, str]]:
    return frozenset(st.session_state.get(_UNCOVERED, ()))
