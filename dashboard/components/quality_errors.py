"""Error rates side by side, and which of them still lack reviews."""

from __future__ import annotations

import polars as pl
import streamlit as st

from dashboard import data
from dashboard.charts.bars import build_rates
from dashboard.components.chart import render_chart
from dashboard.components.empty import render_empty
from dashboard.components.loading import loading
from dashboard.state import View
from dashboard.text import inert, plain
from dashboard.theme import LAYER_TITLES, format_rate
from ingest.crosswalk import HAZARDS

DIMENSIONS = {
    "filter_name": "Filter",
    "filter_version": "Version",
    "layer": "Layer",
    "category": "Category",
    "language": "Language",
    "app": "App",
    "model": "Model",
}
RATES = {
    "wrong_block_share": ("Wrong blocks", "benign / triggered, among reviewed triggers"),
    "benign_blocked_rate": ("Benign blocked", "triggered / benign, among reviewed benign turns"),
    "missed_harm_rate": ("Missed harm", "not triggered / harmful, among reviewed harmful turns"),
    "agreement": ("Agreement", "turns where filter and people agree / reviewed turns"),
}


def render_errors(view: View) -> None:
    """Draws the section within the view's window and filters."""
    by = st.pills(
        "By",
        list(DIMENSIONS),
        default="filter_name",
        key="by",
        format_func=DIMENSIONS.__getitem__,
        label_visibility="collapsed",
    )
    dimension = by or "filter_name"
    keys = ("filter_name", "filter_version") if dimension == "filter_version" else (dimension,)
    with loading(f"quality_{dimension}", height=400):
        result = data.report("errors", data.build_query(view, by=keys))
    rows = _name_rows(result.rows, keys)
    if rows.is_empty():
        render_empty(
            "Nothing was reviewed in this window",
            "Error rates rest on reviewed samples. Draw one with weir sample --n 200, and judge it in Triage.",
            icon=":material/rule:",
        )
        return
    left, right = st.columns(2, gap="medium")
    for place, name in ((left, "wrong_block_share"), (right, "missed_harm_rate")):
        title, meaning = RATES[name]
        with place:
            chart = build_rates(rows, by="name", rate=name, title=title, unit=meaning, reason="not enough reviews")
            render_chart(chart, key=f"quality_{name}")
    _render_table(rows, title=DIMENSIONS[dimension])
    for note in result.notes:
        st.caption(inert(note, limit=600))


def _name_rows(rows: pl.DataFrame, keys: tuple[str, ...]) -> pl.DataFrame:
    titles = {**LAYER_TITLES, **HAZARDS}
    parts = [pl.col(key).replace(titles).fill_null("not logged") for key in keys]
    return rows.with_columns(name=pl.concat_str(parts, separator=" @ ")).filter(pl.col("reviewed") > 0)


def _render_table(rows: pl.DataFrame, *, title: str) -> None:
    shown = rows.select(
        pl.col("name").map_elements(plain, return_dtype=pl.String),
        "reviewed",
        *(pl.col(rate).map_elements(format_rate, return_dtype=pl.String, skip_nulls=False) for rate in RATES),
        "average_precision",
    )
    st.dataframe(
        shown,
        key="quality_table",
        hide_index=True,
        height="content",
        placeholder="–",
        alt="Error rates with intervals",
        column_config={
            "name": st.column_config.TextColumn(title, pinned=True),
            "reviewed": st.column_config.NumberColumn("Reviewed", format="localized", help="Turns with a verdict"),
            **{rate: st.column_config.TextColumn(name, help=meaning) for rate, (name, meaning) in RATES.items()},
            "average_precision": st.column_config.NumberColumn(
                "Average precision", format="%.3f", help="Area under precision against recall, from logged scores"
            ),
        },
    )
