"""What fires more, or less, than in the window before."""

from __future__ import annotations

import polars as pl
import streamlit as st

from dashboard.text import plain


def build_movers_table(frame: pl.DataFrame) -> pl.DataFrame:
    """Rows of `metrics.movers` as shown: rule, filter, now and before in percent, change with interval, n."""
    return frame.select(
        rule=pl.col("rule_id").map_elements(plain, return_dtype=pl.String),
        filter=pl.col("filter_name").map_elements(plain, return_dtype=pl.String),
        now=pl.col("rate") * 100,
        before=pl.col("rate_before") * 100,
        change=pl.struct("change", "low", "high").map_elements(_format_change, return_dtype=pl.String),
        n=pl.col("evaluated"),
    )


def render_movers(frame: pl.DataFrame, *, key: str) -> None:
    """Draws the table."""
    percent = st.column_config.NumberColumn
    st.dataframe(
        build_movers_table(frame),
        key=key,
        hide_index=True,
        height="content",
        placeholder="–",
        alt="Rules whose trigger rate changed most against the window before",
        column_config={
            "rule": st.column_config.TextColumn("Rule"),
            "filter": st.column_config.TextColumn("Filter"),
            "now": percent("Now", format="%.2f %%", width=70),
            "before": percent("Before", format="%.2f %%", width=70),
            "change": st.column_config.TextColumn("Change (95 %)", width=160),
            "n": percent("n", format="localized", width=70, help="Checks evaluated in this window"),
        },
    )


def _format_change(row: dict[str, float | None]) -> str:
    change, low, high = row["change"], row["low"], row["high"]
    if change is None or low is None or high is None:
        return "–"
    text = f"{change * 100:+z.2f} pp ({low * 100:+z.2f} to {high * 100:+z.2f})"
    return ("▲ " if change > 0 else "▼ " if change < 0 else "") + text.replace("-", "−")
