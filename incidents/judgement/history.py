"""What a person decided, for that person alone: verdicts, and answers to items that looked like any other case."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlmodel import col, select

from core.records import RecordStore
from incidents.enums import CaseState
from incidents.judgement.models import Answer
from incidents.models import Case, Vote
from incidents.people import Actor, Role


@dataclass(frozen=True, slots=True)
class OwnDecision:
    """One verdict of the reader's own.

    Attributes:
        case_id: The case.
        request_id: Its turn.
        at: When it was given.
        harmful: What was said; None = unsure.
        category: Category named.
        severity: Severity named.
        reason: Reason named.
        bulk_id: The decision over many cases that it was part of.
        is_standing: Neither withdrawn nor replaced by a later one.
        can_withdraw: It stands, and its case is not closed.
    """

    case_id: str
    request_id: str
    at: datetime
    harmful: bool | None
    category: str | None
    severity: int | None
    reason: str | None
    bulk_id: str | None
    is_standing: bool
    can_withdraw: bool


def list_own(records: RecordStore, *, actor: Actor, limit: int = 100) -> list[OwnDecision]:
    """The actor's newest decisions about turns, newest first. Nobody else can read them here.

    Answers stand among the verdicts without a mark: a list that left them out would tell which cases were known.
    """
    actor.require(Role.REVIEWER)
    verdicts = (
        select(Vote, Case)
        .join(Case, col(Case.case_id) == col(Vote.case_id))
        .where(Vote.reviewer == actor.name, col(Vote.filter_name).is_(None))
        .order_by(col(Vote.vote_id).desc())
        .limit(2 * limit)
    )
    answers = (
        select(Answer, Case)
        .join(Case, col(Case.case_id) == col(Answer.case_id))
        .where(Answer.reviewer == actor.name)
        .order_by(col(Answer.answer_id).desc())
        .limit(2 * limit)
    )
    with records.session() as session:
        given: list[tuple[bool, datetime, Vote | Answer, Case]] = [
            (vote.kind == "vote", vote.voted_at, vote, case) for vote, case in session.exec(verdicts)
        ]
        given += [(answer.kind == "answer", answer.answered_at, answer, case) for answer, case in session.exec(answers)]
    given.sort(key=lambda item: item[1], reverse=True)
    found, seen = [], set()
    for is_given, at, row, case in given:
        # Newest first: whatever was seen of the case before this row came after it.
        is_standing = is_given and row.case_id not in seen
        seen.add(row.case_id)
        if is_given:
            found.append(
                OwnDecision(
                    case_id=row.case_id,
                    request_id=case.request_id,
                    at=at,
                    harmful=row.harmful,
                    category=row.category,
                    severity=row.severity,
                    reason=row.reason,
                    bulk_id=row.bulk_id if isinstance(row, Vote) else None,
                    is_standing=is_standing,
                    can_withdraw=is_standing and (case.state != CaseState.CLOSED.value or isinstance(row, Answer)),
                )
            )
    return found[:limit]
