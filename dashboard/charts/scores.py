"""The scores of one filter version, with its threshold."""

from __future__ import annotations

import altair as alt
import polars as pl

from dashboard.charts.common import HEIGHT, AnyChart, compose, limit_marks, no_data
from dashboard.theme import GREY, VERDICT_COLOURS, format_count, format_percent

VERDICTS = ("harmful", "benign", "not judged")


def build_score_histogram(
    frame: pl.DataFrame, *, version: str = "", reason: str = "this filter logs no scores", height: int = HEIGHT
) -> AnyChart:
    """How often each score was given, stacked by people's verdict where there is one.

    Bars are square-root scaled, so that the few high scores stay visible beside the many low ones.

    Args:
        frame: Rows of `metrics.scores.score_histogram` for one filter version.
        version: Shown in the title.
        reason: Why there is nothing, if there is nothing.
        height: Pixels.
    """
    title = f"Scores of version {version}" if version else "Scores"
    if frame.is_empty() or frame["checks"].sum() == 0:
        return no_data(title, reason, height=height)
    total, fired = int(frame["checks"].sum()), int(frame["triggered"].sum())
    rows = limit_marks(
        frame.with_columns(
            pl.col("checks").alias("all"), (pl.col("checks") - pl.col("harmful") - pl.col("benign")).alias("not judged")
        )
        .unpivot(list(VERDICTS), index=["low", "high", "all"], variable_name="verdict", value_name="count")
        .filter(pl.col("count") > 0)
        .with_columns(
            pl.col("verdict")
            .replace_strict({name: rank for rank, name in enumerate(VERDICTS)}, return_dtype=pl.Int64)
            .alias("rank")
        )
        .sort("low", "rank")
        .with_columns(top=pl.col("count").cum_sum().over("low"))
        .with_columns(bottom=pl.col("top") - pl.col("count"))
    )
    scale = alt.Scale(type="sqrt", domainMin=0)
    bars = (
        alt.Chart(rows)
        .mark_bar(binSpacing=1)
        .encode(
            x=alt.X("low:Q", bin="binned", title="score, on the filter's own scale"),
            x2="high:Q",
            y=alt.Y(
                "bottom:Q", title="checks (square-root scale)", scale=scale, axis=alt.Axis(format="~s", tickCount=3)
            ),
            y2="top:Q",
            color=alt.Color(
                "verdict:N",
                scale=alt.Scale(domain=list(VERDICTS), range=[VERDICT_COLOURS[name] for name in VERDICTS]),
                legend=alt.Legend(title=None, orient="top", direction="horizontal"),
            ),
            tooltip=[
                alt.Tooltip("low:Q", title="from", format=".3~r"),
                alt.Tooltip("high:Q", title="to", format=".3~r"),
                alt.Tooltip("verdict:N"),
                alt.Tooltip("count:Q", title="checks", format=","),
                alt.Tooltip("all:Q", title="checks in the bin", format=","),
            ],
        )
    )
    layers = [bars]
    words = f"checks per bin · n {format_count(total)} · {format_percent(fired / total)} triggered"
    threshold = frame["threshold"].drop_nulls().max()
    if isinstance(threshold, int | float):
        mark = pl.DataFrame({"threshold": [float(threshold)], "words": [f"threshold {threshold:g}"]})
        rule = alt.Chart(mark).mark_rule(color=GREY, strokeDash=[5, 3], strokeWidth=1.5).encode(x="threshold:Q")
        label = (
            alt.Chart(mark)
            .mark_text(align="right", dx=-5, baseline="top", fontSize=12, color=GREY, y=2)
            .encode(x="threshold:Q", text="words:N")
        )
        layers += [rule, label]
        words += f" · threshold {threshold:g}"
    return compose(*layers, title=title, subtitle=words, description=f"{title}: {words}", height=height)
