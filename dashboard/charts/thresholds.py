"""What a threshold trades: precision against recall, and both against the threshold."""

from __future__ import annotations

import altair as alt
import polars as pl

from dashboard.charts.common import AnyChart, compose, no_data
from dashboard.theme import ACCENT, GREEN, GREY, VERMILION

SERIES = {
    "precision": ("precision", ACCENT),
    "recall": ("recall", GREEN),
    "benign_blocked_rate": ("benign blocked", VERMILION),
}
_PERCENT = alt.Axis(format="%", tickCount=5)


def build_rates_by_threshold(
    frame: pl.DataFrame, *, chosen: float, current: float | None, height: int = 340
) -> AnyChart:
    """Precision, recall and benign-blocked rate at every threshold with their intervals.

    Args:
        frame: Rows of the report `thresholds` of one filter version.
        chosen: The threshold in question, a rule.
        current: The one in force, a dashed rule; None where none was logged.
        height: Pixels.
    """
    title = "Rates by threshold"
    rows = _stack(frame)
    if rows.is_empty():
        return no_data(title, "no threshold has enough reviews", height=height)
    colour = alt.Color(
        "rate:N",
        scale=alt.Scale(domain=[name for name, _ in SERIES.values()], range=[colour for _, colour in SERIES.values()]),
        legend=alt.Legend(title=None, orient="top", direction="horizontal", symbolOpacity=1),
    )
    x = alt.X("threshold:Q", title="threshold, on the filter's own scale")
    base = alt.Chart(rows)
    band = base.mark_area(opacity=0.18).encode(
        x=x, y=alt.Y("low:Q", title=None, axis=_PERCENT, scale=alt.Scale(domain=[0, 1])), y2="high:Q", color=colour
    )
    line = base.mark_line(strokeWidth=2).encode(x=x, y="estimate:Q", color=colour)
    is_raised = current is None or current <= chosen
    marks = [band, line, *_rule(chosen, "chosen", dash=[1, 0], is_right=is_raised)]
    if current is not None and current != chosen:
        marks += _rule(current, "in force", dash=[5, 3], is_right=not is_raised)
    words = f"share of reviewed turns with 95 % band · chosen {chosen:g}"
    return compose(*marks, title=title, subtitle=words, description=f"{title}: {words}", height=height)


def build_precision_recall(frame: pl.DataFrame, *, chosen: float, height: int = 340) -> AnyChart:
    """Precision against recall with the band of precision, one point per threshold.

    Args:
        frame: Rows of the report `thresholds` of one filter version.
        chosen: The threshold whose point is marked.
        height: Pixels.
    """
    title = "Precision against recall"
    both = frame.select(
        "threshold",
        recall=pl.col("recall").struct.field("estimate"),
        precision=pl.col("precision").struct.field("estimate"),
        low=pl.col("precision").struct.field("low"),
        high=pl.col("precision").struct.field("high"),
    ).drop_nulls()
    if both.is_empty():
        return no_data(title, "no threshold has enough reviews", height=height)
    scale = alt.Scale(domain=[0, 1])
    x = alt.X("recall:Q", title="recall", axis=_PERCENT, scale=scale)
    order = alt.Order("threshold:Q")
    base = alt.Chart(both)
    band = base.mark_area(color=ACCENT, opacity=0.18).encode(
        x=x, y=alt.Y("low:Q", title="precision", axis=_PERCENT, scale=scale), y2="high:Q"
    )
    line = base.mark_line(color=ACCENT, strokeWidth=2, point=alt.OverlayMarkDef(size=18, color=ACCENT)).encode(
        x=x,
        y="precision:Q",
        order=order,
        tooltip=[
            alt.Tooltip("threshold:Q", format=".3~r"),
            alt.Tooltip("precision:Q", format=".1%"),
            alt.Tooltip("recall:Q", format=".1%"),
        ],
    )
    marked = (
        alt.Chart(both.filter(pl.col("threshold") == chosen))
        .mark_point(color=VERMILION, filled=True, size=140, opacity=1)
        .encode(x=x, y="precision:Q")
    )
    words = f"95 % band of precision · point at {chosen:g}"
    return compose(band, line, marked, title=title, subtitle=words, description=f"{title}: {words}", height=height)


def _stack(frame: pl.DataFrame) -> pl.DataFrame:
    """One row per threshold and rate: threshold, rate, estimate, low, high."""
    parts = [
        frame.select(
            "threshold",
            pl.lit(title).alias("rate"),
            *(pl.col(name).struct.field(part) for part in ("estimate", "low", "high")),
        )
        for name, (title, _) in SERIES.items()
    ]
    return pl.concat(parts).drop_nulls()


def _rule(at: float, words: str, *, dash: list[int], is_right: bool) -> list[alt.Chart]:
    """A vertical line with its words, to the right of it or to the left, so that two lines' words never meet."""
    rows = pl.DataFrame({"threshold": [at], "words": [words]})
    rule = alt.Chart(rows).mark_rule(color=GREY, strokeDash=dash, strokeWidth=1.5).encode(x="threshold:Q")
    label = (
        alt.Chart(rows)
        .mark_text(
            align="left" if is_right else "right",
            dx=4 if is_right else -4,
            baseline="top",
            fontSize=12,
            color=GREY,
            y=2,
        )
        .encode(x="threshold:Q", text="words:N")
    )
    return [rule, label]
