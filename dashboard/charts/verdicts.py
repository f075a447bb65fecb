"""Turns by people's verdict: a stacked bar per language, application or the like."""

from __future__ import annotations

import altair as alt
import polars as pl

from dashboard.charts.bars import CHROME_PX, MAX_BARS, ROW_PX
from dashboard.charts.common import AnyChart, compose, make_plain, no_data
from dashboard.theme import VERDICT_COLOURS, format_count

_LEGEND_AND_AXIS_PX = 90


def build_verdict_bars(frame: pl.DataFrame, *, by: str, title: str, verdicts: tuple[str, ...]) -> AnyChart:
    """Turns per value of `by`, the largest first, stacked by verdict.

    Args:
        frame: Columns `by` (logged text), verdict, turns; several rows of one value and verdict are added up.
        by: What a bar is.
        title: What is shown.
        verdicts: In the order in which they are stacked.
    """
    sums = make_plain(frame.group_by(by, "verdict").agg(pl.col("turns").sum()), by)
    if sums.is_empty():
        return no_data(title, "no triggers", height=CHROME_PX + 2 * ROW_PX)
    whole = sums.group_by(by).agg(pl.col("turns").sum()).sort(["turns", by], descending=[True, False])
    kept = whole.head(MAX_BARS)
    hidden = whole.height - kept.height
    rows = sums.join(kept.select(by), on=by).with_columns(
        rank=pl.col("verdict").replace_strict({name: rank for rank, name in enumerate(verdicts)}, default=len(verdicts))
    )
    y = alt.Y(
        f"{by}:N",
        sort=kept[by].to_list(),
        title=None,
        axis=alt.Axis(labelLimit=150, ticks=False, domain=False, labelOverlap=False),
    )
    bars = (
        alt.Chart(rows)
        .mark_bar(height={"band": 0.65})
        .encode(
            y=y,
            x=alt.X("turns:Q", title=None, axis=alt.Axis(tickCount=4, tickMinStep=1, format="~s")),
            order="rank:Q",
            color=alt.Color(
                "verdict:N",
                scale=alt.Scale(domain=list(verdicts), range=[VERDICT_COLOURS[name] for name in verdicts]),
                legend=alt.Legend(title=None, orient="top", columns=1),
            ),
            tooltip=[alt.Tooltip(f"{by}:N"), alt.Tooltip("verdict:N"), alt.Tooltip("turns:Q", format=",")],
        )
    )
    more = f" · {hidden} more not shown" if hidden else ""
    parts = ", ".join(f"{name} {format_count(turns)}" for name, turns in kept.rows())
    return compose(
        bars,
        title=title,
        subtitle=f"turns by verdict · n {format_count(int(whole['turns'].sum()))}{more}",
        description=f"{title}: {parts}",
        height=CHROME_PX + _LEGEND_AND_AXIS_PX + ROW_PX * kept.height,
    )
