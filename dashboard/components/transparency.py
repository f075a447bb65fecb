"""The report that leaves the house: per category what was done automatically, by people and on appeal."""

from __future__ import annotations

import streamlit as st

from core.clock import now
from dashboard import data, state
from dashboard.components.document import render_document, render_downloads
from dashboard.components.empty import render_empty
from dashboard.components.loading import loading
from incidents.audit_log import note_deed
from metrics import REPORTS
from service.report_files import build_document, write_csv
from service.reports import run_home_report

NAME = "transparency"


def render_transparency() -> None:
    """Draws the report over the bar's window and filters, and the ways to take it out."""
    view = state.current_view()
    with loading(NAME, height=400):
        result = run_home_report(data.home(), NAME, data.build_query(view))
    if result.rows.is_empty():
        render_empty("Nothing to report", data.explain_empty(view), icon=":material/public:")
        return
    document = build_document(result, REPORTS[NAME])
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown("#### Transparency report", width="content")
        st.space("stretch")
        st.download_button(
            "CSV",
            write_csv(result),
            file_name="transparency.csv",
            mime="text/csv",
            key="transparency_csv",
            icon=":material/download:",
            on_click=_note_export,
        )
        render_downloads(document, name=NAME, key=NAME, on_click=_note_export)
    render_document(document, key=NAME)


def _note_export() -> None:
    note_deed(data.home().records, "report.export", NAME, actor=state.current_actor(), at=now())
