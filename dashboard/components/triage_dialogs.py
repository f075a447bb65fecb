"""Dialogs of the triage desk: why a case is escalated, and what the keys do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

import streamlit as st

from incidents.enums import GuidedEnum

KEYS = (
    ("H B U", "harmful, benign, unsure"),
    ("0 1 2 3 4", "severity: none, low, medium, high, extreme"),
    ("V", "reveal the flagged turn (recorded in the audit log)"),
    ("F", "say of each filter whether it was right"),
    ("W", "uncover what you wished to have covered (recorded, too)"),
    ("Enter", "save the verdict and take the next case"),
    ("A", "save for all cases that say nearly the same, too"),
    ("S", "skip: the case goes back to the others"),
    ("L", "look at it later: put it off"),
    ("O", "hand it over to a colleague"),
    ("X", "escalate, with a reason"),
    ("Z", "undo your last verdict"),
    ("D", "in the queue: one verdict for every open case of a selection"),
    ("Q", "back to the queue; the draft is kept"),
    ("K ?", "this list"),
)
_REASON, _NOTE = "triage_escalation_reason", "triage_escalation_note"
_COLLEAGUE, _HAND_OVER_NOTE = "triage_colleague", "triage_hand_over_note"


def ask_escalation(
    reasons: Sequence[GuidedEnum], *, on_confirm: Callable[[str, str], None], on_close: Callable[[], None]
) -> None:
    """Opens the dialog that asks why; calls `on_confirm` with the reason's value and the note."""

    @st.dialog("Escalate this case", width="medium", on_dismiss=on_close)
    def dialog() -> None:
        chosen = st.session_state.get(_REASON)
        for number, reason in enumerate(reasons, start=1):
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                st.button(
                    reason.title,
                    key=f"triage_escalate_{number}",
                    shortcut=str(number),
                    type="primary" if chosen == reason.value else "secondary",
                    width=210,
                    on_click=_choose,
                    args=(reason.value,),
                )
                st.caption(reason.guidance)
        note = st.text_area("Note for whoever takes it", key=_NOTE, max_chars=2000, height=80)
        if st.button(
            "Escalate",
            key="triage_escalate_confirm",
            type="primary",
            shortcut="Enter",
            disabled=chosen is None,
            help="Choose a reason first." if chosen is None else None,
        ):
            on_confirm(str(chosen), note or "")
            st.session_state.pop(_REASON, None)
            st.rerun()

    dialog()


def ask_snooze(
    choices: Sequence[tuple[str, datetime]], *, on_confirm: Callable[[datetime], None], on_close: Callable[[], None]
) -> None:
    """Opens the dialog that asks until when; each choice is a title and a moment, and has a digit."""

    @st.dialog("Put this case off", width="small", on_dismiss=on_close)
    def dialog() -> None:
        for number, (title, until) in enumerate(choices, start=1):
            if st.button(title, key=f"triage_snooze_{number}", shortcut=str(number), width="stretch"):
                on_confirm(until)
                st.rerun()
        st.caption("Nobody gets it before then. Its service level goes on.")

    dialog()


def ask_colleague(
    colleagues: Sequence[str], *, hours: int, on_confirm: Callable[[str, str], None], on_close: Callable[[], None]
) -> None:
    """Opens the dialog that asks whom to hand the case to; calls `on_confirm` with the name and the note."""

    @st.dialog("Hand this case over", width="small", on_dismiss=on_close)
    def dialog() -> None:
        to = st.selectbox(
            "Colleague",
            colleagues,
            index=None,
            accept_new_options=True,
            placeholder="Choose or type a name",
            key=_COLLEAGUE,
        )
        note = st.text_area("Note for them", key=_HAND_OVER_NOTE, max_chars=2000, height=80)
        st.caption(f"They get it next. After {hours} h it is anybody's again.")
        if st.button("Hand over", key="triage_hand_over_confirm", type="primary", shortcut="Enter", disabled=not to):
            on_confirm(str(to), note or "")
            st.rerun()

    dialog()


def _choose(value: str) -> None:
    st.session_state[_REASON] = value


def render_keys_button(on_open: Callable[[str], None], *, shortcuts: bool) -> None:
    """The button that opens the list of keys."""
    st.button(
        "Keys",
        key="triage_keys",
        icon=":material/keyboard:",
        type="tertiary",
        shortcut="K" if shortcuts else None,
        on_click=on_open,
        args=("keys",),
    )


def show_keys(*, on_close: Callable[[], None]) -> None:
    """Opens the list of keys."""

    @st.dialog("Keys", on_dismiss=on_close)
    def dialog() -> None:
        for keys, meaning in KEYS:
            left, right = st.columns([1, 2], vertical_alignment="center")
            left.markdown(" ".join(f":gray-badge[{key}]" for key in keys.split()))
            right.text(meaning)
        st.caption("While you type in a field, keys type. Tab leaves a field; Ctrl+Enter keeps its text at once.")

    dialog()
