"""Counts over time: a bar per period."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import altair as alt
import polars as pl

from dashboard.charts.common import HEIGHT, AnyChart, compose, limit_marks, no_data, time_axis
from dashboard.theme import ACCENT, format_count, format_duration, localise


def build_trigger_counts(frame: pl.DataFrame, *, bucket_s: int, zone: ZoneInfo, height: int = HEIGHT) -> AnyChart:
    """Triggers per period, for what logs only its hits and hence has no rate.

    Args:
        frame: Rows of `metrics.series.trigger_series`.
        bucket_s: Seconds per bar.
        zone: The reader's time zone; buckets are naive UTC.
        height: Pixels.
    """
    title = "Triggers over time"
    total = int(frame["triggered"].sum())
    if not total:
        return no_data(title, "no triggers in this window", height=height)
    rows = localise(limit_marks(frame.select("bucket", "triggered")), zone)
    bars = (
        alt.Chart(rows.with_columns(end=pl.col("bucket") + pl.duration(seconds=bucket_s), zero=pl.lit(0)))
        .mark_bar(color=ACCENT, binSpacing=1)
        .encode(
            x=alt.X("bucket:T", title=None, axis=time_axis()),
            x2="end:T",
            y=alt.Y("triggered:Q", title="triggers", axis=alt.Axis(tickCount=4, tickMinStep=1, format="~s")),
            y2="zero:Q",
            tooltip=[
                alt.Tooltip("bucket:T", title="from", format="%a %d %b %H:%M"),
                alt.Tooltip("triggered:Q", title="triggers", format=","),
            ],
        )
    )
    words = f"per {format_duration(bucket_s)} · n {format_count(total)} · times in {zone.key}"
    return compose(bars, title=title, subtitle=words, description=f"{title}: {words}", height=height)
