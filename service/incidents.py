"""What incidents show out of both stores."""

from __future__ import annotations

from datetime import datetime

from incidents.people import Actor
from incidents.response.document import Document
from incidents.response.impact import measure_impact
from incidents.response.postmortem import build_postmortem
from incidents.response.timeline import build_timeline
from incidents.response.work import get_incident
from service.home import Home


def prepare_postmortem(home: Home, number: int, *, actor: Actor, at: datetime) -> Document:
    """The postmortem of an incident as it stands now.

    Raises:
        NotFoundError: There is no such incident.
    """
    view = get_incident(home.records, number, actor=actor)
    timeline = build_timeline(home.records, home.events, view, at=at)
    impact = measure_impact(home.events, view.life, settings=home.settings, at=at)
    return build_postmortem(view, timeline, impact, at=at)
