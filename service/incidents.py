"""What incidents show out of both stores."""

from __future__ import annotations

from datetime import datetime

from incidents.audit_log import note_deed
from incidents.people import Actor
from incidents.response.document import Document
from incidents.response.enums import IncidentAction, ReportKind
from incidents.response.impact import Impact, measure_impact
from incidents.response.postmortem import build_postmortem
from incidents.response.serious import build_report
from incidents.response.timeline import TimelineItem, build_timeline
from incidents.response.work import IncidentView, act, get_incident
from service.home import Home


def prepare_postmortem(home: Home, number: int, *, actor: Actor, at: datetime) -> Document:
    """The postmortem of an incident as it stands now, to be taken out: that it was is recorded.

    Raises:
        NotFoundError: There is no such incident.
    """
    view, timeline, impact = _read(home, number, actor=actor, at=at)
    note_deed(home.records, "postmortem.export", str(number), {"version": view.life.version}, actor=actor, at=at)
    return build_postmortem(view, timeline, impact, at=at)


def export_report(home: Home, number: int, report: ReportKind, *, actor: Actor, at: datetime) -> Document:
    """The initial or follow-up report of a possibly serious incident; that it was exported is an event of the incident.

    Raises:
        NotFoundError: There is no such incident.
        UsageError: It is not marked as possibly serious, or under a kind that the settings no longer hold.
    """
    view, timeline, impact = _read(home, number, actor=actor, at=at)
    document = build_report(view, report, timeline, impact, settings=home.settings, at=at)
    act(home.records, number, IncidentAction.REPORT, {"report": report.value}, actor=actor, at=at)
    return document


def _read(home: Home, number: int, *, actor: Actor, at: datetime) -> tuple[IncidentView, list[TimelineItem], Impact]:
    view = get_incident(home.records, number, actor=actor)
    timeline = build_timeline(home.records, home.events, view, at=at)
    return view, timeline, measure_impact(home.events, view.life, settings=home.settings, at=at)
