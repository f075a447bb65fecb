"""Marks small enough for a tile: a trend without axes, an interval on its scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import polars as pl

from dashboard.charts.common import AnyChart
from dashboard.theme import ACCENT, GREY

HEIGHT = 44


def build_spark(values: Sequence[float], *, words: str) -> AnyChart:
    """A zero-based trend; the tile beside it says what and how much.

    Args:
        values: In time order.
        words: What it shows, for screen readers.
    """
    rows = pl.DataFrame({"step": range(len(values)), "value": pl.Series(values, dtype=pl.Float64)})
    base = alt.Chart(rows).encode(
        x=alt.X("step:Q", axis=None, scale=alt.Scale(nice=False)),
        y=alt.Y("value:Q", axis=None, scale=alt.Scale(zero=True)),
    )
    area = base.mark_area(color=ACCENT, opacity=0.14)
    line = base.mark_line(color=ACCENT, strokeWidth=1.5)
    return alt.layer(area, line).properties(height=HEIGHT, description=f"Trend of {words}")


def build_interval(rate: Mapping[str, Any], *, words: str) -> AnyChart:
    """A rate's estimate and interval on the scale from 0 to 100 %.

    Args:
        rate: A rate record with an estimate.
        words: What it shows, for screen readers.
    """
    rows = pl.DataFrame(
        {name: [float(rate[name])] for name in ("estimate", "low", "high")} | {"zero": [0.0], "one": [1.0]}
    )
    base = alt.Chart(rows)
    scale = alt.Scale(domain=[0, 1])
    track = base.mark_rule(color=GREY, opacity=0.35, strokeWidth=4, strokeCap="round").encode(
        x=alt.X(
            "zero:Q",
            scale=scale,
            axis=alt.Axis(format="%", values=[0, 0.5, 1], title=None, grid=False, domain=False, ticks=False),
        ),
        x2="one:Q",
    )
    whisker = base.mark_rule(color=ACCENT, opacity=0.55, strokeWidth=6, strokeCap="round").encode(
        x="low:Q", x2="high:Q"
    )
    dot = base.mark_point(color=ACCENT, filled=True, size=80, opacity=1).encode(x="estimate:Q")
    return alt.layer(track, whisker, dot).properties(
        height=HEIGHT,
        description=f"{words}: {rate['estimate']:.1%}, 95 % interval {rate['low']:.1%} to {rate['high']:.1%}",
    )
