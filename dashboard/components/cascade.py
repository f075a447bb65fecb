"""The cascade as a whole: what each layer saw, caught, stopped, cost and let through when it failed."""

from __future__ import annotations

from typing import get_args

import polars as pl
import streamlit as st

from dashboard import data, turn_lists
from dashboard.charts.cascade import build_funnel, build_outcomes
from dashboard.charts.overlap import build_added_time, build_overlap
from dashboard.components.chart import render_chart
from dashboard.components.empty import render_empty
from dashboard.components.loading import loading
from dashboard.navigation import get_path
from dashboard.state import View
from dashboard.text import inert, plain
from dashboard.theme import LAYER_TITLES, OUTCOME_TITLES, format_rate, localise
from metrics.query import Query

NUMBERS: tuple[turn_lists.LayerNumber, ...] = get_args(turn_lists.LayerNumber)
COLUMNS: dict[turn_lists.LayerNumber, tuple[str, str]] = {
    "reached": ("Reached", "Turns that a check of the layer ran on, failed checks included"),
    "triggered": ("Triggered", "Turns that a check of the layer triggered on"),
    "unique_catches": ("Only this layer", "Turns that no other layer triggered on"),
    "stopped": ("Stopped", "Turns that a trigger of the layer blocked, modified or escalated in effect"),
    "failed": ("Failed", "Turns on which a check of the layer failed: neither pass nor trigger"),
    "failed_open": ("Fail-open", "Failed, and the user got the model's text, whole or modified"),
    "failed_closed": ("Fail-closed", "Failed, and the turn ended otherwise"),
}


def render_cascade(view: View) -> None:
    """Draws the section within the view's window and filters."""
    query = data.build_query(view)
    with loading("cascade", height=600):
        funnel = data.report("funnel", query).rows
        layers = data.report("layers", query).rows
        outcomes = data.report("outcomes", query).rows
        overlap = data.report("overlap", query).rows
    if funnel.is_empty() and outcomes.is_empty():
        render_empty("No checks in this window", data.explain_empty(view), icon=":material/filter_alt:")
        return
    left, right = st.columns(2, gap="medium")
    with left:
        render_chart(build_funnel(funnel), key="cascade_funnel")
    with right:
        render_chart(build_outcomes(outcomes), key="cascade_outcomes")
    _render_layers(funnel.join(layers, on="layer", how="left", nulls_equal=True, maintain_order="left"), query)
    left, right = st.columns(2, gap="medium")
    with left:
        render_chart(build_overlap(overlap), key="cascade_overlap")
    with right:
        render_chart(build_added_time(layers), key="cascade_time")
    left, right = st.columns(2, gap="medium")
    with left:
        _render_pairs(overlap, query)
    with right:
        _render_endings(outcomes, query)


def _render_layers(rows: pl.DataFrame, query: Query) -> None:
    st.markdown("**Layers**")
    layers = rows["layer"].to_list()
    shown = rows.select(
        pl.col("layer").replace(dict(LAYER_TITLES)).fill_null("not logged").map_elements(plain, return_dtype=pl.String),
        *COLUMNS,
        "added_p50_ms",
        "added_p95_ms",
    )
    number = st.column_config.NumberColumn
    event = st.dataframe(
        shown,
        key="cascade_layers",
        hide_index=True,
        height="content",
        on_select="rerun",
        selection_mode="single-cell",
        placeholder="–",
        alt="Layers with turns reached, triggered, caught alone, stopped, failed, and time added",
        column_config={
            "layer": st.column_config.TextColumn("Layer", pinned=True),
            **{
                str(name): number(title, format="localized", help=meaning) for name, (title, meaning) in COLUMNS.items()
            },
            "added_p50_ms": number("Time, median", format="%.1f ms", help="That its checks add to a turn"),
            "added_p95_ms": number("Time, p95", format="%.1f ms", help="95th percentile of the same"),
        },
    )
    cells = event["selection"]["cells"]
    name = next((name for name in NUMBERS if cells and cells[0][1] == name), None)
    if name is None:
        st.caption("Choose a number to see the turns behind it.")
        return
    place = cells[0][0]
    turns = data.read(turn_lists.list_layer_turns, query, layer=layers[place], number=name)
    _render_turns(turns, title=f"{shown['layer'][place]}: {COLUMNS[name][0].lower()}", key="cascade_layer_turns")


