"""One incident: where it stands and what may come next, its timeline, what it did, and what remains."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal
from zoneinfo import ZoneInfo

import streamlit as st

from core.clock import now
from dashboard import data, state
from dashboard.components.document import render_document, render_downloads, render_pairs
from dashboard.components.escalation import render_turns
from dashboard.components.incident_desk import choose_incident, get_dialog, open_section, render_button, render_step
from dashboard.components.incident_serious import render_serious
from dashboard.components.loading import loading
from dashboard.navigation import get_path
from dashboard.text import inert, write_out
from dashboard.theme import format_duration, format_time
from incidents.audit_log import note_deed
from incidents.people import Actor
from incidents.response.enums import Duty, IncidentAction, IncidentState, LinkKind, Severity
from incidents.response.escalation import list_incident_turns
from incidents.response.impact import Impact, build_query, measure_window
from incidents.response.life import Life, measure
from incidents.response.postmortem import SECTIONS, TIMES, build_postmortem, describe_ending, describe_impact
from incidents.response.states import list_steps
from incidents.response.timeline import TimelineItem, build_timeline
from incidents.response.work import IncidentView, get_incident

SHOWN = 40
COLOURS: dict[Severity, Literal["red", "orange", "blue", "gray"]] = {
    Severity.CRITICAL: "red",
    Severity.HIGH: "orange",
    Severity.MEDIUM: "blue",
    Severity.LOW: "gray",
}
ICONS = {
    "incident": ":material/person:",
    "alert": ":material/notifications_active:",
    "case": ":material/fact_check:",
    "version": ":material/rocket_launch:",
}
KEYS = {
    IncidentAction.ACKNOWLEDGE: "A",
    IncidentAction.TRIAGE: "T",
    IncidentAction.START: "W",
    IncidentAction.STABILISE: "B",
    IncidentAction.RESUME: "U",
    IncidentAction.CLOSE: "E",
    IncidentAction.DISMISS: "D",
    IncidentAction.REGRESS: "U",
    IncidentAction.NOTE: "N",
    IncidentAction.ADD_FOLLOW_UP: "F",
}
"""The key of each step; no two that can meet share one, and Streamlit keeps C and R for itself."""
_PAGES = {LinkKind.CASE: ("triage", "case"), LinkKind.FILTER: ("filters", "show")}


def render_detail(number: int, actor: Actor, *, zone: ZoneInfo) -> None:
    """Draws one incident.

    Raises:
        NotFoundError: There is none of this number.
    """
    at = now()
    home = data.home()
    view = get_incident(home.records, number, actor=actor)
    shortcuts = not get_dialog()
    _render_head(view, at=at, shortcuts=shortcuts)
    _render_strip(view, actor, shortcuts=shortcuts)
    with loading(f"incident_{number}", height=400):
        timeline = build_timeline(home.records, home.events, view, at=at)
        impact = data.read(measure_window, build_query(view.life, settings=home.settings, at=at))
    left, right = st.columns([3, 2], gap="medium")
    with left:
        _render_timeline(timeline, view, actor, zone=zone, shortcuts=shortcuts)
    with right:
        _render_people(view, actor, at=at)
        render_turns(list_incident_turns(view.life, settings=home.settings), zone=zone, at=at)
        with st.container(border=True, gap=None):
            st.markdown("**Impact** · :gray[while it lasted; late logs and reviews change it]")
            render_pairs(describe_impact(impact))
        _render_links(view, actor)
        _render_follow_ups(view, actor, at=at, shortcuts=shortcuts)
    _render_postmortem(view, timeline, impact, at=at)
    render_serious(view, timeline, impact, actor, at=at)
    render_step(view, actor, zone=zone)


def describe_clock(life: Life, *, at: datetime) -> str:
    """The sentence on top: how long it stands where it does, and who sees to it."""
    for_long = format_duration((at - life.since).total_seconds())
    owner = f"{inert(life.owner, limit=60)} answers for it" if life.owner else "nobody answers for it yet"
    match life.state:
        case IncidentState.NEW if life.acked_at is None:
            again = "came back" if life.regressions else "was opened"
            return f"It {again} {for_long} ago and nobody has taken it up; {owner}."
        case IncidentState.CLOSED:
            ending = describe_ending(life.ending or "").lower()
            resolved = format_duration(measure(life)["resolve_s"])
            return f"Closed {for_long} ago, {resolved} after it was opened: {ending}. {owner}."
        case _:
            return f"{life.state.title} for {for_long}; {owner}."


def _render_head(view: IncidentView, *, at: datetime, shortcuts: bool) -> None:
    life = view.life
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="incident_head"):
        st.button(
            "All incidents",
            key="incident_back",
            icon=":material/arrow_back:",
            type="tertiary",
            shortcut="Q" if shortcuts else None,
            on_click=choose_incident,
            args=(None,),
        )
        st.badge(life.severity.title, color=COLOURS[life.severity])
        if life.regressions:
            times = "once" if life.regressions == 1 else f"{life.regressions} times"
            st.badge(f"came back {times}", icon=":material/replay:", color="orange")
        if life.serious_kind:
            st.badge("possibly serious", icon=":material/gavel:", color="red")
    st.markdown(f"#### {view.number} · {inert(life.title, limit=300)}")
    st.markdown(describe_clock(life, at=at))


def _render_strip(view: IncidentView, actor: Actor, *, shortcuts: bool) -> None:
    """The five states, the present one marked, and the steps that may come next."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="incident_strip"):
        for state in IncidentState:
            if state is view.life.state:
                st.badge(state.title, icon=":material/radio_button_checked:", color="primary")
            else:
                st.badge(state.title, color="gray")
        st.space("stretch")
        for place, action in enumerate(list_steps(view.life.state)):
            if action is IncidentAction.ACKNOWLEDGE and view.life.acked_at:
                continue
            render_button(
                action.title,
                action,
                view,
                actor,
                key=f"incident_do_{action.value}",
                shortcut=KEYS[action] if shortcuts else None,
                kind="primary" if not place else "secondary",
            )
        if view.life.is_open:
            render_button("Severity", IncidentAction.RATE, view, actor, key="incident_do_rate", kind="tertiary")


