"""Thin labelled rules on a chart over time: changes of filters, and alarms."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import altair as alt
import polars as pl

from dashboard.text import plain
from dashboard.theme import GREY, VERMILION, localise

SCHEMA: dict[str, pl.DataType] = {"at": pl.Datetime("us"), "label": pl.String(), "kind": pl.String()}
"""One marker: when (naive UTC), what it says (may hold logged text), "change" or "alarm"."""
_SIGNS = {"change": "◆", "alarm": "!"}
# Markers nearer than this share of the chart's width would write over each other.
_APART = 0.16
# Neighbours' labels stand on lines of their own, so that each has twice that room.
_LINES, _LINE_PX = 2, 13
# Characters of a label, and its pixels: the count of those that stand close by must stay visible.
_LABEL_LENGTH, _LABEL_PX = 20, 150


def build_markers(markers: pl.DataFrame, *, start: datetime, end: datetime, zone: ZoneInfo) -> list[alt.Chart]:
    """Layers for the markers between `start` and `end` (naive UTC); none without markers.

    Args:
        markers: Rows of `SCHEMA`.
        start: Left end of the chart.
        end: Right end.
        zone: The reader's time zone.
    """
    inside = markers.filter(pl.col("at").is_between(start, end)).sort("at")
    if inside.is_empty():
        return []
    rows = localise(_merge(inside, gap=(end - start) * _APART), zone)
    base = alt.Chart(rows)
    # A value, no scale: the chart's own colours are a scale that layers share.
    colour = alt.condition("datum.kind == 'alarm'", alt.value(VERMILION), alt.value(GREY))
    x = alt.X("at:T", title=None)
    tooltip = [alt.Tooltip("at:T", title="at", format="%a %d %b %H:%M"), alt.Tooltip("all:N", title="what")]
    rules = base.mark_rule(strokeWidth=1.2, strokeDash=[3, 2]).encode(x=x, color=colour, tooltip=tooltip)
    labels = [
        base.transform_filter(f"datum.line == {line}")
        .mark_text(align="left", baseline="top", dx=3, fontSize=10, limit=_LABEL_PX)
        .encode(x=x, y=alt.value(1 + line * _LINE_PX), text="label:N", color=colour, tooltip=tooltip)
        for line in range(_LINES)
    ]
    return [rules, *labels]


def _merge(markers: pl.DataFrame, *, gap: timedelta) -> pl.DataFrame:
    """Markers that stand close together as one, at the first one's time: `◆ blocklist 41 +2`; and its label's line."""
    groups: list[list[dict[str, object]]] = []
    opened_at: datetime | None = None
    for row in markers.iter_rows(named=True):
        if opened_at is None or row["at"] - opened_at >= gap:
            groups.append([])
            opened_at = row["at"]
        groups[-1].append(row)
    return pl.DataFrame(
        [
            {
                "at": group[0]["at"],
                "kind": "alarm" if any(row["kind"] == "alarm" for row in group) else "change",
                "label": _say(group[0], limit=_LABEL_LENGTH) + (f" +{len(group) - 1}" if len(group) > 1 else ""),
                "all": ", ".join(_say(row) for row in group)[:400],
                "line": number % _LINES,
            }
            for number, group in enumerate(groups)
        ],
        schema={"at": pl.Datetime("us"), "kind": pl.String, "label": pl.String, "all": pl.String, "line": pl.Int64},
    )


def _say(row: dict[str, object], *, limit: int = 60) -> str:
    return f"{_SIGNS[str(row['kind'])]} {plain(row['label'], limit=limit)}"
