"""What every run does: the list of pages, the bar above the chosen one, and the error boundary around it."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from dashboard import data
from dashboard.components.shell import render_shell
from dashboard.errors import boundary
from dashboard.navigation import PAGES, PageSpec

FOLDER = Path(__file__).parent


def _build_page(spec: PageSpec, counts: dict[str, int]) -> st.Page:
    count = counts.get(spec.key)
    title = f"{spec.title} {count:,}" if count else spec.title
    return st.Page(spec.path, title=title, icon=spec.icon, url_path=spec.url_path or None, default=not spec.url_path)


def run_dashboard() -> None:
    """Draws the chosen page below the bar."""
    # Local files: a named icon or emoji would make the browser fetch it from a foreign host.
    st.set_page_config(page_title="Weir", page_icon=FOLDER / "logo.svg", layout="wide")
    st.logo(FOLDER / "wordmark.svg", size="medium", icon_image=FOLDER / "wordmark.svg")
    counts: dict[str, int] = {}
    with boundary("Queue counts", is_part=True):
        counts = data.count_waiting()
    pages = [_build_page(spec, counts) for spec in PAGES.values()]
    chosen = st.navigation(pages, position="top")
    spec = next(spec for spec in PAGES.values() if spec.url_path == chosen.url_path)
    render_shell(spec)
    with boundary(spec.title):
        chosen.run()
