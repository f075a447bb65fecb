"""The incidents: what is open, how grave, for how long, and whose."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

import polars as pl
import streamlit as st

from core.clock import now
from dashboard import data
from dashboard.components.empty import render_empty
from dashboard.components.incident_desk import NEW, choose_incident, open_dialog
from dashboard.text import inert, plain
from dashboard.theme import MISSING, format_duration, to_local
from incidents.people import Actor
from incidents.response.enums import IncidentState, Severity
from incidents.response.reminders import list_due_reports
from incidents.response.words import describe_clock, say_moment
from incidents.response.work import IncidentView, list_incidents

SCHEMA: dict[str, pl.DataType] = {
    "number": pl.Int64(),
    "severity": pl.String(),
    "state": pl.String(),
    "clock": pl.String(),
    "owner": pl.String(),
    "title": pl.String(),
    "started": pl.Datetime("us"),
    "follow_ups": pl.Int64(),
}
LEAST = {
    Severity.LOW: "Any severity",
    Severity.MEDIUM: "Medium or graver",
    Severity.HIGH: "High or graver",
    Severity.CRITICAL: "Critical",
}
MARKS = {Severity.CRITICAL: "▲▲", Severity.HIGH: "▲", Severity.MEDIUM: "●", Severity.LOW: "○"}


def render_list(actor: Actor, *, zone: ZoneInfo, shortcuts: bool) -> None:
    """Draws the sentence, the filters and the table; choosing a row opens it."""
    at = now()
    every = list_incidents(data.home().records, actor=actor)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"#### {summarize(every, at=at)}", width="content")
        st.space("stretch")
        st.button(
            "Open one",
            key="incident_new",
            icon=":material/add_alert:",
            shortcut="N" if shortcuts else None,
            on_click=open_dialog,
            args=(NEW,),
            help="Opens an incident by hand; alerts and cases open one with their facts filled in",
        )
    for report in list_due_reports(every, settings=data.home().settings):
        is_late = report.deadline < at
        st.markdown(
            f":{'red' if is_late else 'orange'}[:material/gavel:] Incident {report.view.number}: "
            f"**{inert(report.who, limit=60)}** must report by {say_moment(report.deadline)}, "
            f"{describe_clock(report.deadline, at=at)}."
        )
    if not every:
        render_empty(
            "No incident",
            "An incident ties alerts, cases and decisions together, from the alarm to the postmortem. Open one from an "
            "alert, from a case, or by hand.",
            icon=":material/check_circle:",
        )
        return
    shown = _filter(every, actor)
    if not shown:
        render_empty("No incident matches", "Choose other states, severities or owners.")
        return
    event = st.dataframe(
        tabulate(shown, at=at, zone=zone),
        key="incidents",
        hide_index=True,
        height="content",
        on_select="rerun",
        selection_mode="single-row",
        placeholder=MISSING,
        alt="Incidents, open ones first, then by severity",
        column_config={
            "number": st.column_config.NumberColumn("No.", width=55),
            "severity": st.column_config.TextColumn("Severity", width=95),
            "state": st.column_config.TextColumn("State", width=85),
            "clock": st.column_config.TextColumn("In it for", width=90, help="How long it has been in its state"),
            "owner": st.column_config.TextColumn("Owner", width=100),
            "title": st.column_config.TextColumn("What", width=250),
            "started": st.column_config.DatetimeColumn(f"Began ({zone.key})", format="YYYY-MM-DD HH:mm", width=140),
            "follow_ups": st.column_config.NumberColumn("To do", width=60, help="Follow-ups that are not done"),
        },
    )
    chosen = event["selection"]["rows"]
    if chosen and chosen[0] < len(shown):
        choose_incident(shown[chosen[0]].number)
        st.rerun()
    numbers = [view.number for view in shown]
    st.button(
        "Open the first",
        key="incident_first",
        type="tertiary",
        icon=":material/arrow_forward:",
        shortcut="Enter" if shortcuts else None,
        on_click=choose_incident,
        args=(numbers[0],),
    )


def summarize(views: Sequence[IncidentView], *, at: datetime) -> str:
    """The first sentence: how many are open, how grave the gravest, and whether anybody has taken them up."""
    is_open = [view for view in views if view.life.is_open]
    if not is_open:
        closed = [view.life.closed_at for view in views if view.life.closed_at]
        if not closed:
            return "No incident is open. There has been none."
        return f"No incident is open. The last one ended {format_duration((at - max(closed)).total_seconds())} ago."
    gravest = max((view.life.severity for view in is_open), key=lambda severity: severity.rank)
    waiting = sum(view.life.acked_at is None for view in is_open)
    count = "One incident is" if len(is_open) == 1 else f"{len(is_open):,} incidents are"
    taken = "every one is taken up" if not waiting else f"{waiting:,} not taken up yet"
    return f"{count} open, the gravest {gravest.title.lower()}; {taken}."


def tabulate(views: Sequence[IncidentView], *, at: datetime, zone: ZoneInfo) -> pl.DataFrame:
    """One row per incident (`SCHEMA`); clocks as of `at`, times as the wall clock in `zone`."""
    rows = [
        (
            view.number,
            f"{MARKS[view.life.severity]} {view.life.severity.title}",
            view.life.state.title + (" again" if view.life.regressions and view.life.is_open else ""),
            format_duration((at - view.life.since).total_seconds()),
            plain(view.life.owner) or None,
            plain(view.life.title, limit=300),
            to_local(view.life.started_at, zone),
            sum(item.done_at is None for item in view.life.follow_ups),
        )
        for view in views
    ]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def _filter(views: Sequence[IncidentView], actor: Actor) -> list[IncidentView]:
    owners = sorted({view.life.owner for view in views if view.life.owner})
    bar = st.container(horizontal=True, vertical_alignment="bottom", gap="small")
    states = bar.pills(
        "States",
        list(IncidentState),
        default=[item for item in IncidentState if item is not IncidentState.CLOSED],
        selection_mode="multi",
        format_func=lambda item: f"{item.title} {sum(view.life.state is item for view in views)}",
        key="incident_states",
        label_visibility="collapsed",
    )
    least = bar.segmented_control(
        "Severity or graver",
        list(Severity),
        default=Severity.LOW,
        required=True,
        format_func=LEAST.__getitem__,
        key="incident_least",
        label_visibility="collapsed",
    )
    owner = bar.selectbox(
        "Owner",
        owners,
        index=None,
        key="incident_owner",
        placeholder="Any owner",
        format_func=lambda name: f"{plain(name, limit=40)}{' (you)' if name == actor.name else ''}",
        label_visibility="collapsed",
        width=180,
    )
    return [
        view
        for view in views
        if (not states or view.life.state in states)
        and view.life.severity.rank >= least.rank
        and owner in (None, view.life.owner)
    ]
