"""How this home is run: people, settings in force, notifications, what is kept, and the audit log."""

from __future__ import annotations

import streamlit as st

from dashboard.components.admin_audit import render_audit
from dashboard.components.admin_home import render_people, render_retention, render_settings
from dashboard.components.admin_notify import render_notifications

SECTIONS = {
    "Audit": render_audit,
    "People": render_people,
    "Settings": render_settings,
    "Notifications": render_notifications,
    "Retention": render_retention,
}
FIRST = next(iter(SECTIONS))

chosen = st.segmented_control(
    "Section", list(SECTIONS), default=FIRST, key="admin", bind="query-params", label_visibility="collapsed"
)
SECTIONS[chosen or FIRST]()
