"""How right the filters are: error rates, rules that block too much, thresholds, shadow versions, experiments."""

from __future__ import annotations

import streamlit as st

from dashboard import state
from dashboard.components.quality_errors import render_errors
from dashboard.components.quality_experiments import render_experiments
from dashboard.components.quality_frontier import render_frontier
from dashboard.components.quality_overblocking import render_overblocking
from dashboard.components.quality_shadow import render_shadow
from dashboard.components.quality_thresholds import render_thresholds

SECTIONS = {
    "Error rates": render_errors,
    "Over-blocking": render_overblocking,
    "Thresholds": render_thresholds,
    "Trade-off": render_frontier,
    "Shadow": render_shadow,
    "Experiments": render_experiments,
}

view = state.current_view()
chosen = st.segmented_control(
    "Section", list(SECTIONS), default="Error rates", key="section", bind="query-params", label_visibility="collapsed"
)
SECTIONS[chosen or "Error rates"](view)
