"""The conversation around a flagged turn: masked until the reviewer asks to see it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import streamlit as st

from dashboard.components.triage_evidence import Message, TurnView
from dashboard.components.triage_text import describe_masked, excerpt

KEPT_BEFORE = 2


def render(
    turns: Sequence[TurnView],
    *,
    revealed: Collection[str],
    shortcuts: bool,
    on_reveal: Callable[[str], None],
    read_whole: Callable[[str, str], str],
) -> None:
    """Shows each turn in order; those long before the flagged one are folded, so that it is in view.

    Args:
        turns: The conversation.
        revealed: Request ids of the turns whose text is shown.
        shortcuts: Keys work; false while a dialog is open.
        on_reveal: Called with a request id; audits and marks it revealed.
        read_whole: Called with a request id and a role when a text that was cut short is downloaded whole.
    """
    flagged = next((place for place, turn in enumerate(turns) if turn.is_flagged), 0)
    early = max(0, flagged - KEPT_BEFORE)
    if early:
        with st.expander(f"{early} earlier {'turn' if early == 1 else 'turns'}", key="triage_earlier"):
            for turn in turns[:early]:
                _render_turn(turn, turn.request_id in revealed, shortcuts, on_reveal, read_whole)
    for turn in turns[early:]:
        _render_turn(turn, turn.request_id in revealed, shortcuts, on_reveal, read_whole)


def _render_turn(
    turn: TurnView,
    is_revealed: bool,
    shortcuts: bool,
    on_reveal: Callable[[str], None],
    read_whole: Callable[[str, str], str],
) -> None:
    with st.container(border=turn.is_flagged, key=f"triage_turn_{turn.position}", gap="xsmall"):
        _render_header(turn, is_revealed, shortcuts, on_reveal)
        if is_revealed:
            for number, message in enumerate(turn.messages):
                _render_message(turn, number, message, read_whole)
        elif turn.is_flagged:
            for message in turn.messages:
                st.caption(f"{message.title} · masked, {describe_masked(message.text, total=message.total)}")
        if not turn.messages:
            st.caption("No text was logged for this turn.")


def _render_header(
    turn: TurnView,
    is_revealed: bool,
    shortcuts: bool,
    on_reveal: Callable[[str], None],
) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(f"**Turn {turn.position}**", width="content")
        if turn.is_flagged:
            st.badge("flagged turn", icon=":material/flag:", color="orange")
        if turn.outcome:
            st.caption(f"ended as {turn.outcome}", width="content")
        if not turn.is_flagged and not is_revealed and turn.messages:
            sizes = ", ".join(f"{message.title.lower()} {message.total:,}" for message in turn.messages)
            st.caption(f"masked · characters: {sizes}", width="content")
        st.space("stretch")
        if not turn.messages:
            return
        st.button(
            "Revealed" if is_revealed else "Reveal",
            key="triage_reveal" if turn.is_flagged else f"triage_reveal_{turn.position}",
            icon=":material/visibility:",
            type="tertiary",
            disabled=is_revealed,
            shortcut="V" if turn.is_flagged and shortcuts else None,
            help="Revealing is recorded in the audit log.",
            on_click=on_reveal,
            args=(turn.request_id,),
        )


def _render_message(turn: TurnView, number: int, message: Message, read_whole: Callable[[str, str], str]) -> None:
    part = excerpt(message.text, total=message.total)
    with st.container(gap=None, key=f"triage_text_{turn.position}_{number}"):
        st.caption(message.title)
        st.text(part.text)
        if not part.is_whole:
            with st.container(horizontal=True, vertical_alignment="center"):
                st.caption(part.note(), width="content")
                st.download_button(
                    "Whole text",
                    data=lambda: read_whole(turn.request_id, message.role).encode("utf-8", "replace"),
                    file_name=f"turn-{turn.position}-{number + 1}.txt",
                    mime="text/plain; charset=utf-8",
                    key=f"triage_whole_{turn.position}_{number}",
                    type="tertiary",
                    icon=":material/download:",
                    on_click="ignore",
                )
