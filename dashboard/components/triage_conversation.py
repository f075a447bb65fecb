"""The conversation around a flagged turn: masked until the reviewer asks to see it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

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
    hide: Callable[[str, str], str] | None = None,
    on_uncover: Callable[[str], None] | None = None,
) -> None:
    """Shows each turn in order; those long before the flagged one are folded, so that it is in view.

    Args:
        turns: The conversation.
        revealed: Request ids of the turns whose text is shown.
        shortcuts: Keys work; false while a dialog is open.
        on_reveal: Called with a request id; audits and marks it revealed.
        read_whole: Called with a request id and a role when a text that was cut short is downloaded whole.
        hide: Called with a request id and a text; gives the text with what is to be covered. None = nothing is.
        on_uncover: Called with a request id; audits and marks it uncovered.
    """
    ways = _Ways(revealed, shortcuts, on_reveal, hide, on_uncover, read_whole)
    flagged = next((place for place, turn in enumerate(turns) if turn.is_flagged), 0)
    early = max(0, flagged - KEPT_BEFORE)
    if early:
        with st.expander(f"{early} earlier {'turn' if early == 1 else 'turns'}", key="triage_earlier"):
            for turn in turns[:early]:
                _render_turn(turn, ways)
    for turn in turns[early:]:
        _render_turn(turn, ways)


@dataclass(frozen=True, slots=True)
class _Ways:
    """What is shown of turns, and what their buttons do."""

    revealed: Collection[str]
    shortcuts: bool
    on_reveal: Callable[[str], None]
    hide: Callable[[str, str], str] | None
    on_uncover: Callable[[str], None] | None
    read_whole: Callable[[str, str], str]


def _render_turn(turn: TurnView, ways: _Ways) -> None:
    is_revealed = turn.request_id in ways.revealed
    texts = [ways.hide(turn.request_id, message.text) if ways.hide else message.text for message in turn.messages]
    is_covered = is_revealed and any(text != message.text for text, message in zip(texts, turn.messages, strict=True))
    with st.container(border=turn.is_flagged, key=f"triage_turn_{turn.position}", gap="xsmall"):
        _render_header(turn, ways, is_revealed=is_revealed, is_covered=is_covered)
        if is_revealed:
            for number, (message, text) in enumerate(zip(turn.messages, texts, strict=True)):
                _render_message(turn, number, message, text, ways.read_whole)
        elif turn.is_flagged:
            for message in turn.messages:
                st.caption(f"{message.title} · masked, {describe_masked(message.text, total=message.total)}")
        if not turn.messages:
            st.caption("No text was logged for this turn.")


def _render_header(turn: TurnView, ways: _Ways, *, is_revealed: bool, is_covered: bool) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.subheader(f"Turn {turn.position}", anchor=False, width="content")
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
            shortcut="V" if turn.is_flagged and ways.shortcuts else None,
            help="Revealing is recorded in the audit log.",
            on_click=ways.on_reveal,
            args=(turn.request_id,),
        )
        if is_covered:
            st.button(
                "Uncover",
                key="triage_uncover" if turn.is_flagged else f"triage_uncover_{turn.position}",
                icon=":material/visibility_lock:",
                type="tertiary",
                shortcut="W" if turn.is_flagged and ways.shortcuts else None,
                help="Shows what you wished to have covered; recorded in the audit log.",
                on_click=ways.on_uncover,
                args=(turn.request_id,),
            )


def _render_message(
    turn: TurnView, number: int, message: Message, text: str, read_whole: Callable[[str, str], str]
) -> None:
    is_covered = text != message.text
    # The cover changes the length, which tells nothing about what is left out.
    part = excerpt(text, total=message.total + len(text) - len(message.text))
    with st.container(gap=None, key=f"triage_text_{turn.position}_{number}"):
        st.caption(message.title)
        st.text(part.text)
        if not part.is_whole:
            with st.container(horizontal=True, vertical_alignment="center"):
                st.caption(part.note(), width="content")
                st.download_button(
                    "Whole text",
                    disabled=is_covered,
                    data=lambda: read_whole(turn.request_id, message.role).encode("utf-8", "replace"),
                    file_name=f"turn-{turn.position}-{number + 1}.txt",
                    mime="text/plain; charset=utf-8",
                    key=f"triage_whole_{turn.position}_{number}",
                    type="tertiary",
                    icon=":material/download:",
                    on_click="ignore",
                )
