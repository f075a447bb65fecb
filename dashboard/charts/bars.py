"""Ranked bars: counts, or rates with their interval, per category, rule or version."""

from __future__ import annotations

import altair as alt
import polars as pl

from dashboard.charts.common import AnyChart, compose, make_plain, no_data
from dashboard.theme import ACCENT, GREY, format_count, format_interval, format_percent

ROW_PX = 26
CHROME_PX = 76
MAX_BARS = 12


def build_counts(
    frame: pl.DataFrame, *, by: str, count: str, title: str, unit: str, reason: str, colour: str = ACCENT
) -> AnyChart:
    """The largest counts, one bar each with its number.

    Args:
        frame: Columns `by` (logged text) and `count`.
        by: What a bar is.
        count: The column counted.
        title: What is shown.
        unit: What is counted.
        reason: Why there is nothing, if there is nothing.
        colour: Of the bars.
    """
    rows = frame.filter(pl.col(count) > 0).sort([count, by], descending=[True, False], nulls_last=True)
    if rows.is_empty():
        return no_data(title, reason, height=CHROME_PX + 2 * ROW_PX)
    total, hidden = int(rows[count].sum()), max(0, rows.height - MAX_BARS)
    rows = make_plain(rows.head(MAX_BARS).select(by, count), by).with_columns(
        words=pl.col(count).map_elements(format_count, return_dtype=pl.String)
    )
    y = alt.Y(
        f"{by}:N",
        sort=rows[by].to_list(),
        title=None,
        axis=alt.Axis(labelLimit=180, ticks=False, domain=False, labelOverlap=False),
    )
    most = float(rows[count].to_list()[0])
    x = alt.X(f"{count}:Q", scale=alt.Scale(domain=[0, most * 1.15]), axis=None)
    base = alt.Chart(rows)
    bars = base.mark_bar(color=colour, height={"band": 0.65}).encode(
        y=y, x=x, tooltip=[alt.Tooltip(f"{by}:N"), alt.Tooltip(f"{count}:Q", format=",")]
    )
    words = base.mark_text(align="left", dx=5, fontSize=12).encode(y=y, x=x, text="words:N")
    more = f" · {hidden} more not shown" if hidden else ""
    return compose(
        bars,
        words,
        title=title,
        subtitle=f"{unit} · n {total:,}{more}",
        description=f"{title}: " + ", ".join(f"{row[by]} {row['words']}" for row in rows.iter_rows(named=True)),
        height=CHROME_PX + ROW_PX * rows.height,
    )


def build_rates(frame: pl.DataFrame, *, by: str, rate: str, title: str, unit: str, reason: str) -> AnyChart:
    """Rates with their intervals, one dot and whisker each.

    Args:
        frame: Columns `by` (logged text) and `rate` (rate records).
        by: What a row is.
        rate: The column of rate records.
        title: What is shown.
        unit: The definition of the rate.
        reason: Why there is nothing, if there is nothing.
    """
    rows = frame.select(by, rate).unnest(rate).drop_nulls("estimate")
    if rows.is_empty():
        return no_data(title, reason, height=CHROME_PX + 2 * ROW_PX)
    rows = rows.sort(["estimate", by], descending=[True, False], nulls_last=True)
    hidden = max(0, rows.height - MAX_BARS)
    rows = make_plain(rows.head(MAX_BARS), by).with_columns(
        words=pl.struct("estimate", "low", "high", "n").map_elements(
            lambda row: f"{format_percent(row['estimate'])} ({format_interval(row)}) · n {format_count(row['n'])}",
            return_dtype=pl.String,
        )
    )
    widest = float(rows["high"].fill_null(0).sort().to_list()[-1])
    y = alt.Y(
        f"{by}:N",
        sort=rows[by].to_list(),
        title=None,
        axis=alt.Axis(labelLimit=180, ticks=False, domain=False, labelOverlap=False),
    )
    x = alt.X("low:Q", scale=alt.Scale(domain=[0, max(widest * 1.9, 0.001)]), axis=None)
    base = alt.Chart(rows)
    whisker = base.mark_rule(color=GREY, strokeWidth=2).encode(y=y, x=x, x2="high:Q")
    dot = base.mark_point(color=ACCENT, filled=True, size=70, opacity=1).encode(
        y=y,
        x="estimate:Q",
        tooltip=[
            alt.Tooltip(f"{by}:N"),
            alt.Tooltip("words:N", title=unit),
            alt.Tooltip("numerator:Q", format=","),
            alt.Tooltip("denominator:Q", format=","),
        ],
    )
    words = base.mark_text(align="left", dx=8, fontSize=12).encode(y=y, x="high:Q", text="words:N")
    more = f" · {hidden} more not shown" if hidden else ""
    return compose(
        whisker,
        dot,
        words,
        title=title,
        subtitle=f"{unit}, 95 % interval{more}",
        description=f"{title}: " + ", ".join(f"{row[by]} {row['words']}" for row in rows.iter_rows(named=True)),
        height=CHROME_PX + ROW_PX * rows.height,
    )
