"""Shadow versions against live ones on the same turns: the paired table, the verdict, and what to review."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import polars as pl
import streamlit as st

from core.errors import AppError
from dashboard import data, state
from dashboard.components.empty import render_empty
from dashboard.components.loading import loading
from dashboard.navigation import get_path
from dashboard.state import View
from dashboard.text import inert
from dashboard.theme import BadgeColour, format_count, format_interval, format_percent, format_points
from incidents.disagreements import draw_disagreements
from metrics.query import Query

REVIEWED_AT_ONCE = 50
_DRAWN = "shadow.drawn"
_VERDICTS: dict[str, tuple[str, BadgeColour, str]] = {
    "promote": ("Promote", "green", "lies above one half: people side with the candidate"),
    "reject": ("Reject", "red", "lies below one half: people side with the live version"),
    "hold": ("Hold", "orange", "still contains one half: review more disagreements"),
}


def render_shadow(view: View) -> None:
    """Draws one card per candidate within the view's window and filters."""
    query = data.build_query(view)
    with loading("quality_shadow", height=300):
        result = data.report("shadow", query)
    if result.rows.is_empty():
        render_empty(
            "No filter ran in shadow beside a live version",
            "A check logged with mode shadow is compared with the enforced checks of the same filter on the same turns.",
            icon=":material/compare:",
        )
        return
    for place, row in enumerate(result.rows.iter_rows(named=True)):
        _render_comparison(place, row, query)
    st.caption("Only disagreements need review: where both decided alike, neither is better.")


def _render_comparison(place: int, row: dict[str, Any], query: Query) -> None:
    title, colour, _ = _VERDICTS[row["verdict"]]
    with st.container(border=True, key=f"shadow_{place}"):
        left, right = st.columns([4, 1], vertical_alignment="center")
        left.markdown(f"**{inert(row['candidate'])}** against **{inert(row['reference'])}**")
        with right:
            st.badge(title, color=colour)
        st.markdown(_explain(row))
        table, numbers = st.columns([1, 1], gap="medium")
        with table:
            _render_table(place, row)
        with numbers:
            _render_numbers(row)
        _render_review(place, row, query)


def _explain(row: dict[str, Any]) -> str:
    """What the verdict rests on, in a sentence."""
    title, _, why = _VERDICTS[row["verdict"]]
    right = row["candidate_right"]
    if right["estimate"] is None:
        return f"{title}: too few of the disagreements are reviewed to tell who is right."
    return (
        f"{title}: the candidate is right in {format_percent(right['estimate'])} of {right['n']:,} reviewed disagreements, "
        f"and the interval of {format_interval(right)} % {why}."
    )


def _render_table(place: int, row: dict[str, Any]) -> None:
    """The paired two-by-two table."""
    frame = pl.DataFrame(
        {
            "live": ["live version triggered", "live version passed"],
            "candidate_triggered": [row["both"], row["only_candidate"]],
            "candidate_passed": [row["only_reference"], row["neither"]],
        }
    )
    st.dataframe(
        frame,
        key=f"shadow_table_{place}",
        hide_index=True,
        alt="Turns by what the live version and the candidate decided",
        column_config={
            "live": st.column_config.TextColumn(""),
            "candidate_triggered": st.column_config.NumberColumn("Candidate triggered", format="localized"),
            "candidate_passed": st.column_config.NumberColumn("Candidate passed", format="localized"),
        },
    )
    st.caption(
        f"{format_count(row['pairs'])} turns that both decided about; {format_count(row['unpaired'])} decided by one only are "
        f"left out. Exact McNemar test: {_format_p(row['p_value'])}."
    )


def _render_numbers(row: dict[str, Any]) -> None:
    left, right = st.columns(2)
    with left:
        difference = row["difference"]
        st.metric("Trigger rate", format_points(difference["estimate"]))
        st.caption(f"{format_points(difference['low'])} to {format_points(difference['high'])}, candidate minus live")
    with right:
        st.metric("Disagreements", format_count(row["only_reference"] + row["only_candidate"]))
        st.caption(
            f"only live {format_count(row['only_reference'])} · only candidate {format_count(row['only_candidate'])}"
        )


def _render_review(place: int, row: dict[str, Any], query: Query) -> None:
    if not row["only_reference"] + row["only_candidate"]:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button(
            f"Send {REVIEWED_AT_ONCE} disagreements to review",
            key=f"shadow_review_{place}",
            icon=":material/playlist_add_check:",
            help="Drawn at random within each direction, with stored probabilities, so that the verdict stays unbiased",
        ):
            st.session_state[_DRAWN] = (row["reference"], row["candidate"], _draw(row, query))
        drawn = st.session_state.get(_DRAWN)
        if drawn and drawn[:2] == (row["reference"], row["candidate"]):
            st.caption(inert(drawn[2], limit=300), width="content")
            st.page_link(get_path("triage"), label="Open triage", icon=":material/fact_check:")


def _draw(row: dict[str, Any], query: Query) -> str:
    """Draws and says what was drawn, or why not."""
    home = data.home()
    try:
        summary = draw_disagreements(
            home.records,
            home.events,
            replace(query, pair=(row["reference"], row["candidate"])),
            n=REVIEWED_AT_ONCE,
            settings=home.settings,
            actor=state.current_actor(),
        )
    except AppError as error:
        return error.sentence()
    parts = ", ".join(f"{stratum.drawn} {stratum.name.rsplit('/', 1)[1]}" for stratum in summary.strata)
    return f"Drawn {summary.drawn:,} of {summary.population:,}: {parts}."


def _format_p(value: object) -> str:
    if not isinstance(value, float):
        return "none"
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"
