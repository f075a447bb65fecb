"""Benign turns blocked against harm missed: every point with a cross for its intervals, the frontier marked."""

from __future__ import annotations

import altair as alt
import polars as pl

from dashboard.charts.common import AnyChart, compose, make_plain, no_data
from dashboard.theme import ACCENT, GREEN, GREY, PURPLE, VERMILION

KINDS = {
    "threshold": ("threshold", ACCENT, "circle"),
    "version": ("version as it decided", VERMILION, "diamond"),
    "arm": ("experiment arm", PURPLE, "triangle-up"),
    "cascade": ("cascade", GREEN, "square"),
}
_RATES = {"benign_blocked_rate": "blocked", "missed_harm_rate": "missed"}


def build_frontier(frame: pl.DataFrame, *, title: str, height: int = 420) -> AnyChart:
    """The points of one filter, or of the cascade.

    Args:
        frame: Rows of the report `frontier`.
        title: What is shown.
        height: Pixels.
    """
    rows = _flatten(frame)
    if rows.is_empty():
        return no_data(title, "no point has enough reviews", height=height)
    # Square-root scaled: what matters lies at small shares.
    scale = alt.Scale(type="sqrt", domainMin=0, nice=True)
    axis = alt.Axis(format="~%", tickCount=6)
    x = alt.X("blocked:Q", title="benign turns blocked", scale=scale, axis=axis)
    y = alt.Y("missed:Q", title="harm missed", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="~%", tickCount=5))
    kinds = [kind for key, kind in KINDS.items() if key in rows["point"]]
    names = [name for name, _, _ in kinds]
    colour = alt.Color(
        "kind:N",
        scale=alt.Scale(domain=names, range=[colour for _, colour, _ in kinds]),
        legend=alt.Legend(title=None, orient="top", direction="horizontal", symbolOpacity=1),
    )
    shape = alt.Shape("kind:N", scale=alt.Scale(domain=names, range=[shape for _, _, shape in kinds]), legend=None)
    faint = alt.condition("datum.on_frontier", alt.value(0.45), alt.value(0.15))
    base = alt.Chart(rows)
    across = base.mark_rule(strokeWidth=1.2).encode(
        x=alt.X("blocked_low:Q", scale=scale), x2="blocked_high:Q", y=y, color=colour, opacity=faint
    )
    upright = base.mark_rule(strokeWidth=1.2).encode(
        x=x, y="missed_low:Q", y2="missed_high:Q", color=colour, opacity=faint
    )
    steps = (
        base.transform_filter("datum.on_frontier")
        .mark_line(color=GREY, strokeDash=[4, 3], interpolate="step-after", strokeWidth=1.2)
        .encode(x=x, y=y, order="blocked:Q")
    )
    points = base.mark_point(filled=True, strokeWidth=0).encode(
        x=x,
        y=y,
        color=colour,
        shape=shape,
        size=alt.condition("datum.point == 'threshold'", alt.value(35), alt.value(150)),
        opacity=alt.condition("datum.on_frontier || datum.point != 'threshold'", alt.value(1), alt.value(0.35)),
        tooltip=[
            alt.Tooltip("name:N", title="point"),
            alt.Tooltip("blocked:Q", title="benign blocked", format=".2%"),
            alt.Tooltip("missed:Q", title="harm missed", format=".1%"),
            alt.Tooltip("reviewed:Q", format=","),
            alt.Tooltip("on_frontier:N", title="on the frontier"),
        ],
    )
    labels = (
        base.transform_filter("datum.point == 'version' || datum.point == 'cascade'")
        .mark_text(align="left", dx=9, dy=-9, fontSize=12)
        .encode(x=x, y=y, text="name:N")
    )
    best = int(rows["on_frontier"].sum())
    words = (
        f"crosses are 95 % intervals · dashed: the frontier, {best} of {rows.height} points · left and down is better"
    )
    return compose(
        across,
        upright,
        steps,
        points,
        labels,
        title=title,
        subtitle=words,
        description=f"{title}: benign turns blocked against harm missed; {words}",
        height=height,
    )


def name_points(frame: pl.DataFrame) -> pl.DataFrame:
    """`frame` with `name`: what a point is, in words; logged text is made plain."""
    shown = make_plain(frame, "filter_version", "arm")
    version = pl.when(frame["filter_version"].is_null()).then(pl.lit("as logged")).otherwise(pl.col("filter_version"))
    point = pl.col("point")
    return shown.with_columns(
        name=pl.when(point == "cascade")
        .then(pl.lit("cascade"))
        .when((point == "arm") & pl.col("filter_name").is_null())
        .then(pl.format("arm {}", "arm"))
        .when(point == "arm")
        .then(pl.format("{} · arm {}", version, "arm"))
        .when(point == "threshold")
        .then(pl.format("{} from {} on", version, "threshold"))
        .otherwise(version)
    )


def _flatten(frame: pl.DataFrame) -> pl.DataFrame:
    """One row per point with both rates: point, kind, name, reviewed, on_frontier, and blocked and missed with their bounds."""
    parts = [
        pl.col(rate).struct.field(part).alias(name if part == "estimate" else f"{name}_{part}")
        for rate, name in _RATES.items()
        for part in ("estimate", "low", "high")
    ]
    kind = pl.col("point").replace_strict({key: name for key, (name, _, _) in KINDS.items()}, return_dtype=pl.String)
    return (
        name_points(frame)
        .select("point", "name", "reviewed", "on_frontier", *parts, kind=kind)
        .drop_nulls(["blocked", "missed"])
    )
