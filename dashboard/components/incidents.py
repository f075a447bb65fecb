"""The section Incidents: the one named in the address, or the list."""

from __future__ import annotations

from dashboard import data, state
from dashboard.components.incident_desk import get_dialog, render_opening
from dashboard.components.incident_detail import render_detail
from dashboard.components.incident_list import render_list


def render_incidents() -> None:
    """Draws the section."""
    actor, zone = state.current_actor(), data.zone()
    view = state.current_view()
    number = view.incident
    if number.isdecimal():
        render_detail(int(number), actor, zone=zone)
        return
    render_list(actor, zone=zone, shortcuts=not get_dialog() and not view.case)
    render_opening(actor, zone=zone, case_id=view.case)
