"""The coverage badge: how much of the window's traffic was evaluated, and what is missing."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from dashboard import data
from dashboard.navigation import get_path
from dashboard.state import View
from dashboard.theme import format_count, format_percent

WARN_BELOW = 0.99
MEANINGS: Mapping[str, tuple[str, str]] = {
    "turns": ("turns", "exchanges in the window"),
    "checks": ("checks", "evaluations of filters that were logged"),
    "errors": ("failed checks", "the filter did not answer: neither a pass nor a trigger"),
    "not_run": ("checks not run", "skipped, or not reached in the cascade"),
    "orphans": ("turns without a model log", "known only from their checks: no text, no outcome"),
    "rejected": ("rejected records", "could not be stored: see the quarantine on Sources"),
}


def render_coverage(view: View) -> None:
    """A badge that opens the list of what is missing from the view's window."""
    coverage = data.report("triggers", data.build_query(view)).coverage
    share = coverage["evaluated_share"]
    is_low = share is not None and share < WARN_BELOW
    label = "no checks" if share is None else f"coverage {format_coverage(share)}"
    icon = ":material/warning:" if is_low else ":material/verified:"
    with st.popover(f":orange[{label}]" if is_low else label, icon=icon, type="tertiary", key="coverage"):
        st.markdown("**What this window rests on**")
        st.caption(
            "Share of the checks due that were evaluated. A failed or skipped check is neither a pass nor a trigger, "
            "so it leaves every rate's denominator."
        )
        for key, (title, meaning) in MEANINGS.items():
            st.markdown(f"**{format_count(coverage[key])}** {title} · :gray[{meaning}]")
        st.page_link(get_path("sources"), label="Open Sources", icon=":material/database:")


def format_coverage(share: float) -> str:
    """A share near one, never rounded up to 100 %."""
    if share >= 1:
        return "100 %"
    return f"{min(share * 100, 99.9):.1f} %" if share > 0.1 else format_percent(share)
