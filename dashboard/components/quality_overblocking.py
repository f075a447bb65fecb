"""The over-blocking workbench: rules ranked by wrong blocks a day, and the evidence about one of them."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import streamlit as st

from dashboard import data, lists
from dashboard.charts.bars import build_counts
from dashboard.charts.counts import build_trigger_counts
from dashboard.charts.rates import choose_bucket
from dashboard.components.chart import render_chart
from dashboard.components.empty import render_empty
from dashboard.components.loading import loading
from dashboard.components.triggers import render_triggers
from dashboard.state import View
from dashboard.text import inert, plain
from dashboard.theme import format_rate
from metrics.overblocking import rank_rules
from metrics.query import Query
from metrics.series import trigger_series

_SHOWN = 200
_CHOICE = "overblocking_rule"


def render_overblocking(view: View) -> None:
    """Draws the section within the view's window and filters."""
    with loading("quality_overblocking", height=500):
        ranked = data.read(rank_rules, data.build_query(view))
    with_filters = st.toggle(
        "Filters without rules too", key="overblocking_filters", help="Classifiers and guard models often log no rule"
    )
    rows = (ranked if with_filters else ranked.filter(pl.col("rule_id").is_not_null())).head(_SHOWN)
    if rows.is_empty():
        render_empty("No enforced trigger in this window", data.explain_empty(view), icon=":material/block:")
        return
    left, right = st.columns([6, 7], gap="medium")
    with left:
        place = _render_ranking(rows)
    name, rule = rows.select("filter_name", "rule_id").row(place)
    with right:
        _render_evidence(view, name, rule, rows["wrong_block_share"][place])


def _render_ranking(rows: pl.DataFrame) -> int:
    """Draws the table; returns the place of the chosen rule, the first without a choice."""
    shown = rows.select(
        rule=pl.concat_str(
            pl.col("filter_name").fill_null("not logged"), pl.col("rule_id"), separator=" · ", ignore_nulls=True
        ).map_elements(plain, return_dtype=pl.String),
        wrong=pl.struct("wrong_per_day", "low_per_day", "high_per_day").map_elements(
            _format_wrong, return_dtype=pl.String
        ),
        share=pl.col("wrong_block_share").map_elements(format_rate, return_dtype=pl.String, skip_nulls=False),
        triggers="triggered",
    )
    event = st.dataframe(
        shown,
        key=_CHOICE,
        hide_index=True,
        height=560,
        on_select="rerun",
        selection_mode="single-row",
        placeholder="–",
        alt="Rules by estimated wrong blocks per day",
        column_config={
            "rule": st.column_config.TextColumn("Filter · rule", pinned=True, width=225),
            "wrong": st.column_config.TextColumn(
                "Wrong blocks/day", width=120, help="Triggers a day x wrong-block share, with its 95 % interval"
            ),
            "share": st.column_config.TextColumn(
                "Wrong-block share", width=115, help="Benign / triggered, among reviewed triggers"
            ),
            "triggers": st.column_config.NumberColumn("Triggers", format="localized", width=65),
        },
    )
    chosen = [row for row in event["selection"]["rows"] if row < rows.height]
    return chosen[0] if chosen else 0


def _format_wrong(row: dict[str, float | None]) -> str:
    middle, low, high = (row[name] for name in ("wrong_per_day", "low_per_day", "high_per_day"))
    if middle is None or low is None or high is None:
        return "not enough reviews"
    return f"{middle:.1f} ({low:.1f}–{high:.1f})"


def _render_evidence(view: View, name: str | None, rule: str | None, share: object) -> None:
    title = " · ".join(inert(part, limit=60) for part in (rule, name or "not logged") if part)
    st.subheader(title, anchor=False)
    judged = format_rate(share) if isinstance(share, dict) else "not enough reviews"
    st.caption(f"Wrong-block share: {judged}")
    filters = (("filter_name", name or ""), ("rule_id", rule or ""), ("mode", "enforce"))
    query = data.build_query(replace(view, filter=()), filters=filters)
    length = query.until - query.since if query.since and query.until else None
    fired = data.report("triggers", query).rows
    bucket_s = choose_bucket(length, checks=int(fired["triggered"].sum()) if fired.height else 0)
    trend = data.read(trigger_series, query, by="filter_name", bucket_s=bucket_s)
    render_chart(build_trigger_counts(trend, bucket_s=bucket_s, zone=data.zone()), key="rule_trend")
    columns = st.columns(2, gap="small")
    for column, dimension, heading in zip(
        columns, ("language", "filter_version"), ("Languages", "Versions"), strict=True
    ):
        with column:
            _render_counts(query, dimension, heading)
    st.markdown("**Newest triggers**")
    render_triggers(
        data.read(lists.list_newest_triggers, query, limit=50), key="rule_triggers", hidden=("rule_id", "mode")
    )


def _render_counts(query: Query, dimension: str, title: str) -> None:
    rows = data.report("triggers", replace(query, by=(dimension,))).rows
    chart = build_counts(rows, by=dimension, count="triggered", title=title, unit="triggers", reason="no triggers")
    render_chart(chart, key=f"rule_{dimension}")
