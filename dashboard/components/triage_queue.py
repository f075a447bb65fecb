"""The queue: how much waits, what comes next, and who holds what."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

import polars as pl
import streamlit as st

from dashboard.components.triage_desk import Notice
from dashboard.text import inert, plain
from dashboard.theme import MISSING, format_count, format_duration, format_time
from incidents.cases import CaseView
from incidents.enums import CaseState
from incidents.queues import QueueCount

_PICKER = "triage_queue_name"

QUEUE_SCHEMA = {
    "Priority": pl.Float64,
    "Severity": pl.Int64,
    "Doubt": pl.Float64,
    "Exposure": pl.Float64,
    "Category": pl.String,
    "Came by": pl.String,
    "Service level": pl.String,
    "Age": pl.String,
    "Held by": pl.String,
    "Case": pl.String,
}


def tabulate_cases(
    cases: Sequence[CaseView], *, titles: Mapping[str, str], at: datetime, zone: ZoneInfo
) -> pl.DataFrame:
    """One row per case (schema `QUEUE_SCHEMA`); ages, leases and service levels as of `at`. Holds no logged text."""
    rows = [
        (
            case.priority,
            case.severity_hint,
            case.doubt,
            case.exposure,
            describe_category(case.category, titles),
            case.opened_by.title,
            describe_due(case, at=at) or "",
            format_duration((at - (case.escalated_at or case.opened_at)).total_seconds()),
            describe_hold(case, at=at, zone=zone),
            case.case_id,
        )
        for case in cases
    ]
    return pl.DataFrame(rows, schema=QUEUE_SCHEMA, orient="row")


def describe_due(case: CaseView, *, at: datetime) -> str | None:
    """How long until, or since, the service level of a case that waits ends; None when nobody waits for it."""
    if case.due_at is None or case.state != CaseState.OPEN:
        return None
    left = (case.due_at - at).total_seconds()
    return f"{format_duration(left)} left" if left > 0 else f"{format_duration(-left)} late"


def describe_hold(case: CaseView, *, at: datetime, zone: ZoneInfo) -> str:
    """Who holds a case, whom it is kept for, or until when it is put off; "" when none of it."""
    if case.is_held(at):
        return plain(f"{case.leased_by} until {format_time(case.leased_until, zone, relative_to=at)}")
    if case.snoozed_until and case.snoozed_until > at:
        return f"put off until {format_time(case.snoozed_until, zone, relative_to=at)}"
    if case.assigned_until and case.assigned_until > at:
        return plain(f"kept for {case.assigned_to} until {format_time(case.assigned_until, zone, relative_to=at)}")
    return ""


def describe_category(category: str | None, titles: Mapping[str, str]) -> str:
    """The category's title; one without a title is logged text and is made inert."""
    return MISSING if category is None else titles.get(category) or plain(category, limit=60)


def get_holder(case: CaseView, *, at: datetime) -> str | None:
    """Who holds the case at `at`; None when nobody does."""
    return case.leased_by if case.is_held(at) else None


def render_counts(queue: QueueCount, *, escalated: int, today: int) -> None:
    """Shows how a queue stands, how much is escalated, and what this person judged today, in a row of the caller's."""
    st.markdown(f"**{format_count(queue.waiting)}** waiting", width="content")
    if queue.breached:
        st.markdown(f":red[:material/alarm: **{format_count(queue.breached)}** late]", width="content")
    if queue.near_breach:
        st.markdown(f":orange[:material/schedule: **{format_count(queue.near_breach)}** near breach]", width="content")
    if queue.snoozed:
        st.markdown(f"**{format_count(queue.snoozed)}** put off", width="content")
    st.markdown(f"**{format_count(escalated)}** escalated", width="content")
    st.markdown(f"**{format_count(today)}** judged by you today", width="content")


def render_picker(counts: Sequence[QueueCount], *, chosen: str, on_choose: Callable[[str], None]) -> None:
    """Lets the reviewer choose a queue; each says how much waits in it and how much of that is late."""
    by_name = {count.name: count for count in counts}
    names = list(by_name)

    def describe(name: str) -> str:
        count = by_name[name]
        late = f", {count.breached:,} late" if count.breached else ""
        return f"{count.title}: {count.waiting:,} waiting{late}"

    st.selectbox(
        "Queue",
        names,
        index=names.index(chosen),
        format_func=describe,
        key=_PICKER,
        label_visibility="collapsed",
        width=330,
        on_change=lambda: on_choose(st.session_state[_PICKER]),
    )


def render_notice(notice: Notice) -> None:
    """Shows what the last key did, in a place that is always kept free for it."""
    with st.container(key="triage_notice", width="stretch"):
        icon = ":material/error: " if notice.is_problem else ""
        st.caption(f"{icon}{inert(notice.text, limit=300)}" or " ")


def render_table(table: pl.DataFrame, *, key: str, alt: str, on_open: Callable[[str], None]) -> None:
    """Shows cases as a table; choosing a row calls `on_open` with the case's id."""

    def choose() -> None:
        rows = st.session_state[key].selection.rows
        if rows:
            on_open(table["Case"][rows[0]])

    st.dataframe(
        table,
        key=key,
        hide_index=True,
        on_select=choose,
        selection_mode="single-row",
        column_config={
            "Priority": st.column_config.NumberColumn(
                format="%.2f", width=65, help="Severity / 4 x doubt x exposure; what is drawn at random has 0.5"
            ),
            "Severity": st.column_config.NumberColumn(width=70, help="How bad it is if the filters are right"),
            "Doubt": st.column_config.NumberColumn(format="%.2f", width=65, help="How much a verdict will teach"),
            "Exposure": st.column_config.NumberColumn(format="%.1f", width=74, help="How far the text reached people"),
            "Age": st.column_config.TextColumn(width=64),
            "Held by": st.column_config.TextColumn(width=160),
            "Service level": st.column_config.TextColumn(
                width=105, help="Time until, or since, somebody should have judged it"
            ),
            "Case": None,
        },
        alt=alt,
    )
