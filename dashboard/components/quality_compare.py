"""Shadow versions against live ones, and arms of experiments against each other."""

from __future__ import annotations

import polars as pl
import streamlit as st

from dashboard import data
from dashboard.components.empty import render_empty
from dashboard.components.loading import loading
from dashboard.state import View
from dashboard.text import inert, plain
from dashboard.theme import format_count, format_points, format_rate

_VERDICTS = {
    "promote": ("Promote", "green", "people side with the candidate in most disagreements"),
    "reject": ("Reject", "red", "people side with the reference in most disagreements"),
    "hold": ("Hold", "orange", "the interval still contains one half: review more disagreements"),
}


def render_shadow(view: View) -> None:
    """Draws one card per candidate within the view's window and filters."""
    with loading("quality_shadow", height=300):
        result = data.report("shadow", data.build_query(view))
    if result.rows.is_empty():
        render_empty(
            "No filter ran in shadow beside a live version",
            "A check logged with mode shadow is compared with the enforced checks of the same filter on the same turns.",
            icon=":material/compare:",
        )
        return
    for row in result.rows.iter_rows(named=True):
        _render_comparison(row)
    for note in result.notes:
        st.caption(inert(note, limit=600))


def _render_comparison(row: dict[str, object]) -> None:
    title, colour, why = _VERDICTS[str(row["verdict"])]
    with st.container(border=True):
        left, right = st.columns([4, 1], vertical_alignment="center")
        left.markdown(f"**{inert(str(row['candidate']))}** against **{inert(str(row['reference']))}**")
        with right:
            st.badge(title, color=colour)  # type: ignore[arg-type]  # of the table above
        right_share = row["candidate_right"]
        columns = st.columns(4)
        with columns[0]:
            st.metric(
                "Candidate right", format_rate(right_share if isinstance(right_share, dict) else None).split(" (")[0]
            )
            st.caption(
                f"{format_rate(right_share if isinstance(right_share, dict) else None)} of reviewed disagreements"
            )
        with columns[1]:
            difference = row["difference"]
            known = difference if isinstance(difference, dict) else {}
            st.metric("Trigger rate", format_points(known.get("estimate")))
            st.caption(
                f"{format_points(known.get('low'))} to {format_points(known.get('high'))} · {_format_p(row['p_value'])}"
            )
        with columns[2]:
            st.metric("Disagreements", format_count(_whole(row["only_reference"]) + _whole(row["only_candidate"])))
            st.caption(
                f"only live {format_count(_whole(row['only_reference']))} · "
                f"only candidate {format_count(_whole(row['only_candidate']))}"
            )
        with columns[3]:
            st.metric("Turns both decided", format_count(_whole(row["pairs"])))
            st.caption(f"{format_count(_whole(row['unpaired']))} decided by one only, left out")
        st.caption(f"{title}: {why}.")


def _format_p(value: object) -> str:
    if not isinstance(value, float):
        return "no test"
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0


def render_experiments(view: View) -> None:
    """Draws the arms of every experiment within the view's window and filters."""
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
    for note in result.notes:
        st.warning(inert(note, limit=600), icon=":material/warning:")
    difference = pl.col("difference").map_elements(_format_difference, return_dtype=pl.String, skip_nulls=False)
    shown = rows.select(
        pl.col("experiment").fill_null("not named").map_elements(plain, return_dtype=pl.String),
        pl.col("arm").map_elements(plain, return_dtype=pl.String),
        "turns",
        "conversations",
        pl.col("intervention_rate").map_elements(format_rate, return_dtype=pl.String),
        difference,
        pl.struct("sequential_low", "sequential_high")
        .map_elements(_format_sequence, return_dtype=pl.String)
        .alias("sequence"),
        pl.col("missed_harm_prevalence").map_elements(format_rate, return_dtype=pl.String),
        pl.col("srm_p_value"),
    )
    text, number = st.column_config.TextColumn, st.column_config.NumberColumn
    st.dataframe(
        shown,
        key="quality_experiments_table",
        hide_index=True,
        height="content",
        placeholder="–",
        alt="Arms of experiments",
        column_config={
            "experiment": text("Experiment", pinned=True),
            "arm": text("Arm"),
            "turns": number("Turns", format="localized"),
            "conversations": number("Conversations", format="localized"),
            "intervention_rate": text("Intervened", help="Turns that ended otherwise than pass / turns"),
            "difference": text("Against the first arm", help="95 % interval, conversations as clusters"),
            "sequence": text("Holds at every look", help="Confidence sequence: valid however often one looks"),
            "missed_harm_prevalence": text(
                "Harm that passed", help="Harmful / reviewed turns that passed: the guardrail"
            ),
            "srm_p_value": number("Even arms, p", format="%.3f", help="Below 0.001 the differences say nothing"),
        },
    )


def _format_difference(row: dict[str, float | None] | None) -> str:
    if row is None or row["estimate"] is None:
        return "–"
    return f"{format_points(row['estimate'])} ({format_points(row['low'])} to {format_points(row['high'])})"


def _format_sequence(row: dict[str, float | None]) -> str:
    low, high = row["sequential_low"], row["sequential_high"]
    return "–" if low is None else f"{format_points(low)} to {format_points(high)}"
