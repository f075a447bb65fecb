"""One filter in depth: rates, scores, categories, rules, versions, latency, newest triggers."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard import data, lists
from dashboard.charts.bars import build_counts, build_rates
from dashboard.charts.latency import build_latency
from dashboard.charts.rates import build_trigger_rate, choose_bucket
from dashboard.charts.scores import build_score_histogram
from dashboard.components.chart import render_chart
from dashboard.components.coverage import measure_filter, render_badge
from dashboard.components.empty import render_empty
from dashboard.components.filter_changes import render_changes
from dashboard.components.tiles import describe_rate
from dashboard.components.triggers import render_triggers
from dashboard.state import View
from dashboard.text import inert, plain
from dashboard.theme import PURPLE, format_count, format_ms, localise
from ingest.crosswalk import HAZARDS
from metrics.alarms.expected import expected_series
from metrics.query import Query
from metrics.scores import score_histogram
from metrics.series import trigger_series

MEASURES = {
    "wrong_block_share": ("Wrong blocks", "benign / triggered, among reviewed triggers"),
    "missed_harm_rate": ("Missed harm", "not triggered / harmful, among reviewed harmful turns"),
    "benign_blocked_rate": ("Benign blocked", "triggered / benign, among reviewed benign turns"),
}


def render_filter(name: str, view: View) -> None:
    """Draws everything about the filter `name` within the view's window and filters.

    Args:
        name: As logged; hostile.
        view: The page's view.
    """
    query = data.build_query(replace(view, filter=()), filters=(("filter_name", name),))
    st.subheader(inert(name), anchor=False)
    _render_measures(query)
    scores = data.read(score_histogram, query)
    if scores.is_empty():
        _render_rate(query)
    else:
        left, right = st.columns(2, gap="medium")
        with left:
            _render_rate(query)
        with right:
            _render_scores(scores)
    _render_changes(query)
    left, right = st.columns(2, gap="medium")
    with left:
        _render_categories(query)
        _render_versions(query)
    with right:
        _render_rules(query)
        _render_latency(query, view)
    _render_newest(query, view)


def _render_measures(query: Query) -> None:
    triggers = data.report("triggers", query).rows
    errors = data.report("errors", query).rows
    latency = data.report("latency", query).rows
    coverage = measure_filter(query)
    columns = iter(st.columns(3 + len(MEASURES), gap="xsmall"))
    row = triggers.row(0, named=True) if triggers.height else None
    judged = errors.row(0, named=True) if errors.height else {}
    quantiles = latency.row(0, named=True) if latency.height else None
    value, basis = describe_rate(row["trigger_rate"], noun="checks", min_sample=query.min_sample) if row else ("–", "")
    _render_measure(next(columns), "Trigger rate", value, basis, meaning="Triggered / evaluated", coverage=coverage)
    for key, (title, meaning) in MEASURES.items():
        value, basis = (
            describe_rate(judged[key], noun="reviews", min_sample=query.min_sample) if judged else ("–", "no reviews")
        )
        _render_measure(next(columns), title, value, basis, meaning=meaning, coverage=coverage)
    failed = format_count(row["errors"] if row else None)
    _render_measure(
        next(columns), "Failed checks", failed, "neither pass nor trigger", meaning="Checks that gave no verdict"
    )
    p95 = quantiles["p95_ms"] if quantiles else None
    _render_measure(
        next(columns),
        "Latency p95",
        "–" if p95 is None else format_ms(p95),
        "no time logged" if p95 is None or quantiles is None else f"median {format_ms(quantiles['p50_ms'])}",
        meaning="95th percentile of the time that checks took",
    )


def _render_measure(
    column: DeltaGenerator, title: str, value: str, basis: str, *, meaning: str, coverage: float | None = None
) -> None:
    with column.container(border=True, gap="xsmall", height="stretch"):
        st.metric(title, value, help=meaning)
        st.caption(basis)
        render_badge(coverage)


def _render_rate(query: Query) -> None:
    length = query.until - query.since if query.since and query.until else None
    bucket_s = choose_bucket(length, checks=_count_checks(query))
    frame = data.read(trigger_series, query, by="filter_name", bucket_s=bucket_s)
    chart = build_trigger_rate(
        frame,
        by="filter_name",
        bucket_s=bucket_s,
        zone=data.zone(),
        markers=data.list_markers(query),
        expected=data.read(expected_series, query, bucket_s=bucket_s),
    )
    render_chart(chart, key="filter_rate")


def _render_changes(query: Query) -> None:
    changes = data.list_filter_changes(query)
    if changes.is_empty():
        st.caption("No change of this filter in this window; `weir changes add` registers what no log tells.")
        return
    st.markdown("**Changes** · :gray[with the trigger rate of up to 7 days before and after]")
    render_changes(changes, key="filter_changes", zone=data.zone())


def _count_checks(query: Query) -> int:
    rows = data.report("triggers", query).rows
    return int(rows["evaluated"].sum()) if rows.height else 0


def _render_scores(frame: pl.DataFrame) -> None:
    sizes = (
        frame.group_by("filter_version")
        .agg(pl.col("checks").sum())
        .sort(["checks", "filter_version"], descending=[True, False])
    )
    versions = sizes["filter_version"].to_list()
    version = versions[0] if versions else None
    place = st.container()
    if len(versions) > 1:
        version = st.selectbox(
            "Version of the scores", versions, key="score_version", format_func=plain, label_visibility="collapsed"
        )
    chosen = frame.filter(pl.col("filter_version").eq_missing(pl.lit(version, dtype=pl.String)))
    with place:
        render_chart(build_score_histogram(chosen, version=version or ""), key="filter_scores")


def _render_categories(query: Query) -> None:
    rows = data.report("triggers", replace(query, by=("category",))).rows
    rows = rows.with_columns(pl.col("category").replace(HAZARDS))
    chart = build_counts(
        rows, by="category", count="triggered", title="Categories", unit="triggers", reason="no triggers in this window"
    )
    render_chart(chart, key="filter_categories")


def _render_rules(query: Query) -> None:
    rows = data.report("triggers", replace(query, by=("rule_id",))).rows
    named = rows.filter(pl.col("rule_id").is_not_null())
    chart = build_counts(
        named,
        by="rule_id",
        count="triggered",
        title="Rules",
        unit="triggers",
        reason="this filter logs no rules",
        colour=PURPLE,
    )
    render_chart(chart, key="filter_rules")


def _render_versions(query: Query) -> None:
    rows = data.report("triggers", replace(query, by=("filter_version", "mode"))).rows
    rows = rows.with_columns(
        version=pl.concat_str(
            pl.col("filter_version").fill_null("no version"), pl.lit(" · "), pl.col("mode").fill_null("?")
        )
    )
    chart = build_rates(
        rows,
        by="version",
        rate="trigger_rate",
        title="Versions",
        unit="triggered / evaluated",
        reason="no checks decided",
    )
    render_chart(chart, key="filter_versions")


def _render_latency(query: Query, view: View) -> None:
    period = data.choose_period(view)
    zone = data.zone()
    rows = data.report("latency", replace(query, by=(period,))).rows
    render_chart(build_latency(localise(rows, zone), period=period, zone_name=zone.key), key="filter_latency")


def _render_newest(query: Query, view: View) -> None:
    rows = data.read(lists.list_newest_triggers, query, limit=50)
    st.markdown("**Newest triggers**")
    if rows.is_empty():
        render_empty("No triggers in this window", data.explain_empty(view))
        return
    render_triggers(rows, key="newest_triggers")
