"""How long a filter takes."""

from __future__ import annotations

import altair as alt
import polars as pl

from dashboard.charts.common import AnyChart, compose, limit_marks, no_data, time_axis
from dashboard.theme import ACCENT, ORANGE

SERIES = {"p50_ms": ("median", ACCENT, (1, 0)), "p95_ms": ("95th percentile", ORANGE, (5, 3))}


def build_latency(
    frame: pl.DataFrame,
    *,
    period: str,
    zone_name: str,
    reason: str = "no check of this window logged its time",
    height: int = 220,
) -> AnyChart:
    """Median and 95th percentile over time.

    Args:
        frame: Rows of the report `latency` by `hour` or `day`: that column, p50_ms, p95_ms, measured.
        period: The time column.
        zone_name: Time zone of that column.
        reason: Why there is nothing, if there is nothing.
        height: Pixels.
    """
    title = "Latency"
    frame = frame.drop_nulls("p50_ms")
    if frame.is_empty():
        return no_data(title, reason, height=height)
    rows = limit_marks(
        frame.unpivot(list(SERIES), index=[period], variable_name="quantile", value_name="ms").with_columns(
            pl.col("quantile").replace({key: words for key, (words, _, _) in SERIES.items()})
        )
    ).sort("quantile", period)
    names = [words for words, _, _ in SERIES.values()]
    line = (
        alt.Chart(rows)
        .mark_line(strokeWidth=1.8, point={"size": 22})
        .encode(
            x=alt.X(f"{period}:T", title=None, axis=time_axis()),
            y=alt.Y("ms:Q", title="milliseconds", scale=alt.Scale(domainMin=0, zero=True)),
            color=alt.Color(
                "quantile:N",
                scale=alt.Scale(domain=names, range=[colour for _, colour, _ in SERIES.values()]),
                legend=alt.Legend(title=None, orient="top", symbolType="stroke"),
            ),
            strokeDash=alt.StrokeDash(
                "quantile:N",
                scale=alt.Scale(domain=names, range=[list(dash) for _, _, dash in SERIES.values()]),
                legend=None,
            ),
            tooltip=[
                alt.Tooltip(f"{period}:T", title="from", format="%a %d %b %H:%M"),
                alt.Tooltip("quantile:N"),
                alt.Tooltip("ms:Q", format=".3~r"),
            ],
        )
    )
    total = int(frame["measured"].sum())
    return compose(
        line,
        title=title,
        subtitle=f"milliseconds per {period} · n {total:,} checks · times in {zone_name}",
        description=f"Latency per {period}: median about {_middle(frame, 'p50_ms')} ms, "
        f"95th percentile about {_middle(frame, 'p95_ms')} ms",
        height=height,
    )


def _middle(frame: pl.DataFrame, column: str) -> str:
    return f"{frame.select(pl.col(column).cast(pl.Float64).median()).item():.0f}"
