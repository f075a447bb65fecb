"""The key `?` opens the list of keys, as people expect; Streamlit's own shortcuts know letters and digits only."""

from __future__ import annotations

import streamlit as st

_SCRIPT = """
export default function () {
    const press = (event) => {
        const place = event.target
        const isTyping = place.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(place.tagName)
        if (event.key === "?" && !isTyping && !document.querySelector("[role=dialog]")) {
            document.querySelector(".st-key-triage_keys button")?.click()
        }
    }
    document.addEventListener("keydown", press)
    return () => document.removeEventListener("keydown", press)
}
"""

_listen = st.components.v2.component("weir_help_key", js=_SCRIPT)


def render() -> None:
    """Listens, invisibly, while the page is shown."""
    _listen(key="triage_help_key", width=1, height=1)
