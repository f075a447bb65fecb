"""What safety costs: benign turns blocked against harm missed, for the cascade and for each filter."""

from __future__ import annotations

import polars as pl
import streamlit as st

from dashboard import data
from dashboard.charts.frontier import build_frontier, name_points
from dashboard.components.chart import render_chart
from dashboard.components.empty import render_empty
from dashboard.components.loading import loading
from dashboard.state import View
from dashboard.text import inert, plain
from dashboard.theme import format_rate

_CASCADE = "The cascade as a whole"


def render_frontier(view: View) -> None:
    """Draws the section within the view's window and filters."""
    with loading("quality_frontier", height=500):
        rows = data.report("frontier", data.build_query(view)).rows
    if rows.is_empty():
        render_empty(
            "Nothing was reviewed in this window",
            "The frontier rests on reviewed samples. Draw one with weir sample --n 200, and judge it in Triage.",
            icon=":material/balance:",
        )
        return
    names = [None, *rows["filter_name"].drop_nulls().unique(maintain_order=True)]
    busiest = rows.filter(pl.col("point") == "threshold").sort("reviewed", descending=True, maintain_order=True)[
        "filter_name"
    ]
    chosen = st.selectbox(
        "Filter",
        names,
        index=names.index(busiest[0]) if len(busiest) else 0,
        format_func=lambda name: _CASCADE if name is None else plain(name),
        key="frontier_filter",
    )
    own = rows.filter(pl.col("filter_name").is_null() if chosen is None else pl.col("filter_name") == chosen)
    title = _CASCADE if chosen is None else f"Trade-off of {chosen}"
    render_chart(build_frontier(own, title=title), key="frontier")
    st.caption(
        "A point further left blocks fewer benign turns, one further down misses less harm; off the dashed line, another "
        "choice is better in both. "
        + (
            "The cascade blocks a turn when any enforced filter blocked, modified or escalated it."
            if chosen is None
            else f"Thresholds replay what {inert(chosen)} scored; versions and arms are what it decided, in effect or in shadow."
        )
    )
    _render_table(own.filter(pl.col("point") != "threshold"))


def _render_table(rows: pl.DataFrame) -> None:
    mark = pl.col("on_frontier").replace_strict({True: "yes", False: "no"}, default="–")
    shown = name_points(rows).select(
        "name",
        pl.col("mode").map_elements(plain, return_dtype=pl.String),
        *(
            pl.col(name).map_elements(format_rate, return_dtype=pl.String)
            for name in ("benign_blocked_rate", "missed_harm_rate")
        ),
        "reviewed",
        on_frontier=mark,
    )
    st.dataframe(
        shown,
        key="frontier_table",
        hide_index=True,
        height="content",
        placeholder="–",
        alt="Points of the trade-off with intervals",
        column_config={
            "name": st.column_config.TextColumn("Point", pinned=True),
            "mode": st.column_config.TextColumn("Mode"),
            "benign_blocked_rate": st.column_config.TextColumn("Benign blocked", help="Blocked / benign turns"),
            "missed_harm_rate": st.column_config.TextColumn("Missed harm", help="Not blocked / harmful turns"),
            "reviewed": st.column_config.NumberColumn("Reviewed", format="localized"),
            "on_frontier": st.column_config.TextColumn("On the frontier"),
        },
    )
