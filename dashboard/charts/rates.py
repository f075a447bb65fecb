"""Rates over time: a line and an interval band per layer or filter."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

import altair as alt
import polars as pl

from dashboard.charts.common import HEIGHT, AnyChart, compose, limit_marks, make_plain, no_data, time_axis
from dashboard.charts.markers import build_markers
from dashboard.theme import (
    ACCENT,
    GREEN,
    GREY,
    LAYER_DASHES,
    LAYER_TITLES,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    get_layer_colour,
    localise,
)

BUCKETS_S = (60, 300, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400)
MAX_POINTS, MIN_POINTS = 100, 8
MIN_CHECKS = 2000
MIN_PER_POINT = 20
FEW_POINTS = 12
CYCLE = (ACCENT, ORANGE, GREEN, PURPLE, SKY, VERMILION)
MAX_GROUPS = 8


def build_trigger_rate(
    frame: pl.DataFrame,
    *,
    by: Literal["layer", "filter_name"],
    bucket_s: int,
    zone: ZoneInfo,
    reason: str = "no checks in this window",
    height: int = HEIGHT,
    markers: pl.DataFrame | None = None,
    expected: pl.DataFrame | None = None,
) -> AnyChart:
    """Trigger rate over time with its interval, one line per layer or filter.

    Args:
        frame: Rows of `metrics.series.trigger_series`: bucket, `by`, evaluated, triggered, estimate, low, high.
        by: What a line is.
        bucket_s: Seconds per point; a missing point breaks the line instead of bridging the gap.
        zone: The reader's time zone; buckets are naive UTC.
        reason: Why there is nothing, if there is nothing.
        height: Pixels.
        markers: Changes and alarms (`markers.SCHEMA`), drawn as thin rules.
        expected: What the past leads one to expect of the one line (`metrics.alarms.expected.SCHEMA`), drawn behind it.
    """
    noun = "layer" if by == "layer" else "filter"
    title = f"Trigger rate by {noun}"
    if frame.is_empty() or frame["evaluated"].sum() == 0:
        return no_data(title, reason, height=height)
    frame, dropped = _keep_largest(make_plain(frame, by), by)
    names = frame.group_by(by).agg(pl.col("estimate").drop_nulls().last()).sort("estimate", descending=True)[by]
    titles = {name: LAYER_TITLES.get(name, name) if by == "layer" else name for name in names}
    total = int(frame["evaluated"].sum())
    frame, thin = _drop_thin_points(frame)
    top = _upper_bound(frame)
    rows = localise(limit_marks(_fill_gaps(frame, by=by, bucket_s=bucket_s)), zone).with_columns(
        pl.col(by).replace(titles).alias("name")
    )
    colours = _pick_colours(list(names), by=by)
    colour = alt.Color(
        "name:N",
        scale=alt.Scale(domain=list(titles.values()), range=[colours[name] for name in titles]),
        legend=None,
    )
    dash = alt.StrokeDash(
        "name:N",
        scale=alt.Scale(domain=list(titles.values()), range=[list(LAYER_DASHES.get(name, (1, 0))) for name in titles]),
        legend=None,
    )
    x = alt.X("bucket:T", title=None, axis=time_axis())
    y = alt.Y(
        "estimate:Q", title="triggered / evaluated", axis=alt.Axis(format=".2~%"), scale=alt.Scale(domain=[0, top])
    )
    base = alt.Chart(rows)
    band = base.mark_area(opacity=0.16, clip=True).encode(
        x=x, y=alt.Y("low:Q", title="triggered / evaluated"), y2="high:Q", color=colour
    )
    # A lone point has no line; few points are clearer with dots.
    dots = {"size": 28} if rows["bucket"].n_unique() <= FEW_POINTS else False
    line = base.mark_line(strokeWidth=1.8, clip=True, point=dots).encode(x=x, y=y, color=colour, strokeDash=dash)
    points = base.mark_circle(size=70, opacity=0).encode(
        x=x,
        y=y,
        color=colour,
        tooltip=[
            alt.Tooltip("name:N", title=noun),
            alt.Tooltip("bucket:T", title="from", format="%a %d %b %H:%M"),
            alt.Tooltip("estimate:Q", title="trigger rate", format=".3~%"),
            alt.Tooltip("low:Q", title="low", format=".3~%"),
            alt.Tooltip("high:Q", title="high", format=".3~%"),
            alt.Tooltip("triggered:Q", format=","),
            alt.Tooltip("evaluated:Q", title="n evaluated", format=","),
        ],
    )
    labels = (
        alt.Chart(_place_labels(rows, top=top))
        .mark_text(align="left", dx=6, fontSize=12, fontWeight=600)
        .encode(x=x, y=alt.Y("at:Q"), text="name:N", color=colour)
    )
    omitted = f", the {MAX_GROUPS} busiest of {MAX_GROUPS + dropped}" if dropped else ""
    left_out = f", {thin} {'point' if thin == 1 else 'points'} of fewer than {MIN_PER_POINT} left out" if thin else ""
    past = _build_expected(expected, zone=zone) if expected is not None and expected.height else []
    behind = ", dashed: expected from four weeks before, with its band" if past else ""
    subtitle = (
        f"{_name_bucket(bucket_s)} points, 95 % band{behind} · n {total:,} checks{omitted}{left_out} · "
        f"times in {zone.key}"
    )
    shown = frame["bucket"].to_list()
    marks = [] if markers is None else build_markers(markers, start=min(shown), end=max(shown), zone=zone)
    last = ", ".join(f"{row['name']} {row['estimate']:.1%}" for row in labels.data.iter_rows(named=True))
    return compose(
        *past,
        band,
        *marks,
        line,
        points,
        labels,
        title=title,
        subtitle=subtitle,
        description=f"{title}. Latest: {last}.",
        height=height,
    )


def _build_expected(expected: pl.DataFrame, *, zone: ZoneInfo) -> list[alt.Chart]:
    base = alt.Chart(localise(limit_marks(expected), zone))
    x = alt.X("bucket:T", title=None)
    band = base.mark_area(opacity=0.18, clip=True, color=GREY).encode(x=x, y="low:Q", y2="high:Q")
    line = base.mark_line(strokeWidth=1.2, strokeDash=[5, 4], clip=True, color=GREY).encode(
        x=x,
        y="expected:Q",
        tooltip=[alt.Tooltip("expected:Q", title="expected rate", format=".3~%")],
    )
    return [band, line]


def choose_bucket(length: timedelta | None, *, checks: int) -> int:
    """Seconds per point: about a hundred points, fewer when a point would rest on too few checks to say anything.

    Args:
        length: Of the window; None = open, which gets days.
        checks: Checks in the window.
    """
    if length is None:
        return BUCKETS_S[-1]
    seconds = length.total_seconds()
    target = max(seconds / MAX_POINTS, seconds * MIN_CHECKS / max(checks, MIN_CHECKS))
    widest = max(seconds / MIN_POINTS, BUCKETS_S[0])
    allowed = [size for size in BUCKETS_S if size <= widest]
    return next((size for size in allowed if size >= target), allowed[-1])


def _name_bucket(seconds: int) -> str:
    if seconds < 3600:
        return f"{seconds // 60}-minute"
    return f"{seconds // 3600}-hour" if seconds < 86_400 else f"{seconds // 86_400}-day"


def _keep_largest(frame: pl.DataFrame, by: str) -> tuple[pl.DataFrame, int]:
    sizes = frame.group_by(by).agg(pl.col("evaluated").sum()).sort(["evaluated", by], descending=[True, False])
    kept = sizes[by].head(MAX_GROUPS)
    return frame.filter(pl.col(by).is_in(kept.implode())).sort(by, "bucket"), max(0, sizes.height - MAX_GROUPS)


def _pick_colours(names: list[str], *, by: str) -> Mapping[str, str]:
    if by == "layer":
        return {name: get_layer_colour(name) for name in names}
    return {name: CYCLE[index % len(CYCLE)] for index, name in enumerate(sorted(names))}


def _upper_bound(frame: pl.DataFrame) -> float:
    """Top of the axis: room for every estimate and most bands; a band of three checks must not flatten the rest."""
    highest = float(frame["estimate"].max() or 0)  # type: ignore[arg-type]  # polars types max() as any literal
    band = float(frame["high"].quantile(0.9) or 0)
    return min(1.0, max(highest * 1.1, min(band, highest * 2), 0.001))


def _drop_thin_points(frame: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """Without points that rest on very few checks, unless all do: they would only show noise."""
    kept = frame.filter(pl.col("evaluated") >= MIN_PER_POINT)
    return (kept, frame.height - kept.height) if kept.height else (frame, 0)


def _fill_gaps(frame: pl.DataFrame, *, by: str, bucket_s: int) -> pl.DataFrame:
    start, end = frame["bucket"].min(), frame["bucket"].max()
    if not isinstance(start, datetime) or not isinstance(end, datetime):
        return frame
    steps = int((end - start).total_seconds()) // bucket_s
    if steps * frame[by].n_unique() > 20_000:
        return frame
    grid = pl.DataFrame({"bucket": [start + timedelta(seconds=bucket_s * step) for step in range(steps + 1)]})
    grid = grid.with_columns(pl.col("bucket").cast(frame.schema["bucket"])).join(frame.select(by).unique(), how="cross")
    full = grid.join(frame, on=["bucket", by], how="full", coalesce=True)
    return full.sort(by, "bucket")


def _place_labels(rows: pl.DataFrame, *, top: float) -> pl.DataFrame:
    """One label per line at its last point, moved apart where lines end close together."""
    ends = (
        rows.drop_nulls("estimate")
        .sort("bucket")
        .group_by("name")
        .agg(pl.col("estimate").last())
        .sort("estimate", "name")
        .with_columns(bucket=pl.lit(rows["bucket"].max()))
    )
    gap, placed = top * 0.075, list[float]()
    for estimate in ends["estimate"].clip(0, top):
        placed.append(max(estimate, placed[-1] + gap if placed else 0.0))
    overflow = max(0.0, placed[-1] - top) if placed else 0.0
    return ends.with_columns(at=pl.Series([value - overflow for value in placed], dtype=pl.Float64))
