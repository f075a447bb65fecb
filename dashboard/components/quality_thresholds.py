"""What a filter would do at another threshold: a slider, the numbers that move with it, and the curves."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import polars as pl
import streamlit as st

from dashboard import data
from dashboard.charts.thresholds import build_precision_recall, build_rates_by_threshold
from dashboard.components.chart import render_chart
from dashboard.components.empty import render_empty
from dashboard.components.loading import loading
from dashboard.components.tiles import describe_rate
from dashboard.state import View
from dashboard.text import plain
from dashboard.theme import format_count
from metrics.scores import score_histogram

_NUMBERS = {
    "precision": ("Precision", "harmful / triggered, among triggers"),
    "recall": ("Recall", "triggered / harmful, among harmful turns with a score"),
    "benign_blocked_rate": ("Benign blocked", "triggered / benign, among benign turns with a score"),
}


def render_thresholds(view: View) -> None:
    """Draws the section within the view's window and filters."""
    with loading("quality_thresholds", height=400):
        scales = _list_scales(data.read(score_histogram, data.build_query(view)))
    if scales.is_empty():
        render_empty("No filter logged a score in this window", data.explain_empty(view), icon=":material/tune:")
        return
    places = range(scales.height)
    titles = [
        f"{plain(name or 'not logged')} @ {plain(version or 'no version')}"
        for name, version in scales.select("filter_name", "filter_version").rows()
    ]
    place = st.selectbox("Filter and version", places, format_func=lambda index: titles[index], key="threshold_filter")
    chosen = scales.row(place or 0, named=True)
    filters = (("filter_name", chosen["filter_name"] or ""), ("filter_version", chosen["filter_version"] or ""))
    query = data.build_query(replace(view, filter=()), filters=filters)
    rows = data.report("thresholds", query).rows
    if rows.height < 2:
        render_empty("This filter gives one score only", "A threshold needs scores to choose between.")
        return
    _render_what_if(rows, titles[place or 0], chosen["threshold"], days=_count_days(view))


def _list_scales(histogram: pl.DataFrame) -> pl.DataFrame:
    """Filters and versions with scores, busiest first, with the threshold in force."""
    return (
        histogram.group_by("filter_name", "filter_version")
        .agg(pl.col("checks").sum(), pl.col("threshold").max())
        .sort("checks", "filter_name", "filter_version", descending=[True, False, False])
    )


def _count_days(view: View) -> float | None:
    length = data.resolve_window(view).length
    return None if length is None else length.total_seconds() / 86_400


def _render_what_if(rows: pl.DataFrame, title: str, current: float | None, *, days: float | None) -> None:
    steps = rows["threshold"].to_list()
    start = _nearest(steps, current) if current is not None else steps[len(steps) // 2]
    # The key names the scale, so that another filter starts at its own threshold.
    threshold = st.select_slider(
        "Threshold", steps, value=start, format_func=lambda value: f"{value:g}", key=f"threshold_{title}"
    )
    row = rows.filter(pl.col("threshold") == threshold).row(0, named=True)
    before = rows.filter(pl.col("threshold") == start).row(0, named=True) if current is not None else None
    _render_numbers(row, before, days=days)
    left, right = st.columns(2, gap="medium")
    with left:
        render_chart(build_rates_by_threshold(rows, chosen=threshold, current=current), key="threshold_rates")
    with right:
        render_chart(build_precision_recall(rows, chosen=threshold), key="threshold_curve")
    if row["unknown"]:
        st.caption(
            f"{format_count(row['unknown'])} turns of the same time have no score, most of them because an earlier layer "
            "stopped them: what this filter would say about them is unknown, and they count as neither."
        )


def _render_numbers(row: dict[str, Any], before: dict[str, Any] | None, *, days: float | None) -> None:
    columns = iter(st.columns(1 + len(_NUMBERS)))
    with next(columns).container(border=True, gap="xsmall", height="stretch"):
        moved = row["triggers"] - before["triggers"] if before else 0
        st.metric("Triggers", format_count(row["triggers"]), delta=f"{moved:+,}" if moved else None, delta_color="off")
        st.caption(f"{row['triggers'] / days:,.1f} a day, counted" if days else "counted over all logged scores")
    for name, (title, meaning) in _NUMBERS.items():
        with next(columns).container(border=True, gap="xsmall", height="stretch"):
            value, basis = describe_rate(
                row[name], noun="reviews", min_sample=data.home().settings.statistics.min_sample
            )
            st.metric(title, value, help=meaning)
            st.caption(basis)


def _nearest(steps: list[float], wanted: float) -> float:
    return min(steps, key=lambda step: abs(step - wanted))
