"""The filters: each at a glance and in depth, and the cascade that they make together."""

from __future__ import annotations

import streamlit as st

from dashboard import state
from dashboard.components.cascade import render_cascade
from dashboard.components.filter_list import render_filters

SECTIONS = {"Filters": render_filters, "Cascade": render_cascade}
FIRST = next(iter(SECTIONS))

view = state.current_view()
chosen = st.segmented_control(
    "Part", list(SECTIONS), default=FIRST, key="part", bind="query-params", label_visibility="collapsed"
)
SECTIONS[chosen or FIRST](view)
