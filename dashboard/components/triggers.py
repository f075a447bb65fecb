"""A list of triggered checks without their texts, each a way into triage."""

from __future__ import annotations

import polars as pl
import streamlit as st

from dashboard import data
from dashboard.navigation import get_path
from dashboard.text import plain
from dashboard.theme import localise

COLUMN_ORDER = ("ts", "request_id", "category", "rule_id", "score", "decision", "stage", "mode")
TEXT_COLUMNS = ("request_id", "stage", "rule_id", "category", "decision", "mode")


def render_triggers(rows: pl.DataFrame, *, key: str, hidden: tuple[str, ...] = ()) -> None:
    """Draws the list; choosing a row opens its turn in triage.

    Args:
        rows: From `lists.list_newest_triggers`; times naive UTC.
        key: Of the table.
        hidden: Columns that say the same in every row.
    """
    zone = data.zone()
    requests = rows["request_id"].to_list()
    shown = localise(rows, zone).with_columns(
        pl.col(name).map_elements(plain, return_dtype=pl.String) for name in TEXT_COLUMNS
    )
    event = st.dataframe(
        shown,
        key=key,
        hide_index=True,
        height=320,
        on_select="rerun",
        selection_mode="single-row",
        placeholder="–",
        alt="Newest triggers of this filter, without texts",
        column_order=[name for name in COLUMN_ORDER if name not in hidden],
        column_config={
            "ts": st.column_config.DatetimeColumn(f"Time ({zone.key})", format="YYYY-MM-DD HH:mm:ss", width=140),
            "request_id": st.column_config.TextColumn("Turn"),
            "category": st.column_config.TextColumn("Category"),
            "rule_id": st.column_config.TextColumn("Rule"),
            "score": st.column_config.NumberColumn("Score", format="%.3f", width=60),
            "decision": st.column_config.TextColumn("Decision", width=75),
            "stage": st.column_config.TextColumn("Stage", width=65),
            "mode": st.column_config.TextColumn("Mode", width=70),
        },
    )
    chosen = event["selection"]["rows"]
    if not chosen:
        st.caption("Texts stay masked here. Choose a row, then open its conversation in triage.")
        return
    st.page_link(
        get_path("triage"),
        label="Open the chosen turn in triage",
        icon=":material/fact_check:",
        query_params={"request": requests[chosen[0]]},
    )
