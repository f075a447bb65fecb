"""Violation rates of a stress test, before and after, with their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import polars as pl

from dashboard.charts.common import AnyChart, compose, make_plain, no_data
from dashboard.theme import ACCENT, GREY, format_interval, format_percent

TITLE = "Violation rate per principle"
_ROW_PX, _CHROME_PX = 36, 90
_SHAPES = ("circle", "diamond")


def build_stress(rows: Sequence[Mapping[str, Any]], *, before: str, after: str | None) -> AnyChart:
    """A point with its interval per principle and run.

    Args:
        rows: `StressReport.rows`.
        before: Name of the first run.
        after: Name of the second; None when there is but one.
    """
    runs = {"before": before} | ({"after": after} if after else {})
    points = [
        (row["principle_id"], name, rate["estimate"], rate["low"], rate["high"], _describe(rate))
        for row in rows
        for side, name in runs.items()
        if (rate := row[side]) is not None and rate["estimate"] is not None
    ]
    if not points:
        return no_data(
            TITLE, "no answer was judged yet, by people or by the critique model", height=_CHROME_PX + _ROW_PX
        )
    schema = ("principle", "run", "estimate", "low", "high", "rate")
    frame = make_plain(pl.DataFrame(points, schema=schema, orient="row"), "principle", "run")
    order = frame["principle"].unique(maintain_order=True).to_list()
    names = frame["run"].unique(maintain_order=True).to_list()
    y = alt.Y("principle:N", sort=order, title=None, axis=alt.Axis(ticks=False, domain=False))
    offset = alt.YOffset("run:N", sort=names)
    scale = alt.Scale(domain=names, range=[GREY, ACCENT][: len(names)])
    colour = alt.Color("run:N", scale=scale, legend=alt.Legend(title="Run", orient="top"), sort=names)
    axis = alt.Axis(format=".0%", tickCount=10)
    base = alt.Chart(frame)
    bars = base.mark_rule(strokeWidth=2).encode(
        y=y,
        yOffset=offset,
        x=alt.X("low:Q", title="share of judged answers", scale=alt.Scale(domain=[0, 1]), axis=axis),
        x2="high:Q",
        color=colour,
    )
    marks = base.mark_point(filled=True, size=80, opacity=1).encode(
        y=y,
        yOffset=offset,
        x="estimate:Q",
        color=colour,
        shape=alt.Shape("run:N", scale=alt.Scale(domain=names, range=list(_SHAPES[: len(names)])), legend=None),
        tooltip=[alt.Tooltip("principle:N"), alt.Tooltip("run:N"), alt.Tooltip("rate:N")],
    )
    said = "; ".join(f"{row['principle']} {row['run']} {row['rate']}" for row in frame.iter_rows(named=True))
    return compose(
        bars,
        marks,
        title=TITLE,
        subtitle="answers that broke the attacked principle / judged answers, 95 % interval",
        description=f"{TITLE}: {said}",
        height=_CHROME_PX + _ROW_PX * len(order),
    )


def _describe(rate: Mapping[str, Any]) -> str:
    return f"{format_percent(rate['estimate'])} ({format_interval(rate)}), n {rate['n']}"
