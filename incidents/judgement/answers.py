"""Answers to golden items and in calibration rounds: append-only, about the reviewer, never a label."""

from __future__ import annotations

from collections.abc import Iterable

from sqlmodel import Session, col, select

from core.errors import TransitionError
from incidents.audit import Change
from incidents.judgement.models import Answer, Assignment
from incidents.reviews import VoteCreate

_WITHDRAWAL = "withdrawal"


def add_answer(current: Change, assignment: Assignment, vote: VoteCreate) -> None:
    """Adds what the actor says about an assigned item. The caller records the audit entry."""
    current.session.add(
        Answer(
            case_id=vote.case_id,
            reviewer=current.actor.name,
            purpose=assignment.purpose,
            round_id=assignment.round_id,
            answered_at=current.at,
            kind="answer",
            harmful=vote.harmful,
            category=vote.category,
            severity=vote.severity,
            reason=vote.reason.value if vote.reason else None,
            note=vote.note,
        )
    )


def withdraw_answer(current: Change, case_id: str) -> None:
    """Takes the actor's answer about an item back; nothing is deleted. The caller records the audit entry.

    Raises:
        TransitionError: There is none.
    """
    query = select(Answer).where(Answer.case_id == case_id, Answer.reviewer == current.actor.name)
    standing = list_standing(current.session.exec(query.order_by(col(Answer.answer_id))))
    if not standing:
        raise TransitionError("Nothing to withdraw", f"{current.actor.name} has no standing answer on {case_id}")
    last = standing[-1]
    values = last.model_dump(exclude={"answer_id", "kind", "answered_at"})
    nothing = dict.fromkeys(("harmful", "category", "severity", "reason", "note"))
    current.session.add(Answer(**values | nothing, kind=_WITHDRAWAL, answered_at=current.at))


def read_answers(session: Session, *, purpose: str, round_id: str | None = None) -> list[Answer]:
    """The standing answers of one purpose, of one round where it is named, oldest first."""
    query = select(Answer).where(Answer.purpose == purpose).order_by(col(Answer.answer_id))
    return list_standing(session.exec(query if round_id is None else query.where(Answer.round_id == round_id)))


def list_standing(answers: Iterable[Answer]) -> list[Answer]:
    """Of each person's answers on one item the last, unless it is a withdrawal."""
    latest = {(answer.reviewer, answer.case_id): answer for answer in answers}
    return [answer for answer in latest.values() if answer.kind != _WITHDRAWAL]
