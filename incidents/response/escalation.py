"""Escalation: while nobody takes something up, the next person is told; taking it up stops the clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import sqlalchemy as sa
from sqlmodel import col, select

from core.records import RecordStore
from core.settings import Settings
from core.settings_response import EscalationPolicy, EscalationStep
from incidents.audit import change
from incidents.enums import CaseState, OpenedBy
from incidents.models import Case
from incidents.people import SYSTEM
from incidents.response.enums import IncidentAction, IncidentState, Severity
from incidents.response.life import Life
from incidents.response.models import CaseStep, Incident
from incidents.response.work import add_entry, get_incident
from incidents.views import CaseView

Place = Literal["told", "next", "later", "stopped"]


@dataclass(frozen=True, slots=True)
class Turn:
    """One step of a policy on one subject: whose turn it is, when, and whether it came."""

    who: str
    due_at: datetime
    place: Place


def find_policy(
    settings: Settings, subject: Literal["incident", "case"], severity: Severity
) -> EscalationPolicy | None:
    """The policy for what waits with this severity; None when there is none."""
    for policy in settings.escalation:
        if policy.subject == subject and policy.severity == severity.value:
            return policy
    return None


def list_turns(policy: EscalationPolicy, *, clock_at: datetime, acked_at: datetime | None, told: int) -> list[Turn]:
    """Every step of a policy: told, next, later, or stopped because somebody took it up before.

    Args:
        policy: The policy.
        clock_at: When its clock started.
        acked_at: When somebody took it up; None = nobody has.
        told: Steps that records say were taken.
    """
    turns: list[Turn] = []
    for number, step in enumerate(policy.steps, start=1):
        due_at = clock_at + timedelta(minutes=step.after_min)
        if number <= told:
            place: Place = "told"
        elif acked_at is not None:
            place = "stopped"
        else:
            place = "later" if any(turn.place == "next" for turn in turns) else "next"
        turns.append(Turn(step.who, due_at, place))
    return turns


def list_incident_turns(life: Life, *, settings: Settings) -> list[Turn]:
    """The steps of the policy for an incident of this severity; empty when there is none."""
    policy = find_policy(settings, "incident", life.severity)
    if policy is None:
        return []
    return list_turns(policy, clock_at=life.clock_at, acked_at=life.acked_at, told=life.escalated)


def count_case_steps(records: RecordStore, cases: Sequence[CaseView]) -> dict[str, int]:
    """Steps of its policy that each case has reached since its clock last started, as recorded."""
    query = select(CaseStep.case_id, CaseStep.clock_at).where(
        col(CaseStep.case_id).in_([case.case_id for case in cases])
    )
    with records.session() as session:
        reached = Counter(session.exec(query).all())
    return {case.case_id: reached[case.case_id, _start_clock(case)] for case in cases}


def list_case_turns(case: CaseView, *, settings: Settings, told: int) -> list[Turn]:
    """The steps of the policy for an escalated case; empty when there is none or the case does not wait.

    Args:
        case: The case.
        settings: Hold the policies.
        told: Steps that records say were taken (`count_case_steps`).
    """
    policy = find_policy(settings, "case", rate_case(case.severity_hint))
    by_cascade = case.state is CaseState.OPEN and case.opened_by is OpenedBy.ESCALATION
    if policy is None or not (case.state is CaseState.ESCALATED or by_cascade):
        return []
    return list_turns(policy, clock_at=_start_clock(case), acked_at=case.acked_at, told=told)


def _start_clock(case: CaseView) -> datetime:
    return case.escalated_at or case.opened_at


def advance_escalations(records: RecordStore, *, settings: Settings, at: datetime) -> int:
    """Takes every step that is due on incidents and escalated cases; returns their number. Each is taken once."""
    if not settings.escalation:
        return 0
    return _advance_incidents(records, settings, at) + _advance_cases(records, settings, at)


def rate_case(severity_hint: int | None) -> Severity:
    """The severity of a case: that of its category, medium when none is named."""
    return Severity.of_rank(severity_hint) if severity_hint else Severity.MEDIUM


def _due(policy: EscalationPolicy, clock_at: datetime, at: datetime) -> Sequence[tuple[int, EscalationStep]]:
    """The steps that are due, numbered from 1."""
    steps = enumerate(policy.steps, start=1)
    return [(number, step) for number, step in steps if clock_at + timedelta(minutes=step.after_min) <= at]


def _advance_incidents(records: RecordStore, settings: Settings, at: datetime) -> int:
    waiting = select(Incident.number).where(Incident.state == IncidentState.NEW.value, col(Incident.acked_at).is_(None))
    with records.session() as session:
        numbers = list(session.exec(waiting))
    taken = 0
    for number in numbers:
        life = get_incident(records, number, actor=SYSTEM).life
        policy = find_policy(settings, "incident", life.severity)
        if policy is None or not _due(policy, life.clock_at, at)[life.escalated :]:
            continue
        with change(records, actor=SYSTEM, at=at) as current:
            row = current.session.get(Incident, number, populate_existing=True)
            # Somebody may have taken it up meanwhile: that event came first, and the clock has stopped.
            if row is None or row.state != IncidentState.NEW or row.acked_at is not None or row.version != life.version:
                continue
            for step_number, step in _due(policy, life.clock_at, at)[life.escalated :]:
                facts = {"who": step.who, "step": str(step_number)}
                target = {"target": step.notify} if step.notify else {}
                add_entry(current, row, IncidentAction.ESCALATE, facts | target)
                taken += 1
    return taken


def _advance_cases(records: RecordStore, settings: Settings, at: datetime) -> int:
    by_cascade = sa.and_(col(Case.state) == CaseState.OPEN.value, col(Case.opened_by) == OpenedBy.ESCALATION.value)
    waiting = select(Case).where(
        sa.or_(col(Case.state) == CaseState.ESCALATED.value, by_cascade), col(Case.acked_at).is_(None)
    )
    policies = {severity: find_policy(settings, "case", severity) for severity in Severity}
    if not any(policies.values()):
        return 0
    taken = 0
    with change(records, actor=SYSTEM, at=at) as current:
        for case in current.session.exec(waiting).all():
            policy = policies[rate_case(case.severity_hint)]
            clock_at = case.escalated_at or case.opened_at
            for number, step in _due(policy, clock_at, at) if policy else ():
                if current.session.get(CaseStep, (case.case_id, clock_at, number)) is None:
                    reached = CaseStep(case_id=case.case_id, clock_at=clock_at, step=number, who=step.who, at=at)
                    current.session.add(reached)
                    detail = {"step": number, "severity": rate_case(case.severity_hint).value, "target": step.notify}
                    current.record("case.wait", case.case_id, detail)
                    taken += 1
    return taken
