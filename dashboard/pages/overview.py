"""The state of the cascade in five seconds."""

from __future__ import annotations

import streamlit as st

from core.clock import now
from dashboard import data, state
from dashboard.charts.cascade import build_funnel, build_outcomes
from dashboard.charts.rates import build_trigger_rate
from dashboard.components.chart import render_chart
from dashboard.components.empty import render_empty
from dashboard.components.escalations import render_escalations
from dashboard.components.headline import render_headline
from dashboard.components.loading import loading
from dashboard.components.movers import render_movers
from dashboard.components.overview_tiles import build_tiles
from dashboard.components.tiles import render_tiles
from dashboard.navigation import get_path
from dashboard.overview import read_charts, read_tiles
from incidents.response.escalation import count_case_steps

view = state.current_view()
query = data.build_query(view)
if data.newest_event() is None:
    render_empty("Nothing to show yet", data.explain_empty(view), icon=":material/monitoring:")
    st.page_link(get_path("sources"), label="Bring in logs", icon=":material/upload:")
    st.stop()

zone, compared_with = data.zone(), data.previous_label(view)
# The tiles' figures come first, and what takes longer is asked for below them, so that a live page follows quickly.
with loading("overview", height=700):
    figures = read_tiles(view, query, actor=state.current_actor())
    tiles = build_tiles(
        figures.overview,
        judged_before=figures.judged_before,
        turns=figures.turns,
        triggers=figures.triggers,
        escalations=figures.escalations,
        waiting=data.describe_waiting(figures.waiting),
        compared_with=compared_with,
        min_sample=query.min_sample,
    )

render_headline(figures.findings, last_alarm=data.describe_last_alarm())
render_tiles(tiles, coverage=figures.coverage)

charts = read_charts(view, query)
reason = data.explain_empty(view)
left, right = st.columns([3, 2], gap="medium")
with left:
    render_chart(
        build_trigger_rate(
            figures.triggers,
            by="layer",
            bucket_s=figures.bucket_s,
            zone=zone,
            reason=reason,
            height=420,
            markers=charts.markers,
        ),
        key="trigger_rate",
    )
with right:
    render_chart(build_funnel(charts.funnel, reason=reason), key="funnel")
    render_chart(build_outcomes(figures.overview.outcomes, reason=reason), key="outcomes")

left, right = st.columns([3, 2], gap="medium")
with left:
    st.markdown("**Movers** · :gray[rules that fire more, or less, than in the window before]")
    if charts.movers.is_empty():
        render_empty("Nothing to compare", "No rule fired, or too little was logged in the window before.")
    else:
        render_movers(charts.movers, key="movers")
with right:
    st.markdown("**Newest escalations** · :gray[handed to a person, by the cascade or a reviewer]")
    if figures.waiting:
        steps = count_case_steps(data.home().records, figures.waiting)
        settings = data.home().settings
        render_escalations(figures.waiting, steps=steps, settings=settings, key="escalations", zone=zone, at=now())
    else:
        render_empty(
            "No escalation waits", "What the cascade or a reviewer hands to a person stands here until it is decided."
        )
