"""Counts over time: a bar per period."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import altair as alt
import polars as pl

from dashboard.charts.common import HEIGHT, AnyChart, compose, limit_marks, make_plain, no_data, time_axis
from dashboard.theme import ACCENT, VERMILION, format_count, format_duration, localise


def build_trigger_counts(
    frame: pl.DataFrame, *, bucket_s: int, zone: ZoneInfo, height: int = HEIGHT, versions: pl.DataFrame | None = None
) -> AnyChart:
    """Triggers per period, for what logs only its hits and hence has no rate.

    Args:
        frame: Rows of `metrics.series.trigger_series`.
        bucket_s: Seconds per bar.
        zone: The reader's time zone; buckets are naive UTC.
        height: Pixels.
        versions: Marked where the logs first have them: filter_version, first_at (naive UTC).
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
    marks = [] if versions is None or versions.is_empty() else _mark_versions(versions, zone)
    return compose(bars, *marks, title=title, subtitle=words, description=f"{title}: {words}", height=height)


def _mark_versions(versions: pl.DataFrame, zone: ZoneInfo) -> list[alt.Chart]:
    """A thin rule with a label where each version was first seen."""
    rows = localise(make_plain(versions, "filter_version"), zone).with_columns(
        words=pl.format("version {}", "filter_version")
    )
    at = alt.X("first_at:T")
    rule = alt.Chart(rows).mark_rule(color=VERMILION, strokeDash=[5, 3], strokeWidth=1.5).encode(x=at)
    label = (
        alt.Chart(rows)
        .mark_text(align="left", dx=5, baseline="top", y=-12, fontSize=12, color=VERMILION)
        .encode(x=at, text="words:N")
    )
    return [rule, label]
