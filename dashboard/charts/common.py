"""What every chart has: a title, units, the count it rests on, a text for screen readers, and a way to say "no data".

Charts are pure functions from a frame to an Altair chart. Times in the frame are the reader's wall clock already
(`theme.localise`), and `zone_name` says which; at most `MAX_MARKS` rows are drawn, so frames come aggregated.
"""

from __future__ import annotations

from typing import TypeAlias

import altair as alt
import polars as pl

from dashboard.text import plain

AnyChart: TypeAlias = alt.LayerChart | alt.FacetChart
MAX_MARKS = 5000
HEIGHT = 260


def compose(*layers: alt.Chart, title: str, subtitle: str, description: str, height: int = HEIGHT) -> AnyChart:
    """The layers as one chart with its words.

    Args:
        layers: Back to front.
        title: What is shown.
        subtitle: Unit, interval, count and time zone.
        description: The chart as a sentence, for those who do not see it.
        height: Pixels.
    """
    return alt.layer(*layers).properties(
        title=alt.TitleParams(
            text=plain(title), subtitle=plain(subtitle), anchor="start", subtitleFontSize=12, subtitlePadding=4
        ),
        description=plain(description, limit=500),
        height=height,
    )


def no_data(title: str, reason: str, *, height: int = HEIGHT) -> AnyChart:
    """A chart of the same size that says why it is empty."""
    frame = pl.DataFrame({"reason": [plain(reason)]})
    text = alt.Chart(frame).mark_text(fontSize=13, color="#8C8C8C").encode(text="reason:N")
    return compose(text, title=title, subtitle="", description=f"{title}: {reason}", height=height)


def time_axis() -> alt.Axis:
    """An axis of wall-clock times: the hour in 24-hour form, and the date where a day begins."""
    return alt.Axis(
        labelExpr="hours(datum.value) + minutes(datum.value) == 0 "
        "? timeFormat(datum.value, '%a %d %b') : timeFormat(datum.value, '%H:%M')",
        labelOverlap=True,
        tickCount=8,
    )


def limit_marks(frame: pl.DataFrame) -> pl.DataFrame:
    """At most `MAX_MARKS` rows: every k-th of a longer frame, so that the shape stays."""
    if frame.height <= MAX_MARKS:
        return frame
    return frame.gather_every(-(-frame.height // MAX_MARKS))


def make_plain(frame: pl.DataFrame, *columns: str) -> pl.DataFrame:
    """`frame` with logged text columns made safe to draw; null becomes "not logged"."""
    return frame.with_columns(
        pl.col(column)
        .map_elements(lambda value: plain(value, limit=60), return_dtype=pl.String)
        .fill_null("not logged")
        for column in columns
    )