def _render_timeline(
    timeline: Sequence[TimelineItem], view: IncidentView, actor: Actor, *, zone: ZoneInfo, shortcuts: bool
) -> None:
    with st.container(border=True, gap="small", key="incident_timeline"):
        head, button = st.columns([4, 1], vertical_alignment="center")
        head.markdown(f"**Timeline** · :gray[newest first, {zone.key}]")
        with button:
            render_button(
                "Note",
                IncidentAction.NOTE,
                view,
                actor,
                key="incident_note",
                shortcut=KEYS[IncidentAction.NOTE] if shortcuts else None,
                kind="tertiary",
            )
        for item in list(reversed(timeline))[:SHOWN]:
            _render_item(item, zone=zone)
        if len(timeline) > SHOWN:
            st.caption(f"The newest {SHOWN} of {len(timeline):,}; the postmortem has all.")


def _render_item(item: TimelineItem, *, zone: ZoneInfo) -> None:
    when, what = st.columns([2, 7], gap="small")
    when.caption(f"{format_time(item.at, zone)}  \n{inert(item.who, limit=40)}")
    with what.container(gap=None):
        st.markdown(f"{ICONS[item.kind]} {inert(item.what, limit=400)}")
        if item.text:
            st.text(write_out(item.text))


def _render_people(view: IncidentView, actor: Actor, *, at: datetime) -> None:
    life = view.life
    with st.container(border=True, gap=None, key="incident_people"):
        head, button = st.columns([3, 1], vertical_alignment="center")
        head.markdown("**People and times**")
        if life.is_open:
            with button:
                render_button("Assign", IncidentAction.ASSIGN, view, actor, key="incident_assign", kind="tertiary")
        running = format_duration((at - life.clock_at).total_seconds())
        render_pairs(
            [
                *((duty.title, life.people.get(duty, "nobody")) for duty in Duty),
                *(
                    (TIMES[name], f"not yet, {running} so far" if seconds is None else format_duration(seconds))
                    for name, seconds in measure(life).items()
                ),
            ]
        )


def _render_links(view: IncidentView, actor: Actor) -> None:
    with st.container(border=True, gap="xsmall", key="incident_links"):
        head, button = st.columns([3, 1], vertical_alignment="center")
        head.markdown("**Linked**")
        with button:
            render_button("Link", IncidentAction.LINK, view, actor, key="incident_link", kind="tertiary")
        if not view.life.links:
            st.caption("Nothing yet: tie cases, alerts, filters or rules to it, and its figures are about them.")
        for kind, ref in view.life.links:
            name, way = st.columns([4, 1], vertical_alignment="center", gap="small")
            name.markdown(f":gray[{kind.title}] {inert(ref)}")
            if kind in _PAGES:
                page, param = _PAGES[kind]
                way.page_link(
                    get_path(page), label="See it", icon=":material/arrow_forward:", query_params={param: ref}
                )


def _render_follow_ups(view: IncidentView, actor: Actor, *, at: datetime, shortcuts: bool) -> None:
    items = view.life.follow_ups
    with st.container(border=True, gap="xsmall", key="incident_follow_ups"):
        head, add, done = st.columns([3, 1, 1], vertical_alignment="center")
        head.markdown("**Follow-ups**")
        with add:
            render_button(
                "Add",
                IncidentAction.ADD_FOLLOW_UP,
                view,
                actor,
                key="incident_add_follow_up",
                shortcut=KEYS[IncidentAction.ADD_FOLLOW_UP] if shortcuts else None,
                kind="tertiary",
            )
        if any(item.done_at is None for item in items):
            with done:
                render_button(
                    "Done",
                    IncidentAction.FINISH_FOLLOW_UP,
                    view,
                    actor,
                    key="incident_finish_follow_up",
                    kind="tertiary",
                )
        if not items:
            st.caption("Nothing remains so far.")
        for item in items:
            if item.done_at:
                mark = f":green[:material/check_circle:] done by {inert(item.done_by, limit=40)}"
            elif item.due < at.date():
                mark = f":red[:material/schedule: {(at.date() - item.due).days} days late]"
            else:
                mark = f":material/radio_button_unchecked: due {item.due}"
            st.markdown(f"{inert(item.title, limit=200)}  \n:gray[{inert(item.owner, limit=40)}] · {mark}")


def _render_postmortem(view: IncidentView, timeline: Sequence[TimelineItem], impact: Impact, *, at: datetime) -> None:
    document = build_postmortem(view, timeline, impact, at=at)
    with st.expander("Postmortem", icon=":material/article:", key="incident_postmortem"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            for section in SECTIONS:
                open_section(section, view, key=f"incident_write_{section.value}")
            st.space("stretch")
            render_downloads(
                document,
                name=f"incident-{view.number}-postmortem",
                key="incident_postmortem",
                on_click=_note_postmortem,
                args=(view,),
            )
        render_document(document, key="incident_postmortem")


def _note_postmortem(view: IncidentView) -> None:
    facts = {"version": view.life.version}
    records = data.home().records
    note_deed(records, "postmortem.export", str(view.number), facts, actor=state.current_actor(), at=now())
