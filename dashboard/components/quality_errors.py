"""Error rates side by side, and which of them still lack reviews."""

from __future__ import annotations

from typing import Any

import polars as pl
import streamlit as st

from dashboard import data
from dashboard.charts.bars import build_rates
from dashboard.components.chart import render_chart
from dashboard.components.coverage import format_coverage, get_share
from dashboard.components.empty import render_empty
from dashboard.components.loading import loading
from dashboard.components.review_plan import TARGETS, render_plan
from dashboard.navigation import get_path
from dashboard.state import FILTER_KEYS, View
from dashboard.text import inert, plain
from dashboard.theme import LAYER_TITLES, format_count, format_rate
from ingest.crosswalk import HAZARDS
from metrics.errors import compute_raw
from metrics.report import ReportResult

DIMENSIONS = {
    "filter_name": "Filter",
    "filter_version": "Version",
    "layer": "Layer",
    "rule_id": "Rule",
    "category": "Category",
    "language": "Language",
    "app": "App",
    "model": "Model",
}
RATES = {
    "wrong_block_share": ("Wrong blocks", "benign / triggered, among triggers"),
    "missed_harm_rate": ("Missed harm", "not triggered / harmful, among harmful turns"),
    "benign_blocked_rate": ("Benign blocked", "triggered / benign, among benign turns"),
    "agreement": ("Agreement", "turns where filter and people agree / reviewed turns"),
}


# Estimates that have a raw figure beside them.
RAW = {"wrong_block_share": "raw_wrong_block_share", "missed_harm_rate": "raw_missed_harm_rate"}


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
    keys = {"filter_version": ("filter_name", "filter_version"), "rule_id": ("filter_name", "rule_id")}.get(
        dimension, (dimension,)
    )
    query = data.build_query(view, by=keys)
    with loading(f"quality_{dimension}", height=400):
        result = data.report("errors", query)
        raw = data.read(compute_raw, query)
    rows = _name_rows(result.rows.join(raw, on=keys, how="left", nulls_equal=True, maintain_order="left"), keys)
    if rows.is_empty():
        render_empty(
            "Nothing was reviewed in this window",
            "Error rates rest on reviewed samples: draw one below, and judge it in Triage.",
            icon=":material/rule:",
        )
    else:
        _render_rates(rows, result, title=DIMENSIONS[dimension], view=view, keys=keys)
    if data.newest_event() is not None:
        render_plan(view, _current(view))


def _render_rates(rows: pl.DataFrame, result: ReportResult, *, title: str, view: View, keys: tuple[str, ...]) -> None:
    left, right = st.columns(2, gap="medium")
    for place, name in ((left, "wrong_block_share"), (right, "missed_harm_rate")):
        heading, meaning = RATES[name]
        with place:
            chart = build_rates(rows, by="name", rate=name, title=heading, unit=meaning, reason="not enough reviews")
            render_chart(chart, key=f"quality_{name}")
    _render_table(rows, title=title, view=view, keys=keys)
    share = get_share(result.coverage)
    said = [] if share is None else [f"Coverage: {format_coverage(share)} of what was due in the window was evaluated."]
    raw = int(rows["raw_reviewed"].fill_null(0).sum())
    said.append(
        f"Raw figures divide by whatever was reviewed ({format_count(raw)} verdicts, also those outside random samples): "
        "they describe the queue, not the traffic, and have no interval."
    )
    st.caption(inert(" ".join((*said, *result.notes)), limit=900))


def _current(view: View) -> dict[str, dict[str, float | None]]:
    """Today's rates over the whole of the view's traffic, by the target of a plan."""
    query = data.build_query(view)
    found: dict[str, dict[str, float | None]] = {}
    for report in ("errors", "prevalence"):
        rows = data.report(report, query).rows
        found |= {name: rows[name][0] for name in TARGETS if name in rows.columns and rows.height}
    return found


def _name_rows(rows: pl.DataFrame, keys: tuple[str, ...]) -> pl.DataFrame:
    titles = {**LAYER_TITLES, **HAZARDS}
    parts = [pl.col(key).replace(titles).fill_null("not logged") for key in keys]
    return rows.with_columns(name=pl.concat_str(parts, separator=" @ ")).filter(pl.col("reviewed") > 0)


def _render_table(rows: pl.DataFrame, *, title: str, view: View, keys: tuple[str, ...]) -> None:
    shown = rows.select(
        pl.col("name").map_elements(plain, return_dtype=pl.String),
        "reviewed",
        *(pl.col(rate).map_elements(format_rate, return_dtype=pl.String, skip_nulls=False) for rate in RATES),
        "average_precision",
        *(pl.col(name) * 100 for name in RAW.values()),
    )
    event = st.dataframe(
        shown,
        key="quality_table",
        hide_index=True,
        height="content",
        on_select="rerun",
        selection_mode="single-row",
        placeholder="–",
        alt="Error rates with intervals, and raw figures beside them",
        column_order=[
            "name",
            "reviewed",
            *(column for rate in RATES for column in (rate, RAW.get(rate)) if column),
            "average_precision",
        ],
        column_config={
            "name": st.column_config.TextColumn(title, pinned=True),
            "reviewed": st.column_config.NumberColumn(
                "Reviewed", format="localized", width=80, help="Turns of random samples with a verdict"
            ),
            **{rate: st.column_config.TextColumn(name, help=meaning) for rate, (name, meaning) in RATES.items()},
            "average_precision": st.column_config.NumberColumn(
                "Average precision", format="%.3f", help="Area under precision against recall, from logged scores"
            ),
            **{
                name: st.column_config.NumberColumn(
                    "Raw, biased", format="%.1f %%", width=85, help="The same over whatever was reviewed, unweighted"
                )
                for name in RAW.values()
            },
        },
    )
    chosen = event["selection"]["rows"]
    if chosen:
        _render_way(rows.row(chosen[0], named=True), view=view, keys=keys)


def _render_way(row: dict[str, Any], *, view: View, keys: tuple[str, ...]) -> None:
    """Where the chosen row leads: a filter to its page, a part of the traffic to this page about it alone."""
    value = row[keys[0]]
    window = {"window": view.window} if view.window != "custom" else {}
    if value and keys[0] == "filter_name":
        st.page_link(
            get_path("filters"),
            label=f"Open {inert(value)} on Filters",
            icon=":material/filter_alt:",
            query_params={**window, "show": value},
        )
    elif value and keys[0] in FILTER_KEYS.values():
        key = next(key for key, dimension in FILTER_KEYS.items() if dimension == keys[0])
        st.page_link(
            get_path("quality"),
            label=f"Show {inert(row['name'])} alone",
            icon=":material/filter_alt:",
            query_params={**window, key: value},
        )
