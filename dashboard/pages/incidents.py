"""What went wrong and who sees to it: alerts that fire, and the rules that raise them."""

from __future__ import annotations

import streamlit as st

from dashboard.components.alert_list import render_alerts
from dashboard.components.incidents import render_incidents
from dashboard.components.transparency import render_transparency

SECTIONS = {
    "Alerts": render_alerts,
    "Incidents": render_incidents,
    "Transparency": render_transparency,
}
FIRST = next(iter(SECTIONS))

chosen = st.segmented_control(
    "Part", list(SECTIONS), default=FIRST, key="part", bind="query-params", label_visibility="collapsed"
)
SECTIONS[chosen or FIRST]()
