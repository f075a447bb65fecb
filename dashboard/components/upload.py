"""Bringing a log file in by hand."""

from __future__ import annotations

import streamlit as st

from dashboard import data, state
from dashboard.errors import boundary
from dashboard.text import inert
from dashboard.uploads import save_upload


def render_upload() -> None:
    """A form that puts one file into the inbox, from where scheduled ingest takes it within a second or so."""
    with st.form("upload", clear_on_submit=True, border=True):
        file = st.file_uploader(
            "Log file: JSONL, JSON, CSV or Parquet, also as .gz or .zst, or an .eval archive; the format is found from its content",
            key="upload_file",
        )
        source = st.text_input("Source", value="uploads", max_chars=60, help="Stands beside every record of the file")
        is_sent = st.form_submit_button("Put into the inbox", icon=":material/upload:", type="primary")
    if not is_sent:
        return
    if file is None:
        st.warning("Choose a file first.", icon=":material/upload_file:")
        return
    with boundary("Upload"):
        path = save_upload(data.home().settings.inbox, file.name, file, source=source, actor=state.current_actor())
        st.success(
            f"{inert(path.name)} is in the inbox. Its records show under Ingests as soon as they are stored.",
            icon=":material/check_circle:",
        )
