"""The page's name as its first heading, for screen readers; on the screen the navigation shows it."""

from __future__ import annotations

import streamlit as st

_SCRIPT = """
export default function ({ data, parentElement }) {
    const heading = document.createElement("h1")
    heading.textContent = data
    heading.style.cssText = "position:absolute;width:1px;height:1px;margin:0;overflow:hidden;clip-path:inset(50%);white-space:nowrap"
    parentElement.replaceChildren(heading)
}
"""

_show = st.components.v2.component("weir_page_heading", js=_SCRIPT)


def render(title: str) -> None:
    """Puts the heading where it is called; it takes no room."""
    _show(key="page_heading", data=title, width=1, height=1)
