"""The queue: how much waits, what comes next, and who holds what."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import polars as pl
import streamlit as st

from dashboard.components.triage_desk import Notice
from dashboard.text import inert, plain
from dashboard.theme import MISSING, format_count, format_duration
from incidents.cases import CaseView
from incidents.enums import CaseState

QUEUE_SCHEMA = {
    "Priority": pl.Float64,
    "Category": pl.String,
    "Severity": pl.Int64,
    "Age": pl.String,
    "Held by": pl.String,
    "Why": pl.String,
    "Case": pl.String,
}


def tabulate_cases(cases: Sequence[CaseView], *, titles: Mapping[str, str], at: datetime) -> pl.DataFrame:
    """One row per case (schema `QUEUE_SCHEMA`); ages and leases as of `at`. Holds no logged text."""
    rows = [
        (
            case.priority,
            describe_category(case.category, titles),
            case.severity_hint,
            format_duration((at - (case.escalated_at or case.opened_at)).total_seconds()),
            get_holder(case, at=at) or "",
            plain(case.priority_reason),
            case.case_id,
        )
        for case in cases
    ]
    return pl.DataFrame(rows, schema=QUEUE_SCHEMA, orient="row")


def describe_category(category: str | None, titles: Mapping[str, str]) -> str:
    """The category's title; one without a title is logged text and is made inert."""
    return MISSING if category is None else titles.get(category) or plain(category, limit=60)


def get_holder(case: CaseView, *, at: datetime) -> str | None:
    """Who holds the case at `at`; None when nobody does."""
    return case.leased_by if case.is_held(at) else None


def render_counts(counts: Mapping[str, int], *, today: int) -> None:
    """Shows how much waits, how much is escalated, and what this person judged today, in a row of the caller's."""
    waiting, escalated = counts.get(CaseState.OPEN, 0), counts.get(CaseState.ESCALATED, 0)
    st.markdown(f"**{format_count(waiting)}** waiting", width="content")
    st.markdown(f"**{format_count(escalated)}** escalated", width="content")
    st.markdown(f"**{format_count(today)}** judged by you today", width="content")


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
            "Priority": st.column_config.NumberColumn(format="%.2f", width="small"),
            "Severity": st.column_config.NumberColumn(width="small"),
            "Why": st.column_config.TextColumn(width="large"),
            "Case": None,
        },
        alt=alt,
    )
