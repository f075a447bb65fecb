"""The coverage badge: how much of the window's traffic was evaluated, and what is missing."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl
import streamlit as st

from dashboard import data
from dashboard.navigation import get_path
from dashboard.state import View
from dashboard.text import inert
from dashboard.theme import format_count, format_percent
from metrics.query import Query

WARN_BELOW = 0.99
_MOST_HOLES = 8
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
    coverage, filters = data.coverage(data.build_query(view))
    share = get_share(coverage)
    is_low = share is not None and share < WARN_BELOW
    label = "no checks" if share is None else f"coverage {format_coverage(share)}"
    icon = ":material/warning:" if is_low else ":material/verified:"
    with st.popover(f":orange[{label}]" if is_low else label, icon=icon, type="tertiary", key="coverage"):
        st.markdown("**What this window rests on**")
        st.caption(
            "The lower of two shares: of the checks logged, those that decided; of the turns that filters were due on, those "
            "on which they ran. What is missing leaves every rate's denominator."
        )
        _render_holes(find_holes(filters))
        for key, (title, meaning) in MEANINGS.items():
            st.markdown(f"**{format_count(coverage[key])}** {title} · :gray[{meaning}]")
        st.page_link(get_path("sources"), label="Open Sources", icon=":material/database:")


def get_share(coverage: Mapping[str, int | float | None]) -> float | None:
    """The share that a window's badge shows, out of `metrics.coverage.compute_coverage`; None when nothing was due."""
    shares = [share for share in (coverage["evaluated_share"], coverage["ran_share"]) if share is not None]
    return min(shares, default=None)


def render_badge(share: float | None) -> None:
    """The badge of a tile that less than `WARN_BELOW` of what was due feeds; nothing else."""
    if share is not None and share < WARN_BELOW:
        st.badge(f"coverage {format_coverage(share)}", icon=":material/warning:", color="orange")


def measure_filter(query: Query) -> float | None:
    """The share that the badges of one filter's tiles show: of its logged checks those that decided, or of the turns that it was due on
    those on which it ran, whichever is lower; the query selects the filter."""
    rows = data.report("triggers", query).rows
    counts = rows.select("evaluated", "errors", "not_run", "undecided").sum().row(0, named=True)
    logged = sum(counts.values())
    due = data.report("coverage", query).rows.select(pl.col("due", "ran").sum()).row(0, named=True)
    shares = [counts["evaluated"] / logged] if logged else []
    return min([*shares, *([due["ran"] / due["due"]] if due["due"] else [])], default=None)


def find_holes(filters: pl.DataFrame) -> pl.DataFrame:
    """Rows of `metrics.due.count_due` of the filters that ran on less than they should have, the lowest first."""
    rows = filters.filter(pl.col("ran") < WARN_BELOW * pl.col("due"))
    return rows.sort(pl.col("ran") / pl.col("due"), "filter_name")


def _render_holes(rows: pl.DataFrame) -> None:
    for row in rows.head(_MOST_HOLES).to_dicts():
        share, name = row["ran"] / row["due"], inert(row["filter_name"], limit=40)
        st.markdown(f":orange[**{name}**] ran on {format_coverage(share)} of {format_count(row['due'])} turns")
    if rows.height > _MOST_HOLES:
        st.caption(f"and {rows.height - _MOST_HOLES} filters more")


def format_coverage(share: float) -> str:
    """A share near one, never rounded up to 100 %."""
    if share >= 1:
        return "100 %"
    return f"{min(share * 100, 99.9):.1f} %" if share > 0.1 else format_percent(share)
