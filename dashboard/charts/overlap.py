"""Pairs of filters as a matrix, and what the layers of the cascade cost in time."""

from __future__ import annotations

import altair as alt
import polars as pl

from dashboard.charts.common import AnyChart, compose, make_plain, no_data
from dashboard.theme import ACCENT, GREY, LAYER_TITLES, format_count, format_ms, format_percent

CELL_PX = 34
ROW_PX = 34
CHROME_PX = 96
MAX_FILTERS = 12


def build_overlap(frame: pl.DataFrame, *, reason: str = "no two filters decided on the same turns") -> AnyChart:
    """Of the turns that the row's filter triggered on, the share that the column's filter triggered on as well.

    Args:
        frame: Rows of the report `overlap`: first, second, evaluated, first_triggered, second_triggered, both.
        reason: Why there is nothing, if there is nothing.
    """
    title = "Overlap between filters"
    fired = frame.filter(pl.col("first") == pl.col("second"), pl.col("both") > 0)
    names = fired["first"].head(MAX_FILTERS).to_list()
    pairs = frame.filter(pl.col("first").is_in(names), pl.col("second").is_in(names))
    if len(names) < 2:
        return no_data(title, reason, height=CHROME_PX + 3 * CELL_PX)
    there = pairs.select(row="first", column="second", of="first_triggered", both="both")
    back = pairs.filter(pl.col("first") != pl.col("second")).select(
        row="second", column="first", of="second_triggered", both="both"
    )
    rows = pl.concat([there, back]).with_columns(
        share=pl.when(pl.col("of") > 0).then(pl.col("both") / pl.col("of")), is_own=pl.col("row") == pl.col("column")
    )
    rows = rows.with_columns(
        words=pl.struct("share", "of", "is_own").map_elements(
            lambda row: format_count(row["of"]) if row["is_own"] else format_percent(row["share"]),
            return_dtype=pl.String,
        ),
        is_dark=pl.col("share").fill_null(0) > 0.55,
    )
    rows = make_plain(rows, "row", "column")
    order = make_plain(pl.DataFrame({"name": names}), "name")["name"].to_list()
    base = alt.Chart(rows).encode(
        x=alt.X(
            "column:N",
            sort=order,
            title=None,
            axis=alt.Axis(orient="top", labelAngle=-25, labelLimit=140, labelOverlap=False, domain=False, ticks=False),
        ),
        y=alt.Y("row:N", sort=order, title=None, axis=alt.Axis(labelLimit=160, domain=False, ticks=False)),
        tooltip=[
            alt.Tooltip("row:N", title="filter"),
            alt.Tooltip("column:N", title="and"),
            alt.Tooltip("of:Q", title="turns that the first triggered on", format=","),
            alt.Tooltip("both:Q", title="turns that both triggered on", format=","),
        ],
    )
    shared = base.transform_filter("!datum.is_own")
    cells = shared.mark_rect(color=ACCENT, stroke=GREY, strokeWidth=0.3).encode(
        opacity=alt.Opacity("share:Q", scale=alt.Scale(domain=[0, 1], range=[0.04, 1]), legend=None)
    )
    own = base.transform_filter("datum.is_own").mark_rect(color=GREY, opacity=0.18)
    dark = shared.transform_filter("datum.is_dark").mark_text(fontSize=12, color="#FFFFFF").encode(text="words:N")
    light = base.transform_filter("datum.is_own || !datum.is_dark").mark_text(fontSize=12).encode(text="words:N")
    said = ", ".join(
        f"{row['words']} of {row['row']} also {row['column']}"
        for row in rows.iter_rows(named=True)
        if not row["is_own"]
    )
    return compose(
        own,
        cells,
        light,
        dark,
        title=title,
        subtitle="of the row's triggers, also the column's, where both decided",
        description=f"{title}: {said}",
        height=CHROME_PX + 40 + CELL_PX * len(order),
    )


def build_added_time(frame: pl.DataFrame, *, reason: str = "no check logged its time") -> AnyChart:
    """The time that each layer adds to a turn: median as a dot, 95th percentile as the end of the line.

    Args:
        frame: Rows of the report `layers`: layer, turns, added_p50_ms, added_p95_ms.
        reason: Why there is nothing, if there is nothing.
    """
    title = "Time added by layer"
    rows = frame.drop_nulls("added_p50_ms")
    if rows.is_empty():
        return no_data(title, reason, height=CHROME_PX + 3 * ROW_PX)
    rows = make_plain(rows.with_columns(pl.col("layer").replace(dict(LAYER_TITLES))), "layer").with_columns(
        words=pl.struct("added_p50_ms", "added_p95_ms").map_elements(
            lambda row: f"{format_ms(row['added_p50_ms'])} · p95 {format_ms(row['added_p95_ms'])}",
            return_dtype=pl.String,
        )
    )
    most = max(map(float, rows["added_p95_ms"].to_list()))
    y = alt.Y(
        "layer:N", sort=rows["layer"].to_list(), title=None, axis=alt.Axis(labelLimit=120, ticks=False, domain=False)
    )
    scale = alt.Scale(domain=[0, max(most * 1.7, 0.1)])
    base = alt.Chart(rows)
    tooltip = [
        alt.Tooltip("layer:N"),
        alt.Tooltip("words:N", title="median"),
        alt.Tooltip("turns:Q", title="turns", format=","),
    ]
    line = base.mark_rule(color=GREY, strokeWidth=2).encode(
        y=y, x=alt.X("added_p50_ms:Q", scale=scale, axis=None), x2="added_p95_ms:Q", tooltip=tooltip
    )
    dot = base.mark_point(color=ACCENT, filled=True, size=70, opacity=1).encode(
        y=y, x="added_p50_ms:Q", tooltip=tooltip
    )
    words = base.mark_text(align="left", dx=8, fontSize=12).encode(y=y, x="added_p95_ms:Q", text="words:N")
    return compose(
        line,
        dot,
        words,
        title=title,
        subtitle=f"ms per turn, median to p95 · n {format_count(max(map(int, rows['turns'].to_list())))} turns",
        description=f"{title}: " + ", ".join(f"{row['layer']} {row['words']}" for row in rows.iter_rows(named=True)),
        height=CHROME_PX + ROW_PX * rows.height,
    )
