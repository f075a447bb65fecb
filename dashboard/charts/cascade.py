"""The cascade: how many turns reach each layer, and how turns end."""

from __future__ import annotations

import altair as alt
import polars as pl

from dashboard.charts.common import AnyChart, compose, make_plain, no_data
from dashboard.theme import (
    GREY,
    LAYER_TITLES,
    OUTCOME_COLOURS,
    OUTCOME_TITLES,
    format_count,
    format_percent,
    get_layer_colour,
)

ROW_PX = 30
CHROME_PX = 70


def build_funnel(frame: pl.DataFrame, *, reason: str = "no enforced checks in this window") -> AnyChart:
    """Turns that reached each layer in cascade order, with those that it triggered on in front.

    Args:
        frame: Rows of the report `funnel`: layer, reached, triggered, stopped, unique_catches.
        reason: Why there is nothing, if there is nothing.
    """
    title = "Cascade"
    if frame.is_empty() or frame["reached"].sum() == 0:
        return no_data(title, reason, height=CHROME_PX + 4 * ROW_PX)
    rows = make_plain(frame, "layer").with_columns(
        name=pl.col("layer").replace(dict(LAYER_TITLES)),
        rate=pl.col("triggered") / pl.col("reached"),
    )
    rows = rows.with_columns(
        words=pl.struct("reached", "triggered", "stopped", "rate").map_elements(
            lambda row: (
                f"{format_percent(row['rate'])} triggered · {format_count(row['stopped'])} stopped"
                if row["reached"]
                else "not reached"
            ),
            return_dtype=pl.String,
        )
    )
    order = rows["name"].to_list()
    most = max(map(float, rows["reached"].to_list()))
    y = alt.Y(
        "name:N", sort=order, title=None, axis=alt.Axis(labelLimit=120, ticks=False, domain=False, labelOverlap=False)
    )
    scale = alt.Scale(domain=[0, most * 1.02])
    tooltip = [
        alt.Tooltip("name:N", title="layer"),
        alt.Tooltip("reached:Q", title="turns that reached it", format=","),
        alt.Tooltip("triggered:Q", title="triggered on", format=","),
        alt.Tooltip("stopped:Q", title="stopped", format=","),
        alt.Tooltip("unique_catches:Q", title="caught by it alone", format=","),
    ]
    base = alt.Chart(rows)
    reached = base.mark_bar(color=GREY, opacity=0.28, height={"band": 0.62}).encode(
        y=y, x=alt.X("reached:Q", scale=scale, axis=None), tooltip=tooltip
    )
    triggered = base.mark_bar(height={"band": 0.62}).encode(
        y=y,
        x="triggered:Q",
        color=alt.Color(
            "name:N",
            scale=alt.Scale(domain=order, range=[get_layer_colour(layer) for layer in rows["layer"]]),
            legend=None,
        ),
        tooltip=tooltip,
    )
    words = base.mark_text(align="left", dx=8, fontSize=12, baseline="middle").encode(
        y=y, x=alt.X("triggered:Q"), text="words:N"
    )
    first = rows.row(0, named=True)
    return compose(
        reached,
        triggered,
        words,
        title=title,
        subtitle=f"turns in cascade order · n {format_count(most)} turns",
        description="Cascade: "
        + ", ".join(f"{row['name']} {row['words']}" for row in rows.iter_rows(named=True))
        + f". {format_count(first['reached'])} turns reached the first layer.",
        height=CHROME_PX + ROW_PX * rows.height,
    )


def build_outcomes(frame: pl.DataFrame, *, reason: str = "no turns in this window") -> AnyChart:
    """How turns ended, one bar per outcome.

    Args:
        frame: Rows of the report `outcomes`: outcome, turns.
        reason: Why there is nothing, if there is nothing.
    """
    title = "How turns ended"
    if frame.is_empty() or frame["turns"].sum() == 0:
        return no_data(title, reason, height=CHROME_PX + 4 * ROW_PX)
    total = int(frame["turns"].sum())
    known = list(OUTCOME_COLOURS)
    rows = (
        make_plain(frame.select("outcome", "turns"), "outcome")
        .with_columns(
            part=pl.col("turns") / total,
            rank=pl.col("outcome").map_elements(
                lambda value: known.index(value) if value in known else len(known), return_dtype=pl.Int64
            ),
        )
        .sort("rank", "outcome")
        .with_columns(
            title=pl.col("outcome").replace(dict(OUTCOME_TITLES)),
            words=pl.struct("turns", "part").map_elements(
                lambda row: f"{format_percent(row['part'])} · {format_count(row['turns'])}", return_dtype=pl.String
            ),
        )
    )
    base = alt.Chart(rows)
    y = alt.Y(
        "title:N",
        sort=rows["title"].to_list(),
        title=None,
        axis=alt.Axis(labelLimit=180, ticks=False, domain=False, labelOverlap=False),
    )
    x = alt.X("part:Q", scale=alt.Scale(domain=[0, 1.65]), axis=None)
    bars = base.mark_bar(height={"band": 0.62}).encode(
        y=y,
        x=x,
        color=alt.Color(
            "outcome:N",
            scale=alt.Scale(
                domain=rows["outcome"].to_list(),
                range=[OUTCOME_COLOURS.get(outcome, GREY) for outcome in rows["outcome"]],
            ),
            legend=None,
        ),
        tooltip=[
            alt.Tooltip("title:N", title="outcome"),
            alt.Tooltip("turns:Q", format=","),
            alt.Tooltip("part:Q", title="share", format=".2~%"),
        ],
    )
    words = base.mark_text(align="left", dx=6, fontSize=12).encode(y=y, x=x, text="words:N")
    return compose(
        bars,
        words,
        title=title,
        subtitle=f"share of turns · n {total:,}",
        description="How turns ended: "
        + ", ".join(f"{row['title']} {row['words']}" for row in rows.iter_rows(named=True)),
        height=CHROME_PX + ROW_PX * rows.height,
    )
