"""Erasing a person or a conversation from the decision store.

A case keeps what people decided (state, verdict, when, by whom), under a name of its own instead of its turn's id; texts, ids and
fingerprints of texts go. Entries of the audit log hold no logged text and stay.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlmodel import Session, col, select

from incidents.audit import Change
from incidents.enums import Action, CaseState, CloseReason
from incidents.evidence import Evidence, unpack_evidence
from incidents.filing import chunked
from incidents.judgement.models import Answer
from incidents.models import (
    Case,
    CaseBand,
    CaseEvidence,
    CaseGroup,
    Draw,
    ExportedRow,
    Revision,
    Vote,
)
from incidents.ranking.models import Ranking, RankingPrompt, RankingResponse
from incidents.views import add_event


def count_decisions(session: Session, request_ids: Sequence[str]) -> dict[str, int]:
    """What an erasure of these turns touches, by table."""
    counts = {}
    for table in (Case, Vote, Draw, Revision, RankingPrompt, ExportedRow):
        counts[table.__tablename__] = sum(
            session.exec(select(sa.func.count()).select_from(table).where(sa.column("request_id").in_(chunk))).one()
            for chunk in chunked(request_ids)
        )
    return counts


def erase_decisions(current: Change, request_ids: Sequence[str], conversation_ids: Sequence[str]) -> None:
    """Takes texts and ids of these turns out of the decision store.

    Args:
        current: The change that this belongs to; the caller records the audit entry.
        request_ids: The turns.
        conversation_ids: Conversations that they belong to: other turns' cases hold copies of their neighbours.
    """
    session = current.session
    gone = frozenset(request_ids)
    for chunk in chunked(request_ids):
        for case in session.exec(select(Case).where(col(Case.request_id).in_(chunk))).all():
            _erase_case(current, case)
        _erase_rankings(session, chunk)
        session.exec(sa.delete(Revision).where(col(Revision.request_id).in_(chunk)))
        rows = session.exec(select(ExportedRow).where(col(ExportedRow.request_id).in_(chunk))).all()
        for row in rows:
            row.request_id, row.conversation_id, row.user_id, row.prompt_hash = "erased", None, None, None
    for chunk in chunked(conversation_ids):
        for case in session.exec(select(Case).where(col(Case.conversation_id).in_(chunk))).all():
            _forget_neighbours(session, case, gone)
    session.flush()


def _erase_case(current: Change, case: Case) -> None:
    session = current.session
    if case.state == CaseState.OPEN.value:
        add_event(current, case, Action.CLOSE, {"reason": CloseReason.ERASED.value}, is_part=True)
    name = f"erased-{case.case_id}"
    case.request_id, case.conversation_id, case.user_id, case.group_id = name, None, None, None
    texts = {"conversation_id": None, "revision": None, "critique": None, "note": None, "request_id": name}
    session.exec(sa.update(Vote).where(col(Vote.case_id) == case.case_id).values(**texts))
    session.exec(sa.update(Draw).where(col(Draw.case_id) == case.case_id).values(request_id=name))
    session.exec(sa.update(Answer).where(col(Answer.case_id) == case.case_id).values(note=None))
    evidence = session.get(CaseEvidence, case.case_id)
    if evidence is not None:
        evidence.body = Evidence().pack()
    # The group keeps its name with those that are in it; only what was computed from this text goes.
    session.exec(sa.delete(CaseBand).where(col(CaseBand.group_id) == case.case_id))
    session.exec(sa.delete(CaseGroup).where(col(CaseGroup.group_id) == case.case_id))


def _forget_neighbours(session: Session, case: Case, gone: frozenset[str]) -> None:
    evidence = session.get(CaseEvidence, case.case_id)
    if evidence is None:
        return
    rows = unpack_evidence(evidence.body)
    kept = {name: [row for row in part if row.get("request_id") not in gone] for name, part in rows.items()}
    if kept != rows:
        evidence.body = Evidence(**kept).pack()


def _erase_rankings(session: Session, request_ids: Sequence[str]) -> None:
    prompts = session.exec(select(RankingPrompt).where(col(RankingPrompt.request_id).in_(request_ids))).all()
    for prompt in prompts:
        for table in (Ranking, RankingResponse):
            session.exec(
                sa.delete(table).where(
                    col(table.ranking_set) == prompt.ranking_set, col(table.prompt_id) == prompt.prompt_id
                )
            )
        session.delete(prompt)
