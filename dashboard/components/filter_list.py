"""Every filter at a glance, then one filter in depth."""

from __future__ import annotations

import streamlit as st

from dashboard import data
from dashboard.components.empty import render_empty
from dashboard.components.filter_detail import render_filter
from dashboard.components.filter_table import KEYS, build_filter_table, render_filter_table
from dashboard.components.loading import loading
from dashboard.state import View


def render_filters(view: View) -> None:
    """Draws the table, and below it the filter chosen in it."""
    period = data.choose_period(view)
    with loading("filters", height=400):
        query = data.build_query(view, by=KEYS)
        triggers = data.report("triggers", query).rows
        previous = data.build_previous(query) if data.previous_label(view) else None
        table = build_filter_table(
            triggers,
            previous=data.report("triggers", previous).rows if previous else None,
            errors=data.report("errors", query).rows,
            latency=data.report("latency", query).rows,
            trend=data.report("triggers", data.build_query(view, by=(*KEYS, period))).rows,
            period=period,
            layers=data.home().settings.layers,
        )
    if table.is_empty():
        render_empty("No checks in this window", data.explain_empty(view), icon=":material/filter_alt:")
        return

    render_filter_table(table, key="filter_table", choice_key="show")
    names = list(dict.fromkeys(name for name in table["filter_name"].to_list() if name))
    chosen = st.selectbox(
        "One filter",
        names,
        index=None,
        key="show",
        bind="query-params",
        placeholder="Choose a filter, here or in the table, to see its scores, rules, versions and newest triggers",
        label_visibility="collapsed",
    )
    if chosen:
        render_filter(chosen, view)
