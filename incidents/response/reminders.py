"""Reminders of a report that is due: before its clock ends and when it has, told once each, until the report was made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlmodel import select

from core.records import RecordStore
from core.settings import Settings
from core.settings_response import SeriousKind
from incidents.audit import change
from incidents.people import SYSTEM
from incidents.response.enums import IncidentAction, ReportKind
from incidents.response.models import Incident, IncidentEvent
from incidents.response.serious import find_deadline, find_reporter, list_reports
from incidents.response.work import IncidentView, add_entry, get_incident


@dataclass(frozen=True, slots=True)
class DueReport:
    """A first report that nobody has made yet.

    Attributes:
        view: The incident.
        deadline: By when at the latest, naive UTC.
        who: Who reports.
    """

    view: IncidentView
    deadline: datetime
    who: str


def list_due_reports(views: Sequence[IncidentView], *, settings: Settings) -> list[DueReport]:
    """Reports that are due, the most urgent first. A kind that the settings know no more has no clock."""
    kinds = {kind.name: kind for kind in settings.serious}
    due = [
        DueReport(view, find_deadline(view.life, kinds[view.life.serious_kind]), find_reporter(view.life))
        for view in views
        if view.life.serious_kind in kinds and ReportKind.INITIAL not in list_reports(view)
    ]
    return sorted(due, key=lambda report: report.deadline)


def remind_of_reports(records: RecordStore, *, settings: Settings, at: datetime) -> int:
    """Enters a reminder wherever the time for one has come; returns their number.

    After a pause of the server one reminder stands for those whose time has passed. What is told leaves through the
    notification outbox, as every entry does.
    """
    marked = select(IncidentEvent.number).where(IncidentEvent.action == IncidentAction.MARK_SERIOUS.value).distinct()
    with records.session() as session:
        numbers = sorted(session.exec(marked))
    taken = 0
    kinds = {kind.name: kind for kind in settings.serious}
    views = [get_incident(records, number, actor=SYSTEM) for number in numbers]
    for report in list_due_reports(views, settings=settings):
        life = report.view.life
        hour = _find_hour(report, kinds[str(life.serious_kind)], at)
        if hour is None:
            continue
        with change(records, actor=SYSTEM, at=at) as current:
            row = current.session.get(Incident, report.view.number, populate_existing=True)
            # Somebody may have reported meanwhile: the next run looks again.
            if row is None or row.version != life.version:
                continue
            facts = {"who": report.who, "before_h": str(hour), "due_at": report.deadline.isoformat()}
            add_entry(current, row, IncidentAction.REMIND, facts)
            taken += 1
    return taken


def _find_hour(report: DueReport, kind: SeriousKind, at: datetime) -> int | None:
    """The hour before the end whose reminder is due; None when there is none, or it was told."""
    aware_at = report.view.life.aware_at or at
    reached = [
        hour
        for hour in kind.remind_h
        if aware_at < (moment := report.deadline - timedelta(hours=hour)) and moment <= at
    ]
    told: list[int] = []
    for entry in report.view.entries:
        if entry.action is IncidentAction.MARK_SERIOUS:
            told = []
        elif entry.action is IncidentAction.REMIND:
            told.append(int(entry.payload["before_h"]))
    nearest = min(reached, default=None)
    return nearest if nearest is not None and nearest < min(told, default=nearest + 1) else None
