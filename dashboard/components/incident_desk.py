"""What lies open on the Incidents page, and the dialogs that change it."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Literal
from zoneinfo import ZoneInfo

import streamlit as st

from core.clock import now
from dashboard import data, state
from dashboard.components.incident_form import ask_facts
from dashboard.navigation import get_path
from incidents.alerts.desk import AlertView
from incidents.people import Actor
from incidents.response.enums import IncidentAction, LinkKind, Section, Severity
from incidents.response.serious import get_kind
from incidents.response.states import TRANSITIONS
from incidents.response.work import IncidentView, act, find_linked, open_from_alert, open_from_case, open_incident

NEW = "new"
_DIALOG = "incidents.dialog"


def choose_incident(number: int | None) -> None:
    """Opens an incident; None shows the list."""
    close_dialog()
    state.choose(incident=str(number) if number else None)


def get_dialog() -> str:
    """The open dialog: `NEW`, an action's value, "describe/<section>", or ""."""
    return str(st.session_state.get(_DIALOG, ""))


def open_dialog(name: str) -> None:
    """Opens a dialog in the next run."""
    st.session_state[_DIALOG] = name


def close_dialog() -> None:
    """Closes the open dialog."""
    st.session_state[_DIALOG] = ""


def take(view: IncidentView, action: IncidentAction, *, actor: Actor) -> None:
    """Takes a step: at once when it asks for nothing, else in its dialog."""
    if TRANSITIONS[view.life.state, action].requires:
        open_dialog(action.value)
    else:
        act(data.home().records, view.number, action, {}, actor=actor, at=now(), version=view.life.version)


def render_opening(actor: Actor, *, zone: ZoneInfo, case_id: str = "") -> None:
    """The dialog that opens an incident: by hand when it is asked for, or about the case that the address names."""
    if get_dialog() != NEW and not case_id:
        return
    records = data.home().records

    def save(facts: dict[str, str]) -> None:
        title, severity = facts.get("title", ""), Severity(facts["severity"])
        if case_id:
            view = open_from_case(records, case_id, actor=actor, title=title, severity=severity, at=now())
        else:
            started_at = datetime.fromisoformat(facts["started_at"])
            view = open_incident(records, actor=actor, title=title, severity=severity, at=now(), started_at=started_at)
        choose_incident(view.number)

    def close() -> None:
        close_dialog()
        state.choose(case=None)

    ask_facts(
        "Open an incident about this case" if case_id else "Open an incident",
        "More than one turn's problem: the case is tied to it, and it began with the case's turn."
        if case_id
        else IncidentAction.OPEN.guidance,
        ("title", "severity") if case_id else ("title", "severity", "started_at"),
        key="incident_open",
        zone=zone,
        defaults={"severity": Severity.MEDIUM.value},
        choices={},
        on_save=save,
        on_close=close,
    )


def render_step(view: IncidentView, actor: Actor, *, zone: ZoneInfo) -> None:
    """The dialog of the step that is asked for, if any."""
    name, _, section = get_dialog().partition("/")
    if name not in list(IncidentAction):
        return
    action = IncidentAction(name)
    rule = TRANSITIONS.get((view.life.state, action))
    if rule is None:  # somebody else moved it on meanwhile
        close_dialog()
        return

    settings = data.home().settings

    def save(facts: dict[str, str]) -> None:
        if action is IncidentAction.MARK_SERIOUS:
            get_kind(settings, facts.get("kind", ""))
        act(data.home().records, view.number, action, facts, actor=actor, at=now(), version=view.life.version)

    defaults = _suggest(view, actor) | {"section": section}
    if section:
        defaults["text"] = view.life.sections.get(Section(section), "")
    ask_facts(
        action.title,
        action.guidance,
        rule.requires,
        key=f"incident_{name}_{view.life.version}_{section}",
        zone=zone,
        defaults=defaults,
        choices={
            "follow_up": {str(item.number): item.title for item in view.life.follow_ups if not item.done_at},
            "kind": {kind.name: f"{kind.title}: {kind.days} days" for kind in settings.serious},
        },
        on_save=save,
        on_close=close_dialog,
    )


def open_section(section: Section, view: IncidentView, *, key: str) -> None:
    """A button that opens the dialog in which a section is written."""
    st.button(
        section.title,
        key=key,
        icon=":material/edit:" if section in view.life.sections else ":material/add:",
        type="tertiary",
        help=section.guidance,
        on_click=open_dialog,
        args=(f"{IncidentAction.DESCRIBE.value}/{section.value}",),
    )


def render_from_alert(alert: AlertView) -> None:
    """The way from an alert to its open incident, or a button that opens one."""
    home, actor = data.home(), state.current_actor()
    open_ones = [
        view for view in find_linked(home.records, LinkKind.ALERT, alert.alert_id, actor=actor) if view.life.is_open
    ]
    if open_ones:
        st.page_link(
            get_path("incidents"),
            label=f"Incident {open_ones[0].number}",
            icon=":material/arrow_forward:",
            query_params={"part": "Incidents", "incident": str(open_ones[0].number)},
        )
        return
    st.button(
        "Incident",
        key=f"alert_incident_{alert.alert_id}",
        type="tertiary",
        icon=":material/add_alert:",
        help="Opens an incident about this alert",
        on_click=_open_from_alert,
        args=(alert.alert_id,),
    )


def _open_from_alert(alert_id: str) -> None:
    actor = state.current_actor()
    view = open_from_alert(data.home().records, alert_id, actor=actor, severity=Severity.MEDIUM, at=now())
    st.session_state["part"] = "Incidents"
    choose_incident(view.number)


def render_button(
    label: str,
    action: IncidentAction,
    view: IncidentView,
    actor: Actor,
    *,
    key: str,
    shortcut: str | None = None,
    kind: Literal["primary", "secondary", "tertiary"] = "secondary",
) -> None:
    """A button that takes a step."""
    st.button(
        label,
        key=key,
        shortcut=shortcut,
        type=kind,
        help=action.guidance,
        on_click=partial(take, view, action, actor=actor),
    )


def _suggest(view: IncidentView, actor: Actor) -> dict[str, str]:
    """What the facts most likely are."""
    life = view.life
    return {
        "severity": life.severity.value,
        "owner": life.owner or actor.name,
        "person": actor.name,
        "aware_at": (life.aware_at or now()).isoformat(),
        **{section.value: text for section, text in life.sections.items()},
    }
