"""What changed about a filter, with its trigger rate before and after."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import streamlit as st

from dashboard.text import plain
from dashboard.theme import MISSING, format_points, format_rate, localise

SCHEMA: dict[str, pl.DataType] = {
    "at": pl.Datetime("us"),
    "what": pl.String(),
    "name": pl.String(),
    "before": pl.String(),
    "after": pl.String(),
    "difference": pl.String(),
}


def build_changes_table(changes: pl.DataFrame) -> pl.DataFrame:
    """Rows of `metrics.changes.list_changes` as shown, schema `SCHEMA`; times naive UTC."""
    rows = [
        (
            row["at"],
            row["what"],
            _name(row),
            _format_side(row["rate_before"]),
            _format_side(row["rate_after"]),
            _format_difference(row["difference"]),
        )
        for row in changes.iter_rows(named=True)
    ]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def render_changes(changes: pl.DataFrame, *, key: str, zone: ZoneInfo) -> None:
    """Draws the table."""
    text = st.column_config.TextColumn
    st.dataframe(
        localise(build_changes_table(changes), zone),
        key=key,
        hide_index=True,
        height="content",
        placeholder=MISSING,
        alt="Changes of this filter with its trigger rate before and after",
        column_config={
            "at": st.column_config.DatetimeColumn(f"When ({zone.key})", format="YYYY-MM-DD HH:mm", width=130),
            "what": text("What", width=105),
            "name": text("From → to"),
            "before": text("Rate before", help="Triggered / evaluated, up to 7 days before", width=135),
            "after": text("Rate after", help="Triggered / evaluated, up to 7 days after", width=135),
            "difference": text("Difference (95 %)", width=190),
        },
    )


def _name(row: dict[str, Any]) -> str:
    if row["from"] is not None:
        return f"{plain(row['from'], limit=60)} → {plain(row['to'], limit=60)}"
    return plain(row["name"])


def _format_side(rate: dict[str, Any]) -> str:
    return MISSING if rate["estimate"] is None else format_rate(rate)


def _format_difference(difference: dict[str, Any]) -> str:
    if difference["estimate"] is None:
        return MISSING
    low, high = (format_points(difference[name]) for name in ("low", "high"))
    return f"{format_points(difference['estimate'])} ({low} to {high})"
