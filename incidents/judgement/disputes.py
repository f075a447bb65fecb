"""On what the verdicts on a case differ, and the list of cases that wait for somebody to settle it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlmodel import Session

from incidents.judgement.enums import Dispute
from incidents.judgement.models import ContestedItem
from incidents.models import Vote
from metrics.consensus import ADJUDICATION

SEVERITY_GAP = 2
"""Steps between severities that two careful people do not differ by."""


def find_dispute(votes: Sequence[Vote]) -> Dispute | None:
    """On what standing verdicts about a turn, adjudications left out, differ; None when they agree."""
    given = [vote for vote in votes if vote.selection != ADJUDICATION]
    if len({vote.harmful for vote in given}) > 1:
        return Dispute.VERDICT
    harmful = [vote for vote in given if vote.harmful]
    if len({vote.category for vote in harmful if vote.category}) > 1:
        return Dispute.CATEGORY
    severities = [vote.severity for vote in harmful if vote.severity is not None]
    if severities and max(severities) - min(severities) >= SEVERITY_GAP:
        return Dispute.SEVERITY
    return None


def note_dispute(session: Session, case_id: str, votes: Sequence[Vote], *, at: datetime) -> None:
    """Keeps the list of contested cases up to date with the standing verdicts about a case's turn.

    An adjudication settles the verdicts that it saw: a verdict given after it makes the case wait again if they differ.
    """
    dispute = find_dispute(votes)
    item = session.get(ContestedItem, case_id)
    if dispute is None:
        if item is not None:
            item.is_waiting = False
        return
    if item is None:
        item = ContestedItem(case_id=case_id, dispute=dispute.value, since=at, is_waiting=True)
        session.add(item)
    item.dispute = dispute.value
    newest = max(votes, key=lambda vote: vote.vote_id or 0)
    item.is_waiting = newest.selection != ADJUDICATION
