"""The state of the cascade in five seconds."""

from __future__ import annotations

import streamlit as st

from core.clock import now
from dashboard import data, state
from dashboard.charts.cascade import build_funnel, build_outcomes
from dashboard.charts.rates import build_trigger_rate, choose_bucket
from dashboard.components.chart import render_chart
from dashboard.components.coverage import get_share
from dashboard.components.empty import render_empty
from dashboard.components.escalations import render_escalations
from dashboard.components.headline import render_headline
from dashboard.components.loading import loading
from dashboard.components.movers import render_movers
from dashboard.components.overview_tiles import build_tiles
from dashboard.components.tiles import render_tiles
from dashboard.navigation import get_path
from incidents.response.escalation import count_case_steps
from metrics.movers import movers
from metrics.overview import compute_overview
from metrics.series import trigger_series, turn_series

view = state.current_view()
query = data.build_query(view)
if data.newest_event() is None:
    render_empty("Nothing to show yet", data.explain_empty(view), icon=":material/monitoring:")
    st.page_link(get_path("sources"), label="Bring in logs", icon=":material/upload:")
    st.stop()

zone, period = data.zone(), data.choose_period(view)
compared_with = data.previous_label(view)
# The tiles' figures come first, and what takes longer is asked for below them, so that a live page follows quickly.
with loading("overview", height=700):
    overview = data.read(compute_overview, query)
    bucket_s = choose_bucket(data.resolve_window(view).length, checks=int(overview.coverage["checks"] or 0))
    series = data.read(trigger_series, query, by="layer", bucket_s=bucket_s)
    escalated = data.list_escalated(state.current_actor())
    findings = data.find_what_needs_a_person(query, escalated)
    tiles = build_tiles(
        overview,
        judged_before=data.judge_before(query) if compared_with else None,
        turns=data.read(turn_series, query, bucket_s=bucket_s),
        triggers=series,
        escalations=data.report("escalations", data.build_query(view, by=(period,))).rows.sort(period),
        waiting=data.describe_waiting(escalated),
        compared_with=compared_with,
        min_sample=query.min_sample,
    )

render_headline(findings, last_alarm=data.describe_last_alarm())
render_tiles(tiles, coverage=get_share(overview.coverage))

reason = data.explain_empty(view)
left, right = st.columns([3, 2], gap="medium")
with left:
    render_chart(
        build_trigger_rate(
            series,
            by="layer",
            bucket_s=bucket_s,
            zone=zone,
            reason=reason,
            height=420,
            markers=data.list_markers(query),
        ),
        key="trigger_rate",
    )
with right:
    render_chart(build_funnel(data.report("funnel", query).rows, reason=reason), key="funnel")
    render_chart(build_outcomes(overview.outcomes, reason=reason), key="outcomes")

left, right = st.columns([3, 2], gap="medium")
with left:
    st.markdown("**Movers** · :gray[rules that fire more, or less, than in the window before]")
    moved = data.read(movers, query, by="rule_id", limit=8 if compared_with else 0)
    if moved.is_empty():
        render_empty("Nothing to compare", "No rule fired, or too little was logged in the window before.")
    else:
        render_movers(moved, key="movers")
with right:
    st.markdown("**Newest escalations** · :gray[handed to a person, by the cascade or a reviewer]")
    if escalated:
        steps = count_case_steps(data.home().records, escalated)
        settings = data.home().settings
        render_escalations(escalated, steps=steps, settings=settings, key="escalations", zone=zone, at=now())
    else:
        render_empty(
            "No escalation waits", "What the cascade or a reviewer hands to a person stands here until it is decided."
        )
