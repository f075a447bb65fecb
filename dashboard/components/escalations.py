"""The newest escalations: what waits for a person with more authority or knowledge."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

import polars as pl
import streamlit as st

from dashboard.navigation import get_path
from dashboard.text import plain
from dashboard.theme import format_duration, to_local
from incidents.views import CaseView

SHOWN = 8
COLUMNS: dict[str, pl.DataType] = {
    "time": pl.Datetime("us"),
    "category": pl.String(),
    "reason": pl.String(),
    "age": pl.String(),
    "who": pl.String(),
}


def build_escalation_table(cases: Sequence[CaseView], *, zone: ZoneInfo, at: datetime) -> pl.DataFrame:
    """Escalated cases, newest first; columns `COLUMNS`, times as the wall clock in `zone`."""
    newest = sorted(cases, key=lambda case: case.escalated_at or case.opened_at, reverse=True)[:SHOWN]
    rows = []
    for case in newest:
        since = case.escalated_at or case.opened_at
        rows.append(
            {
                "time": to_local(since, zone),
                "category": plain(case.category or "not named"),
                "reason": plain(case.priority_reason),
                "age": format_duration((at - since).total_seconds()),
                "who": plain(case.leased_by) if case.is_held(at) else "nobody",
            }
        )
    return pl.DataFrame(rows, schema=COLUMNS)


def render_escalations(cases: Sequence[CaseView], *, key: str, zone: ZoneInfo, at: datetime) -> None:
    """Draws the table; choosing a row offers the way to its case."""
    ordered = sorted(cases, key=lambda case: case.escalated_at or case.opened_at, reverse=True)[:SHOWN]
    event = st.dataframe(
        build_escalation_table(cases, zone=zone, at=at),
        key=key,
        hide_index=True,
        height="content",
        on_select="rerun",
        selection_mode="single-row",
        alt="Newest escalated cases",
        column_config={
            "time": st.column_config.DatetimeColumn("Escalated", format="MM-DD HH:mm", width=95),
            "category": st.column_config.TextColumn("Category", width=120),
            "reason": st.column_config.TextColumn("Why it is here"),
            "age": st.column_config.TextColumn("Age", width=75),
            "who": st.column_config.TextColumn("Who has it", width=90),
        },
    )
    chosen = event["selection"]["rows"]
    if chosen and chosen[0] < len(ordered):
        st.page_link(
            get_path("triage"),
            label="Open the chosen case",
            icon=":material/fact_check:",
            query_params={"case": ordered[chosen[0]].case_id},
        )
