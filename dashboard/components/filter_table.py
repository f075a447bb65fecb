"""The table of filters: one row per filter, version and mode, with what a lead compares them by."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
import streamlit as st

from dashboard.text import plain
from dashboard.theme import LAYER_TITLES, format_rate

KEYS = ("filter_name", "filter_version", "layer", "mode")


def build_filter_table(
    triggers: pl.DataFrame,
    *,
    previous: pl.DataFrame | None,
    errors: pl.DataFrame,
    latency: pl.DataFrame,
    trend: pl.DataFrame,
    period: str,
    layers: Sequence[str],
) -> pl.DataFrame:
    """What the table shows, in cascade order.

    Args:
        triggers: Report `triggers` by `KEYS`.
        previous: The same for the window before; None = no comparison.
        errors: Report `errors` by `KEYS`.
        latency: Report `latency` by `KEYS`.
        trend: Report `triggers` by `KEYS` and `period`.
        period: "hour" or "day".
        layers: Layers in cascade order.

    Returns:
        `KEYS`, evaluated, rate (percent), interval (text), change (percentage points, null without a previous
        window), wrong_blocks (text), errors, p95_ms, trend (list of percent).
    """
    rate = pl.col("trigger_rate").struct.field("estimate") * 100
    rows = triggers.with_columns(
        rate=rate,
        interval=pl.col("trigger_rate").map_elements(_interval, return_dtype=pl.String),
    )
    lines = (
        trend.sort(period).group_by(KEYS).agg(trend=rate.fill_null(0).tail(90))
        if trend.height
        else rows.select(KEYS).with_columns(trend=pl.lit(None, dtype=pl.List(pl.Float64)))
    )
    rows = _join(rows, lines)
    rows = _join(rows, latency.select(*KEYS, "p95_ms"))
    wrong = errors.select(*KEYS, wrong_blocks=pl.col("wrong_block_share").map_elements(_judged, return_dtype=pl.String))
    rows = _join(rows, wrong).with_columns(pl.col("wrong_blocks").fill_null("not reviewed"))
    if previous is None:
        rows = rows.with_columns(change=pl.lit(None, dtype=pl.Float64))
    else:
        rows = _join(rows, previous.select(*KEYS, before=rate)).with_columns(change=pl.col("rate") - pl.col("before"))
    order = {layer: index for index, layer in enumerate(layers)}
    rows = rows.sort(
        pl.col("layer").replace_strict(order, default=len(order), return_dtype=pl.Int64), *KEYS, nulls_last=True
    )
    return rows.select(*KEYS, "evaluated", "rate", "interval", "change", "wrong_blocks", "errors", "p95_ms", "trend")


def render_filter_table(rows: pl.DataFrame, *, key: str, choice_key: str) -> None:
    """Draws the table; choosing a row puts its filter's name under `choice_key` in session state."""
    names = rows["filter_name"].to_list()

    def choose() -> None:
        chosen = st.session_state[key]["selection"]["rows"]
        st.session_state[choice_key] = names[chosen[0]] if chosen else None

    shown = rows.with_columns(
        pl.col("filter_name", "filter_version").map_elements(plain, return_dtype=pl.String),
        pl.col("layer").replace(dict(LAYER_TITLES)).map_elements(plain, return_dtype=pl.String),
    )
    most = float(rows["rate"].fill_null(0).sort().to_list()[-1])
    number = st.column_config.NumberColumn
    st.dataframe(
        shown,
        key=key,
        hide_index=True,
        height="content",
        on_select=choose,
        selection_mode="single-row",
        placeholder="–",
        alt="Filters with trigger rate, wrong blocks, errors and latency",
        column_config={
            "filter_name": st.column_config.TextColumn("Filter", pinned=True),
            "filter_version": st.column_config.TextColumn("Version", width=70),
            "layer": st.column_config.TextColumn("Layer", width=80),
            "mode": st.column_config.TextColumn("Mode", width=65),
            "evaluated": number("Evaluated", format="localized", width=80, help="Checks that ran and decided"),
            "rate": st.column_config.ProgressColumn(
                "Trigger rate",
                format="%.2f %%",
                min_value=0,
                max_value=max(most, 0.01),
                width=130,
                help="Triggered / evaluated",
            ),
            "interval": st.column_config.TextColumn("95 % interval", width=90),
            "change": number("Change", format="%+.2f pp", width=80, help="Against the window before"),
            "wrong_blocks": st.column_config.TextColumn(
                "Wrong blocks", width=130, help="Benign / triggered, among reviewed triggers, weighted"
            ),
            "errors": number("Errors", format="localized", width=60, help="Neither a pass nor a trigger"),
            "p95_ms": number("p95", format="%.0f ms", width=65, help="95th percentile of latency"),
            "trend": st.column_config.LineChartColumn("Trend", y_min=0, width=120, help="Trigger rate, %"),
        },
    )


def _join(rows: pl.DataFrame, other: pl.DataFrame) -> pl.DataFrame:
    return rows.join(other, on=list(KEYS), how="left", nulls_equal=True)


def _interval(rate: dict[str, float | None]) -> str:
    low, high = rate["low"], rate["high"]
    return "–" if low is None or high is None else f"{low * 100:.2f}–{high * 100:.2f}"


def _judged(rate: dict[str, float | None]) -> str:
    return format_rate(rate)