def _render_pairs(overlap: pl.DataFrame, query: Query) -> None:
    pairs = overlap.filter(pl.col("first") != pl.col("second"), pl.col("evaluated") > 0).sort("both", descending=True)
    st.markdown("**Pairs of filters**")
    if pairs.is_empty():
        st.caption("No two filters decided on the same turns.")
        return
    named = pairs.select("first", "second").rows()
    shown = pairs.select(
        pl.col("first", "second").map_elements(plain, return_dtype=pl.String),
        "both",
        overlap=pl.col("overlap").map_elements(format_rate, return_dtype=pl.String, skip_nulls=False),
    )
    event = st.dataframe(
        shown,
        key="cascade_pairs",
        hide_index=True,
        height="content" if pairs.height <= 10 else 390,
        on_select="rerun",
        selection_mode="single-row",
        alt="Pairs of filters with the turns that both triggered on",
        column_config={
            "first": st.column_config.TextColumn("Filter"),
            "second": st.column_config.TextColumn("and"),
            "both": st.column_config.NumberColumn(
                "Both", format="localized", width=50, help="Turns that both triggered on"
            ),
            "overlap": st.column_config.TextColumn("Overlap", help="Both / turns that either triggered on"),
        },
    )
    if chosen := event["selection"]["rows"]:
        first, second = named[chosen[0]]
        turns = data.read(turn_lists.list_pair_turns, query, first=first, second=second)
        _render_turns(turns, title=f"{first} and {second}", key="cascade_pair_turns")


def _render_endings(outcomes: pl.DataFrame, query: Query) -> None:
    st.markdown("**Turns by how they ended**")
    endings = outcomes["outcome"].to_list()
    place = st.pills(
        "Ended as",
        range(len(endings)),
        key="cascade_outcome",
        format_func=lambda place: inert(OUTCOME_TITLES.get(endings[place] or "", endings[place] or "not logged")),
        label_visibility="collapsed",
    )
    if place is None:
        st.caption("Choose an ending to see its turns.")
        return
    turns = data.read(turn_lists.list_outcome_turns, query, outcome=endings[place])
    _render_turns(turns, title="Newest", key="cascade_outcome_turns")


def _render_turns(turns: pl.DataFrame, *, title: str, key: str) -> None:
    """A list of turns without texts, each a way into triage."""
    st.markdown(f"{inert(title)}, newest {turns.height} turns" if turns.height else "No turn is behind this number.")
    if turns.is_empty():
        return
    zone = data.zone()
    requests = turns["request_id"].to_list()
    shown = localise(turns, zone).with_columns(
        pl.col("request_id").map_elements(plain, return_dtype=pl.String),
        pl.col("outcome")
        .replace(dict(OUTCOME_TITLES))
        .fill_null("not logged")
        .map_elements(plain, return_dtype=pl.String),
    )
    event = st.dataframe(
        shown,
        key=key,
        hide_index=True,
        height=250,
        on_select="rerun",
        selection_mode="single-row",
        alt="Newest turns behind the chosen number, without texts",
        column_config={
            "ts": st.column_config.DatetimeColumn(f"Time ({zone.key})", format="YYYY-MM-DD HH:mm:ss", width=150),
            "request_id": st.column_config.TextColumn("Turn"),
            "outcome": st.column_config.TextColumn("Ended as"),
        },
    )
    if chosen := event["selection"]["rows"]:
        st.page_link(
            get_path("triage"),
            label="Open the chosen turn in triage",
            icon=":material/fact_check:",
            query_params={"request": requests[chosen[0]]},
        )
