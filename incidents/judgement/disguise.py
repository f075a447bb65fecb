"""How a case that is put before a person again looks: exactly as a first review would."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from incidents.enums import CaseState, OpenedBy
from incidents.priority import compute_drawn_priority
from incidents.views import CaseView


def find_origin(evidence: Mapping[str, Any], *, request_id: str) -> OpenedBy:
    """What would have brought a turn to people, strongest reason first; a random draw when nothing else could have."""
    claims = {report.get("selection") for report in evidence.get("reports") or ()}
    checks = evidence.get("checks") or ()
    turn = next((turn for turn in evidence.get("turns") or () if turn["request_id"] == request_id), None)
    reasons = {
        OpenedBy.USER_REPORT: OpenedBy.USER_REPORT.value in claims,
        OpenedBy.APPEAL: OpenedBy.APPEAL.value in claims,
        OpenedBy.ESCALATION: (turn is not None and turn.get("outcome") == "human_escalation")
        or any(check["decision"] == "escalate" and check["enforced"] for check in checks),
        OpenedBy.ENFORCED_TRIGGER: any(check["triggered"] and check["enforced"] for check in checks),
        OpenedBy.TRIGGER: any(check["triggered"] for check in checks),
    }
    return next((reason for reason, holds in reasons.items() if holds), OpenedBy.SAMPLE)


def disguise(
    case: CaseView, *, opened_at: datetime, reviewer: str | None = None, leased_until: datetime | None = None
) -> CaseView:
    """The case, with its evidence where its origin depends on it, as a first review would show it.

    Args:
        case: The case as it is.
        opened_at: When it seems to have been opened.
        reviewer: Who holds it; None = nobody.
        leased_until: Until when.
    """
    shown = case
    if case.opened_by is OpenedBy.GOLDEN:
        origin = find_origin(case.evidence, request_id=case.request_id)
        shown = replace(case, opened_by=origin)
        if origin is OpenedBy.SAMPLE:
            drawn = compute_drawn_priority()
            shown = replace(
                shown,
                priority=drawn.value,
                priority_reason=drawn.reason,
                category=None,
                severity_hint=None,
                doubt=None,
                exposure=None,
            )
    return replace(
        shown,
        state=CaseState.OPEN,
        opened_at=opened_at,
        due_at=case.due_at + (opened_at - case.opened_at) if case.due_at else None,
        snoozed_until=None,
        assigned_to=None,
        assigned_until=None,
        acked_at=None if reviewer is None else case.acked_at,
        decided_at=None,
        escalated_at=None,
        leased_by=reviewer,
        leased_until=leased_until,
        harmful=None,
        verdict_category=None,
    )
