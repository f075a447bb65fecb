"""The duty to report: its clock, who must do what by when, and the two reports."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import streamlit as st

from core.clock import now
from core.errors import UsageError
from dashboard import data
from dashboard.components.document import render_downloads
from dashboard.components.incident_desk import open_section, render_button
from dashboard.text import inert
from incidents.people import Actor
from incidents.response.enums import IncidentAction, ReportKind
from incidents.response.impact import Impact
from incidents.response.serious import (
    DISCLAIMER,
    SECTIONS,
    Task,
    build_report,
    find_deadline,
    get_kind,
    list_tasks,
)
from incidents.response.timeline import TimelineItem
from incidents.response.words import describe_clock, say_moment
from incidents.response.work import IncidentView, act


def render_serious(
    view: IncidentView, timeline: Sequence[TimelineItem], impact: Impact, actor: Actor, *, at: datetime
) -> None:
    """Draws the section; a small offer where the incident is not marked."""
    life, settings = view.life, data.home().settings
    with st.expander(
        "Duty to report", icon=":material/gavel:", key="incident_serious", expanded=life.serious_kind is not None
    ):
        if life.serious_kind is None:
            st.caption(
                "If people may have been harmed seriously, critical infrastructure was disrupted or fundamental rights were "
                "infringed, a report to an authority may be due within days of awareness (EU AI Act, Article 73)."
            )
            render_button(
                "Mark as possibly serious", IncidentAction.MARK_SERIOUS, view, actor, key="incident_mark_serious"
            )
            return
        try:
            kind = get_kind(settings, life.serious_kind)
        except UsageError as error:  # taken out of the settings since
            st.markdown(f":red[:material/error:] {inert(error.sentence(), limit=400)}")
            return
        deadline = find_deadline(life, kind)
        is_reported = any(task.is_done for task in list_tasks(view, kind)[3:4])
        colour: Literal["green", "red", "orange"] = "green" if is_reported else "red" if deadline < at else "orange"
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            clock = "reported" if is_reported else describe_clock(deadline, at=at)
            st.badge(clock, icon=":material/timer:", color=colour)
            st.markdown(
                f"**{inert(kind.title)}** · aware since {say_moment(life.aware_at)} · due {say_moment(deadline)} · "
                f":gray[{inert(kind.article)}]"
            )
            st.space("stretch")
            render_button(
                "Not serious", IncidentAction.UNMARK_SERIOUS, view, actor, key="incident_unmark", kind="tertiary"
            )
        with st.container(gap="xsmall", key="incident_tasks"):
            for task in list_tasks(view, kind):
                _render_task(task)
        st.markdown("**What the reports hold** · :gray[fill in what is known]")
        with st.container(horizontal=True, gap="small"):
            for section in SECTIONS:
                open_section(section, view, key=f"incident_report_{section.value}")
        for report in ReportKind:
            document = build_report(view, report, timeline, impact, settings=settings, at=at)
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                st.markdown(f"{report.value.capitalize()} report", width="content")
                render_downloads(
                    document,
                    name=f"incident-{view.number}-{report.value}-report",
                    key=f"incident_{report.value}",
                    on_click=_note_report,
                    args=(view.number, report, actor),
                )
        st.caption(DISCLAIMER)


def _render_task(task: Task) -> None:
    what, who, due, source = st.columns([8, 2, 3, 2], gap="small")
    mark = ":green[:material/check_circle:]" if task.is_done else ":material/radio_button_unchecked:"
    what.markdown(f"{mark} {task.what}")
    who.markdown(inert(task.who, limit=60))
    due.markdown("done" if task.is_done else task.when or f"by {say_moment(task.due_at)}")
    source.caption(inert(task.source))


def _note_report(number: int, report: ReportKind, actor: Actor) -> None:
    act(data.home().records, number, IncidentAction.REPORT, {"report": report.value}, actor=actor, at=now())
