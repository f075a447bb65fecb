"""What the reader decided, newest first, and the way to take each of it back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

import polars as pl
import streamlit as st

from dashboard.components.empty import render_empty
from dashboard.components.triage_form import SEVERITIES
from dashboard.text import plain
from dashboard.theme import MISSING, format_time
from incidents.enums import VerdictReason
from incidents.judgement.history import OwnDecision
from ingest.crosswalk import HAZARDS

HISTORY_SCHEMA = {
    "When": pl.String,
    "Verdict": pl.String,
    "Category": pl.String,
    "Severity": pl.String,
    "Reason": pl.String,
    "Given for": pl.String,
    "Counts": pl.String,
    "Turn": pl.String,
}
_VERDICTS = {True: "harmful", False: "benign", None: "unsure"}


def tabulate_history(decisions: Sequence[OwnDecision], *, zone: ZoneInfo, at: datetime) -> pl.DataFrame:
    """One row per decision (schema `HISTORY_SCHEMA`); holds no logged text but the names of turns."""
    rows = [
        (
            format_time(item.at, zone, relative_to=at),
            _VERDICTS[item.harmful],
            HAZARDS.get(item.category or "") or plain(item.category or MISSING, limit=60),
            "" if item.severity is None else SEVERITIES[item.severity],
            VerdictReason(item.reason).title if item.reason in list(VerdictReason) else "",
            "many at once" if item.bulk_id else "one case",
            "yes" if item.is_standing else "taken back or replaced",
            plain(item.request_id, limit=60),
        )
        for item in decisions
    ]
    return pl.DataFrame(rows, schema=HISTORY_SCHEMA, orient="row")


def render(
    decisions: Sequence[OwnDecision],
    *,
    zone: ZoneInfo,
    at: datetime,
    on_open: Callable[[str], None],
    on_withdraw: Callable[[str], None],
    on_withdraw_all: Callable[[str], None],
) -> None:
    """Shows the decisions; a chosen one can be opened, or taken back alone or with all that were given with it."""
    if not decisions:
        render_empty("You have decided nothing yet", "Your verdicts appear here, and each can be taken back.")
        return
    state = st.dataframe(
        tabulate_history(decisions, zone=zone, at=at),
        key="triage_history",
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        column_config={
            "Severity": st.column_config.NumberColumn(width=75),
            "Turn": st.column_config.TextColumn(width=160),
        },
        alt="Your decisions, newest first",
    )
    rows = state.selection.rows
    chosen = decisions[rows[0]] if rows and rows[0] < len(decisions) else None
    with st.container(horizontal=True, vertical_alignment="center", key="triage_history_actions"):
        st.button(
            "Open case",
            key="triage_history_open",
            disabled=chosen is None,
            on_click=on_open,
            args=(chosen.case_id if chosen else "",),
        )
        st.button(
            "Take back",
            key="triage_history_undo",
            icon=":material/undo:",
            disabled=chosen is None or not chosen.can_withdraw,
            on_click=on_withdraw,
            args=(chosen.case_id if chosen else "",),
        )
        if chosen is not None and chosen.bulk_id is not None:
            st.button(
                "Take back all that were given with it",
                key="triage_history_undo_all",
                icon=":material/undo:",
                disabled=not chosen.can_withdraw,
                on_click=on_withdraw_all,
                args=(chosen.bulk_id,),
            )
        st.caption("Your newest decisions, for you alone. Choose a row first." if chosen is None else "")
