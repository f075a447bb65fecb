"""Arms of an experiment against each other: the verdict with the interval that decided it, and the proposals it tries."""

from __future__ import annotations

from typing import Any

import polars as pl
import streamlit as st

from dashboard import data, state
from dashboard.components.empty import render_empty
from dashboard.components.loading import loading
from dashboard.components.workbench_proposals import describe_terms
from dashboard.state import View
from dashboard.text import inert, plain
from dashboard.theme import MISSING, BadgeColour, format_points, format_rate
from incidents.proposals import list_proposals

_VERDICTS: dict[str, tuple[str, BadgeColour]] = {
    "promote": ("Promote", "green"),
    "hold": ("Hold", "orange"),
    "reject": ("Reject", "red"),
    "invalid": ("Readout blocked", "red"),
}


def render_experiments(view: View) -> None:
    """Draws the arms of one experiment within the view's window and filters."""
    with loading("quality_experiments", height=300):
        result = data.report("experiment", data.build_query(view))
    rows = result.rows
    if rows.is_empty():
        render_empty(
            "No turn in this window belongs to an experiment",
            "Turns whose model log names an arm (fields experiment and arm) are compared here.",
            icon=":material/science:",
        )
        return
    names = [name or "" for name in rows["experiment"].unique(maintain_order=True)]
    chosen = st.selectbox(
        "Experiment",
        names,
        format_func=lambda name: plain(name) or "not named",
        key="experiment",
        bind="query-params",
    )
    name = chosen if chosen is not None else names[0]
    own = rows.filter(pl.col("experiment").fill_null("") == name)
    for row in own.filter(pl.col("verdict").is_not_null()).iter_rows(named=True):
        _render_verdict(row, first=own["arm"][0])
    _render_arms(own)
    if own.filter(pl.col("verdict").is_not_null()).height:
        for note in result.notes[-1:]:
            st.caption(inert(note, limit=600))
    _render_proposals(name)


def _render_verdict(row: dict[str, Any], *, first: str) -> None:
    title, colour = _VERDICTS[row["verdict"]]
    with st.container(horizontal=True, vertical_alignment="center", key="experiment_verdict"):
        st.badge(title, color=colour)
        st.markdown(
            f"**{inert(row['arm'])}** against **{inert(first)}**: {inert(row['decided_by'], limit=300)}",
            width="content",
        )


def _render_arms(rows: pl.DataFrame) -> None:
    shown = rows.select(
        pl.col("arm").map_elements(plain, return_dtype=pl.String),
        "turns",
        "conversations",
        pl.col("intervention_rate").map_elements(format_rate, return_dtype=pl.String),
        pl.col("difference").map_elements(_format_difference, return_dtype=pl.String, skip_nulls=False),
        pl.struct("sequential_low", "sequential_high")
        .map_elements(_format_sequence, return_dtype=pl.String)
        .alias("sequence"),
        pl.col("missed_harm_prevalence").map_elements(format_rate, return_dtype=pl.String),
        pl.col("guardrail_difference").map_elements(_format_difference, return_dtype=pl.String, skip_nulls=False),
    )
    text, number = st.column_config.TextColumn, st.column_config.NumberColumn
    st.dataframe(
        shown,
        key="quality_experiments_table",
        hide_index=True,
        height="content",
        placeholder=MISSING,
        alt="Arms of the experiment",
        column_config={
            "arm": text("Arm", pinned=True),
            "turns": number("Turns", format="localized"),
            "conversations": number("Conversations", format="localized"),
            "intervention_rate": text("Intervened", help="Turns that ended otherwise than pass / turns"),
            "difference": text("Against the first arm", help="95 % interval, conversations as clusters"),
            "sequence": text("Holds at every look", help="Confidence sequence: valid however often one looks"),
            "missed_harm_prevalence": text("Harm that passed", help="Harmful / reviewed turns that passed"),
            "guardrail_difference": text("Guardrail", help="Harm that passed, minus that of the first arm"),
        },
    )
    p_value, crossed = rows.select("srm_p_value", "crossed").row(0)
    even = MISSING if p_value is None else f"p = {p_value:.3f}"
    st.caption(
        f"Assignment: even arms {even} (below 0.001 blocks the readout); {crossed:,} conversations met more than one arm "
        "(above 1 % blocks it)."
    )


def _render_proposals(experiment: str) -> None:
    """The proposed changes that this experiment tries."""
    views = list_proposals(data.home().records, actor=state.current_actor())
    for view in (view for view in views if experiment and view.experiment == experiment):
        what = " · ".join(inert(part, limit=60) for part in (view.change.rule_id, view.change.filter_name) if part)
        st.markdown(
            f":material/science: Tries proposal {view.proposal_id} ({view.state.title.lower()}): {what}, {describe_terms(view)}"
        )


def _format_difference(row: dict[str, float | None] | None) -> str:
    if row is None or row["estimate"] is None:
        return MISSING
    return f"{format_points(row['estimate'])} ({format_points(row['low'])} to {format_points(row['high'])})"


def _format_sequence(row: dict[str, float | None]) -> str:
    low, high = row["sequential_low"], row["sequential_high"]
    return MISSING if low is None else f"{format_points(low)} to {format_points(high)}"
