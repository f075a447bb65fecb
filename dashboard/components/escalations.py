"""The newest escalations: what waits for a person with more authority or knowledge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

import polars as pl
import streamlit as st

from core.settings import Settings
from dashboard.navigation import get_path
from dashboard.text import plain
from dashboard.theme import MISSING, format_duration, format_time, to_local
from incidents.response.escalation import Turn, list_case_turns
from incidents.views import CaseView

SHOWN = 8
COLUMNS: dict[str, pl.DataType] = {
    "time": pl.Datetime("us"),
    "category": pl.String(),
    "reason": pl.String(),
    "age": pl.String(),
    "who": pl.String(),
    "steps": pl.String(),
}


def build_escalation_table(
    cases: Sequence[CaseView], *, steps: Mapping[str, int], settings: Settings, zone: ZoneInfo, at: datetime
) -> pl.DataFrame:
    """Escalated cases, newest first; columns `COLUMNS`, times as the wall clock in `zone`.

    Args:
        cases: The cases.
        steps: Steps of its policy that each has reached, as recorded.
        settings: Hold the policies.
        zone: The reader's.
        at: Now.
    """
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
                "steps": _say_steps(
                    list_case_turns(case, settings=settings, told=steps[case.case_id]), zone=zone, at=at
                ),
            }
        )
    return pl.DataFrame(rows, schema=COLUMNS)


def _say_steps(turns: Sequence[Turn], *, zone: ZoneInfo, at: datetime) -> str | None:
    """Who was told, and who is next when; None without a policy."""
    told = [f"{plain(turn.who)} told" for turn in turns if turn.place == "told"][-1:]
    coming = [
        f"next {plain(turn.who)}, {format_time(turn.due_at, zone, relative_to=at)}"
        for turn in turns
        if turn.place == "next"
    ]
    return "; ".join([*told, *coming]) or ("taken up" if turns else None)


def render_escalations(
    cases: Sequence[CaseView], *, steps: Mapping[str, int], settings: Settings, key: str, zone: ZoneInfo, at: datetime
) -> None:
    """Draws the table; choosing a row offers the way to its case."""
    ordered = sorted(cases, key=lambda case: case.escalated_at or case.opened_at, reverse=True)[:SHOWN]
    event = st.dataframe(
        build_escalation_table(cases, steps=steps, settings=settings, zone=zone, at=at),
        key=key,
        hide_index=True,
        height="content",
        on_select="rerun",
        selection_mode="single-row",
        placeholder=MISSING,
        alt="Newest escalated cases",
        column_config={
            "time": st.column_config.DatetimeColumn("Escalated", format="MM-DD HH:mm", width=95),
            "category": st.column_config.TextColumn("Category", width=120),
            "reason": st.column_config.TextColumn("Why it is here"),
            "age": st.column_config.TextColumn("Age", width=75),
            "who": st.column_config.TextColumn("Who has it", width=90),
            "steps": st.column_config.TextColumn("Escalation", help="Who was told so far, and who is told next"),
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
