"""The interval that a number of further reviews is expected to buy."""

from __future__ import annotations

import altair as alt
import polars as pl

from dashboard.charts.common import AnyChart, compose, no_data
from dashboard.theme import ACCENT, GREY, format_count, format_interval, format_percent

HEIGHT = 300


def build_widths(frame: pl.DataFrame, *, title: str, unit: str, chosen: int, reason: str) -> AnyChart:
    """Expected estimate and interval against further reviews, the present interval at 0.

    Args:
        frame: Columns n (further reviews), estimate, low, high; one row per n, ascending.
        title: The rate.
        unit: Its definition.
        chosen: The budget in question, one of the n.
        reason: Why there is nothing, if there is nothing.
    """
    if frame.is_empty():
        return no_data(title, reason, height=HEIGHT)
    rows = frame.with_columns(
        words=pl.struct("estimate", "low", "high").map_elements(
            lambda row: f"{format_percent(row['estimate'])} ({format_interval(row)})", return_dtype=pl.String
        )
    )
    # Budgets double from point to point, so equal steps read like a logarithmic scale.
    rows = rows.with_columns(label=pl.col("n").map_elements(_name, return_dtype=pl.String))
    base = alt.Chart(rows)
    x = alt.X("label:O", title="further reviews", sort=rows["label"].to_list(), axis=alt.Axis(labelAngle=0, grid=False))
    tooltip = [alt.Tooltip("n:Q", title="further reviews", format=","), alt.Tooltip("words:N", title=title)]
    y = alt.Y("low:Q", title=None, axis=alt.Axis(format="%", tickCount=6), scale=alt.Scale(zero=True))
    band = base.mark_area(color=ACCENT, opacity=0.18).encode(x=x, y=y, y2="high:Q", tooltip=tooltip)
    line = base.mark_line(color=ACCENT, strokeWidth=2).encode(x=x, y="estimate:Q")
    whiskers = base.mark_rule(color=GREY).encode(x=x, y="low:Q", y2="high:Q", tooltip=tooltip)
    dots = base.mark_point(filled=True, size=60, opacity=1, color=ACCENT).encode(x=x, y="estimate:Q", tooltip=tooltip)
    marked = rows.filter(pl.col("n") == chosen)
    words = alt.Chart(marked).mark_text(dy=-6, fontSize=12, baseline="bottom").encode(x=x, y="high:Q", text="words:N")
    said = ", ".join(f"{format_count(row['n'])}: {row['words']}" for row in rows.iter_rows(named=True))
    return compose(
        band,
        whiskers,
        line,
        dots,
        words,
        title=f"{title}: interval to expect",
        subtitle=f"{unit}; 95 % interval",
        description=f"{title} by further reviews. {said}",
        height=HEIGHT,
    )


def _name(n: int) -> str:
    return format_count(n) if n else "now"
