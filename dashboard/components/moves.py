"""The turns that a change of a filter would decide otherwise, without texts, each with its conversation."""

from __future__ import annotations

import polars as pl
import streamlit as st

from dashboard import data
from dashboard.components.conversation import render_chosen
from dashboard.text import plain
from dashboard.theme import MISSING, format_count, localise
from metrics.query import Query
from metrics.whatif import LISTED, FilterChange, count_moves, list_moves


def render_moves(change: FilterChange, query: Query, *, key: str) -> None:
    """Draws the turns that a change decides otherwise, harmful ones first, each with its conversation."""
    rows = data.read(list_moves, query, change)
    if rows.is_empty():
        st.caption("No turn of this window would be decided otherwise.")
        return
    spared, added = data.read(count_moves, query, change)
    more = f"; the first {LISTED} of each are listed" if max(spared, added) > LISTED else ""
    st.caption(f"{format_count(spared)} turns would trigger no more, {format_count(added)} newly{more}.")
    zone = data.zone()
    direction = pl.when("spared").then(pl.lit("no longer triggers")).otherwise(pl.lit("newly triggers"))
    verdict = pl.col("harmful").replace_strict({True: "harmful", False: "benign"}, default="not judged")
    event = st.dataframe(
        localise(rows, zone).with_columns(
            verdict=verdict,
            direction=direction,
            request_id=pl.col("request_id").map_elements(plain, return_dtype=pl.String),
        ),
        key=key,
        hide_index=True,
        height=min(38 + 35 * rows.height, 320),
        on_select="rerun",
        selection_mode="single-row",
        placeholder=MISSING,
        alt="Turns that would be decided otherwise, without texts",
        column_order=["verdict", "direction", "at", "request_id", *(["score"] if change.threshold is not None else [])],
        column_config={
            "verdict": st.column_config.TextColumn("People's verdict", width=115),
            "direction": st.column_config.TextColumn("Change", width=130),
            "at": st.column_config.DatetimeColumn(f"Time ({zone.key})", format="YYYY-MM-DD HH:mm", width=130),
            "request_id": st.column_config.TextColumn("Turn"),
            "score": st.column_config.NumberColumn("Score", format="%.4g", width=70),
        },
    )
    render_chosen(rows, event["selection"]["rows"], time_column="at")
