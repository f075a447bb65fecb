"""What the Overview shows, in the order in which its page asks for it; every part is cached (`dashboard.data`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from dashboard import data
from dashboard.charts.rates import choose_bucket
from dashboard.components.coverage import get_share
from dashboard.state import View
from incidents.people import Actor
from incidents.views import CaseView
from metrics.headline import Finding
from metrics.movers import movers
from metrics.overview import Overview, compute_overview
from metrics.query import Query
from metrics.series import trigger_series, turn_series

MOVERS = 8


@dataclass(frozen=True, slots=True)
class Tiles:
    """Figures of the tiles and the sentences above them.

    Attributes:
        overview: Figures of the window and the one before it.
        judged_before: `metrics.errors.judge` of the window before; None = nothing to compare with.
        coverage: Share that the tiles' badges show; None when nothing was due.
        bucket_s: Seconds per point of the series.
        triggers: `metrics.series.trigger_series` by layer.
        turns: `metrics.series.turn_series`.
        escalations: Report `escalations` by hour or day, in time order.
        waiting: Escalated cases that wait.
        findings: What needs a person.
    """

    overview: Overview
    judged_before: Mapping[str, Any] | None
    coverage: float | None
    bucket_s: int
    triggers: pl.DataFrame
    turns: pl.DataFrame
    escalations: pl.DataFrame
    waiting: list[CaseView]
    findings: list[Finding]


@dataclass(frozen=True, slots=True)
class Charts:
    """What stands below the tiles: report `funnel`, `metrics.movers`, markers of changes and alarms."""

    funnel: pl.DataFrame
    movers: pl.DataFrame
    markers: pl.DataFrame


def read_tiles(view: View, query: Query, *, actor: Actor) -> Tiles:
    """The figures of the tiles; `query` is the view's (`data.build_query`)."""
    overview = data.read(compute_overview, query)
    counts, _ = data.coverage(query)
    bucket_s = choose_bucket(data.resolve_window(view).length, checks=int(counts["checks"] or 0))
    waiting = data.list_escalated(actor)
    period = data.choose_period(view)
    return Tiles(
        overview=overview,
        judged_before=data.judge_before(query) if data.previous_label(view) else None,
        coverage=get_share(counts),
        bucket_s=bucket_s,
        triggers=data.read(trigger_series, query, by="layer", bucket_s=bucket_s),
        turns=data.read(turn_series, query, bucket_s=bucket_s),
        escalations=data.rows("escalations", data.build_query(view, by=(period,))).sort(period),
        waiting=waiting,
        findings=data.find_what_needs_a_person(query, waiting),
    )


def read_charts(view: View, query: Query) -> Charts:
    """The rest of the page."""
    return Charts(
        funnel=data.rows("funnel", query),
        movers=data.read(movers, query, by="rule_id", limit=MOVERS if data.previous_label(view) else 0),
        markers=data.list_markers(query),
    )
