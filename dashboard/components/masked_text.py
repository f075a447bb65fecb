"""A logged text under its title: its size while masked, else the text itself, inert."""

from __future__ import annotations

import streamlit as st

from dashboard.components.triage_text import describe_masked, excerpt


def render_masked(title: str, text: str, *, is_revealed: bool, key: str) -> None:
    """Shows `text`, or how long it is.

    Args:
        title: What the text is; our own words.
        text: Hostile.
        is_revealed: A reveal was recorded.
        key: Identity of the box.
    """
    with st.container(border=True, gap="xsmall", key=key):
        st.caption(title)
        if not is_revealed:
            st.text(f"masked · {describe_masked(text, total=len(text))}")
            return
        part = excerpt(text)
        st.text(part.text)
        if not part.is_whole:
            st.caption(part.note())
