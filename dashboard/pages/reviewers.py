"""How well people judge: agreement, what waits to be settled; a reviewer's own figures are shown to nobody else."""

from __future__ import annotations

import streamlit as st

from dashboard import state
from dashboard.components.reviewer_adjudication import render_adjudication
from dashboard.components.reviewer_agreement import render_agreement
from dashboard.components.reviewer_calibration import render_calibration
from dashboard.components.reviewer_guidelines import render_guidelines
from dashboard.components.reviewer_wellness import render_wellness

SECTIONS = {
    "Agreement": render_agreement,
    "Adjudication": render_adjudication,
    "Calibration": render_calibration,
    "Guidelines": render_guidelines,
    "Wellbeing": render_wellness,
}
FIRST = next(iter(SECTIONS))

chosen = st.segmented_control(
    "Part", list(SECTIONS), default=FIRST, key="part", bind="query-params", label_visibility="collapsed"
)
SECTIONS[chosen or FIRST](state.current_view())
