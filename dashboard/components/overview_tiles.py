"""The five tiles of the Overview."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from dashboard.charts.common import AnyChart
from dashboard.charts.spark import build_interval, build_spark
from dashboard.components.tiles import Tile, describe_rate
from dashboard.navigation import get_path
from dashboard.theme import format_count, format_percent, format_points
from metrics.overview import Overview

FILTERS, TRIAGE = get_path("filters"), get_path("triage")


def build_tiles(
    overview: Overview,
    *,
    judged_before: Mapping[str, Any] | None,
    turns: pl.DataFrame,
    triggers: pl.DataFrame,
    escalations: pl.DataFrame,
    waiting: str,
    compared_with: str,
    min_sample: int,
) -> list[Tile]:
    """What the tiles say.

    Args:
        overview: Figures of the window.
        judged_before: `metrics.errors.judge` of the window before; None = no comparison.
        turns: `metrics.series.turn_series`.
        triggers: `metrics.series.trigger_series`.
        escalations: Report `escalations` by hour or day, in time order.
        waiting: Who waits for a person, as a phrase.
        compared_with: "vs previous 24 h"; "" = changes are not shown.
        min_sample: Fewest reviews that give a rate.
    """
    has_change = bool(compared_with)
    trigger_value, trigger_basis = describe_rate(overview.trigger_rate, noun="checks", min_sample=min_sample)
    change = overview.trigger_change
    wrong_value, wrong_basis = describe_rate(
        overview.wrong_block_share, noun="reviewed triggers", min_sample=min_sample
    )
    missed_value, missed_basis = describe_rate(overview.missed_harm_rate, noun="harmful turns", min_sample=min_sample)
    before = judged_before if has_change else None
    return [
        Tile(
            key="turns",
            label="Turns",
            value=format_count(overview.turns),
            basis="prompt–response exchanges",
            meaning="Exchanges of a prompt and a response in the window",
            page=FILTERS,
            link="By filter",
            change=_relative(overview.turns, overview.turns_before) if has_change else None,
            change_basis=compared_with,
            mark=_spark(turns["turns"].to_list(), "turns"),
        ),
        Tile(
            key="triggered",
            label="Triggered",
            value=trigger_value,
            basis=trigger_basis,
            meaning="Triggered / evaluated, over all checks; failed and skipped checks are left out",
            page=FILTERS,
            link="By filter",
            change=format_points(change.change)
            if has_change and change is not None and change.change is not None
            else None,
            change_basis=compared_with,
            mark=_spark(_rates(triggers), "trigger rate"),
        ),
        Tile(
            key="wrong_blocks",
            label="Wrong blocks",
            value=wrong_value,
            basis=wrong_basis,
            meaning="Benign / triggered, among reviewed turns that an enforced filter triggered on, "
            "weighted by how they were sampled",
            page=FILTERS,
            link="By filter",
            change=_difference(overview.wrong_block_share, before and before["wrong_block_share"]),
            change_basis=compared_with,
            tone="inverse",
            mark=_interval(overview.wrong_block_share, "Wrong blocks"),
        ),
        Tile(
            key="missed_harm",
            label="Missed harm",
            value=missed_value,
            basis=missed_basis,
            meaning="Not triggered / harmful, among reviewed harmful turns, weighted by how they were sampled",
            page=TRIAGE,
            link="Judge more",
            change=_difference(overview.missed_harm_rate, before and before["missed_harm_rate"]),
            change_basis=compared_with,
            tone="inverse",
            mark=_interval(overview.missed_harm_rate, "Missed harm"),
        ),
        Tile(
            key="escalated",
            label="Escalated",
            value=format_count(overview.escalated),
            basis=f"{format_percent(overview.escalation_rate['estimate'])} of turns · {waiting}",
            meaning="Turns handed to a person by a filter or by their outcome",
            page=TRIAGE,
            link="Open the queue",
            change=_absolute(overview.escalated, overview.escalated_before) if has_change else None,
            change_basis=compared_with,
            mark=_spark(escalations["escalated"].to_list(), "escalated turns"),
        ),
    ]


def _relative(now: int, before: int | None) -> str | None:
    return f"{(now / before - 1) * 100:+.0f} %" if before else None


def _absolute(now: int, before: int | None) -> str | None:
    return None if before is None else f"{now - before:+,}"


def _difference(now: Mapping[str, Any], before: Mapping[str, Any] | None) -> str | None:
    if before is None or now["estimate"] is None or before["estimate"] is None:
        return None
    return format_points(now["estimate"] - before["estimate"])


def _spark(values: Sequence[float], words: str) -> AnyChart | None:
    return build_spark(values, words=words) if len(values) > 1 else None


def _interval(rate: Mapping[str, Any], words: str) -> AnyChart | None:
    return None if rate["estimate"] is None else build_interval(rate, words=words)


def _rates(triggers: pl.DataFrame) -> Sequence[float]:
    sums = triggers.group_by("bucket").agg(pl.col("triggered", "evaluated").sum()).sort("bucket")
    return (
        sums.filter(pl.col("evaluated") > 0)
        .select(pl.col("triggered") / pl.col("evaluated") * 100)
        .to_series()
        .to_list()
    )
