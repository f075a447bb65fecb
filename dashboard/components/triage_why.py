"""Why a case is in the queue: its priority, and what each filter made of the turn."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
import streamlit as st

from dashboard.components.triage_text import excerpt

MATCH_LIMIT = 500
WIDTHS = {"Filter": 150, "Verdict": 76, "Score / threshold": 122, "Action": 110}


def render(
    checks: pl.DataFrame,
    *,
    reason: str,
    is_blind: bool,
    reports: Sequence[str],
    matches: Sequence[tuple[str, str]] | None,
) -> None:
    """Shows the panel.

    Args:
        checks: Rows of `triage_evidence.tabulate_checks`.
        reason: The sentence that explains the case's priority.
        is_blind: What the filters said is withheld, so that it cannot sway a verdict that measures them.
        reports: One sentence per user report.
        matches: Filter and matched text; None while the turn is masked.
    """
    st.subheader("Why it is here", anchor=False)
    if is_blind:
        st.text("Drawn for a review sample.")
        st.caption("What the filters said is withheld: your verdict measures them, so it must not depend on them.")
        return
    st.text(f"Priority: {reason}")
    for report in reports:
        st.text(report)
    if checks.is_empty():
        st.caption("No filter logged a check of this turn.")
        return
    st.dataframe(
        checks,
        key="triage_checks",
        hide_index=True,
        column_order=("Filter", "Verdict", "Score / threshold", "Action", "Layer", "Category"),
        column_config={name: st.column_config.TextColumn(width=pixels) for name, pixels in WIDTHS.items()},
        alt="Checks of the flagged turn in cascade order",
    )
    if matches is None:
        st.caption("What matched is shown once the turn is revealed.")
        return
    for name, text in matches:
        st.text(f"{name} matched: {excerpt(text, limit=MATCH_LIMIT).text}")
