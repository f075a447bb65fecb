"""The conversation around one turn of a list: masked until revealed, with a way to its case."""

from __future__ import annotations

from datetime import datetime
from functools import partial

import polars as pl
import streamlit as st

from core.clock import now
from dashboard import data, lists, state
from dashboard.components import triage_conversation
from dashboard.components.triage_evidence import list_turns
from dashboard.navigation import get_path
from incidents.cases import find_case
from incidents.evidence import Target, gather_evidence
from incidents.reveals import reveal_logged_turn

_REVEALED = "conversation.revealed"


def render_chosen(rows: pl.DataFrame, chosen: list[int], *, time_column: str) -> None:
    """Draws the conversation of the chosen row, or says how to choose one.

    Args:
        rows: The list as it is shown, with `request_id` and a time in naive UTC.
        chosen: Places of the chosen rows; at most the first counts.
        time_column: Name of the time.
    """
    if not chosen or chosen[0] >= rows.height:
        st.caption("Texts stay masked here. Choose a row to open its conversation.")
        return
    request_id, at = rows.select("request_id", time_column).row(chosen[0])
    _render(request_id, at)


def _render(request_id: str, at: datetime) -> None:
    home, actor = data.home(), state.current_actor()
    evidence = gather_evidence(home.events, [Target(request_id, at)], layers=home.settings.layers)[request_id]
    turns = list_turns({"turns": evidence.turns}, request_id=request_id)
    with st.container(border=True, key="conversation"):
        if turns:
            triage_conversation.render(
                turns,
                revealed=st.session_state.get(_REVEALED, frozenset()),
                shortcuts=False,
                on_reveal=_reveal,
                read_whole=partial(lists.read_text, home.events),
            )
        else:
            st.caption("The model log has no texts of this turn.")
        if find_case(home.records, request_id, actor=actor):
            st.page_link(
                get_path("triage"),
                label="Open the case in triage",
                icon=":material/fact_check:",
                query_params={"request": request_id},
            )


def _reveal(request_id: str) -> None:
    reveal_logged_turn(data.home().records, request_id, actor=state.current_actor(), at=now())
    st.session_state[_REVEALED] = st.session_state.get(_REVEALED, frozenset()) | {request_id}
