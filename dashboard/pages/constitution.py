"""What the model should live by: principles, stress tests of them, revisions that wait for a person, rankings."""

from __future__ import annotations

import streamlit as st

from dashboard.components.constitution_principles import render_principles
from dashboard.components.constitution_ranking import render_ranking
from dashboard.components.constitution_revisions import render_revisions
from dashboard.components.constitution_stress import render_stress

PARTS = {
    "Principles": render_principles,
    "Stress tests": render_stress,
    "Revisions": render_revisions,
    "Ranking": render_ranking,
}

chosen = st.segmented_control(
    "Part", list(PARTS), default="Principles", key="part", bind="query-params", label_visibility="collapsed"
)
PARTS[chosen or "Principles"]()
