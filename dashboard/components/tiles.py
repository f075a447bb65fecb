"""Tiles: one figure each, with its interval, the count it rests on, its change and a way to what is behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import streamlit as st

from dashboard.charts.common import AnyChart
from dashboard.charts.spark import HEIGHT as MARK_PX
from dashboard.components.chart import render_chart
from dashboard.components.coverage import render_badge
from dashboard.theme import format_count, format_interval, format_percent

_BASIS = "vs prior"


@dataclass(frozen=True, slots=True)
class Tile:
    """What one tile says; all texts are our own.

    Attributes:
        key: Identity, also of its style class `st-key-tile_<key>`.
        label: What is counted.
        value: The figure.
        basis: Interval and n.
        meaning: Definition, shown on hovering.
        page: Script of the drill-down, relative to the dashboard.
        link: What the drill-down shows.
        change: Difference to the window before; None = nothing to compare with.
        change_basis: What it is compared with: `prior 24 h`.
        tone: "inverse" where more is worse, "off" where neither is.
        mark: A small chart of the trend, or of the interval; None leaves its place empty.
        params: Query parameters of the drill-down.
    """

    key: str
    label: str
    value: str
    basis: str
    meaning: str
    page: str
    link: str
    change: str | None = None
    change_basis: str = ""
    tone: Literal["inverse", "off"] = "off"
    mark: AnyChart | None = None
    params: Mapping[str, str] = field(default_factory=dict)


def render_tiles(tiles: Sequence[Tile], *, coverage: float | None) -> None:
    """Draws the tiles in one row, each with a badge when the window's coverage (`coverage.get_share`) is low."""
    for column, tile in zip(st.columns(len(tiles), gap="small"), tiles, strict=True):
        with column, st.container(border=True, key=f"tile_{tile.key}", height="stretch", gap="xsmall"):
            st.metric(
                tile.label,
                tile.value,
                delta=tile.change,
                delta_color=tile.tone,
                delta_description=_BASIS if tile.change else None,
                help=f"{tile.meaning}. The change is against the {tile.change_basis}." if tile.change else tile.meaning,
            )
            st.caption(tile.basis)
            if tile.mark is None:
                st.space(MARK_PX)
            else:
                render_chart(tile.mark, key=f"mark_{tile.key}")
            render_badge(coverage)
            st.page_link(
                tile.page, label=tile.link, icon=":material/arrow_forward:", query_params=dict(tile.params) or None
            )


def describe_rate(rate: Mapping[str, Any], *, noun: str, min_sample: int) -> tuple[str, str]:
    """Value and basis of a rate's tile; below the minimum sample it says how much is missing.

    Args:
        rate: A rate record.
        noun: What is counted in the denominator, e.g. "checks".
        min_sample: Fewest of them that give a rate.
    """
    counted = int(rate["n"] or 0)
    if rate["estimate"] is None:
        missing = max(min_sample - counted, 1)
        return "–", f"not enough {noun}: {format_count(missing)} more needed"
    return format_percent(rate["estimate"]), f"{format_interval(rate)} % · n {format_count(counted)} {noun}"
