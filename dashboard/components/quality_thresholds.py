"""What a filter would do at another threshold: a slider, the numbers that move with it, and the curves."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import polars as pl
import streamlit as st

from dashboard import data
from dashboard.charts.thresholds import build_precision_recall, build_rates_by_threshold
from dashboard.components.chart import render_chart
from dashboard.components.coverage import measure_filter, render_badge
from dashboard.components.empty import render_empty
from dashboard.components.loading import loading
from dashboard.components.moves import render_moves
from dashboard.components.tiles import describe_rate
from dashboard.components.workbench_change import render_threshold_proposal
from dashboard.state import View
from dashboard.text import plain
from dashboard.theme import format_count
from metrics.scores import name_level, score_histogram
from metrics.thresholds import find_smallest
from metrics.whatif import FilterChange

_NUMBERS = {
    "precision": ("Precision", "harmful / triggered, among triggers"),
    "recall": ("Recall", "triggered / harmful, among harmful turns with a score"),
    "benign_blocked_rate": ("Benign blocked", "triggered / benign, among benign turns with a score"),
}
_BUDGET, _DEFAULT_BUDGET = "threshold_budget", 1.0
_BUDGET_HELP = "The largest share of benign turns that may trigger; the interval's upper bound must stay within it"
_UNKNOWN = (
    "Turns of the same time without a score, most of them because an earlier layer stopped them: what this filter would say "
    "about them is unknown"
)


@dataclass(frozen=True, slots=True)
class _Scale:
    """One filter version's scores: its title, the threshold in force (None where none was logged), their kind."""

    title: str
    current: float | None
    kind: str | None

    @property
    def key(self) -> str:
        """Of the slider."""
        return f"threshold_{self.title}"

    def name(self, value: float) -> str:
        """A score for people."""
        return name_level(value, self.kind)


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
    budget = st.session_state.get(_BUDGET, _DEFAULT_BUDGET) or 0.0
    rows = data.report("thresholds", replace(query, budget=budget / 100)).rows
    if rows.height < 2:
        render_empty("This filter gives one score only", "A threshold needs scores to choose between.")
        return
    scale = _Scale(titles[place or 0], chosen["threshold"], chosen["score_kind"])
    threshold = _render_what_if(rows, scale, measure_filter(query))
    if chosen["filter_name"] is not None:
        st.markdown("**Turns that would be decided otherwise**")
        change = FilterChange(chosen["filter_name"], filter_version=chosen["filter_version"], threshold=threshold)
        render_moves(change, query, key="threshold_moves")
        render_threshold_proposal(change)


def _list_scales(histogram: pl.DataFrame) -> pl.DataFrame:
    """Filters and versions with scores, busiest first, with the threshold in force."""
    return (
        histogram.group_by("filter_name", "filter_version")
        .agg(pl.col("checks").sum(), pl.col("threshold").max(), pl.col("score_kind").max())
        .sort("checks", "filter_name", "filter_version", descending=[True, False, False])
    )


def _render_what_if(rows: pl.DataFrame, scale: _Scale, coverage: float | None) -> float:
    """Draws slider, budget, numbers and curves; returns the chosen threshold."""
    steps = rows["threshold"].to_list()
    start = _nearest(steps, scale.current) if scale.current is not None else steps[len(steps) // 2]
    left, right = st.columns([3, 1], gap="medium", vertical_alignment="bottom")
    with right:
        st.number_input(
            "Budget: benign blocked, %", 0.0, 100.0, _DEFAULT_BUDGET, 0.1, format="%g", key=_BUDGET, help=_BUDGET_HELP
        )
    with left:
        # The key names the scale, so that another filter starts at its own threshold.
        threshold = st.select_slider("Threshold", steps, value=start, format_func=scale.name, key=scale.key)
    _render_budget(rows, scale)
    row = rows.filter(pl.col("threshold") == threshold).row(0, named=True)
    before = rows.filter(pl.col("threshold") == start).row(0, named=True) if scale.current is not None else None
    _render_numbers(row, before, coverage)
    left, right = st.columns(2, gap="medium")
    with left:
        render_chart(build_rates_by_threshold(rows, chosen=threshold, current=scale.current), key="threshold_rates")
    with right:
        render_chart(build_precision_recall(rows, chosen=threshold), key="threshold_curve")
    return float(threshold)


def _render_budget(rows: pl.DataFrame, scale: _Scale) -> None:
    smallest = find_smallest(rows)
    if smallest is None:
        st.caption("No threshold is known to keep the benign-blocked rate within the budget: review more turns.")
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(
            f"{scale.name(smallest)} is the smallest threshold whose benign-blocked rate stays within the budget, "
            "upper bound included.",
            width="content",
        )
        st.button(
            "Move the slider there",
            key="threshold_to_budget",
            type="tertiary",
            icon=":material/straighten:",
            on_click=_move_slider,
            args=(scale.key, smallest),
        )


def _move_slider(key: str, threshold: float) -> None:
    st.session_state[key] = threshold


def _render_numbers(row: dict[str, Any], before: dict[str, Any] | None, coverage: float | None) -> None:
    columns = iter(st.columns(2 + len(_NUMBERS)))
    with next(columns).container(border=True, gap="xsmall", height="stretch"):
        moved = row["triggers"] - before["triggers"] if before else 0
        st.metric("Triggers", format_count(row["triggers"]), delta=f"{moved:+,}" if moved else None, delta_color="off")
        st.caption(f"{row['triggers_per_day']:,.1f} a day, counted")
        render_badge(coverage)
    for name, (title, meaning) in _NUMBERS.items():
        with next(columns).container(border=True, gap="xsmall", height="stretch"):
            value, basis = describe_rate(
                row[name], noun="reviews", min_sample=data.home().settings.statistics.min_sample
            )
            st.metric(title, value, help=meaning)
            st.caption(basis)
            render_badge(coverage)
    with next(columns).container(border=True, gap="xsmall", height="stretch"):
        st.metric("Unknown", format_count(row["unknown"]), help=_UNKNOWN)
        st.caption("turns without a score: neither pass nor trigger")


def _nearest(steps: list[float], wanted: float) -> float:
    return min(steps, key=lambda step: abs(step - wanted))
