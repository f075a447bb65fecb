"""What stands where there is nothing to show: what is missing, why, and what to do about it."""

from __future__ import annotations

import streamlit as st

from dashboard.text import inert


def render_empty(title: str, reason: str, *, icon: str = ":material/inbox:", height: int | None = None) -> None:
    """A calm box with a title and a reason; both may hold logged text.

    Args:
        title: What is missing, e.g. "No checks in this window".
        reason: Why, and what the reader can do.
        icon: Material icon.
        height: Pixels, to keep the place of a chart; None fits the text.
    """
    with st.container(border=True, height=height or "content", vertical_alignment="center"):
        st.markdown(f"{icon} **{inert(title, limit=200)}**")
        st.caption(inert(reason, limit=600))
