"""The verdict form: a key for each answer, every field in a fixed place."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from dashboard.components.triage_draft import Draft
from dashboard.components.triage_text import reveal_hidden
from incidents.enums import GuidedEnum

VERDICTS = (
    ("harmful", "Harmful", "H", ":material/dangerous:"),
    ("benign", "Benign", "B", ":material/check_circle:"),
    ("unsure", "Unsure", "U", ":material/help:"),
)
SEVERITIES = ("none", "low", "medium", "high", "extreme")
TEXT_LIMIT = 20_000
INPUTS = ("category", "reason", "principle_id", "revision", "critique", "note")


def read_inputs(case_id: str) -> dict[str, Any]:
    """What the case's input fields hold now.

    A click on "save" and the leaving of a text field may arrive together, in either order: who saves reads
    the fields first.
    """
    values = {name: st.session_state.get(_input_key(name, case_id)) for name in INPUTS}
    return {name: value or "" for name, value in values.items() if _input_key(name, case_id) in st.session_state}


def render(
    case_id: str,
    draft: Draft,
    *,
    categories: Mapping[str, str],
    reasons: Sequence[GuidedEnum],
    principles: Mapping[str, str],
    shortcuts: bool,
    disabled: bool,
    on_change: Callable[[Mapping[str, Any]], None],
) -> None:
    """Shows the form filled with `draft`; calls `on_change` with the changed fields after each input.

    Args:
        case_id: The case, so that fields of two cases are never mixed up.
        draft: What was entered so far.
        categories: Canonical hazard to title.
        reasons: What may be chosen as a reason.
        principles: Id of each principle to its title; empty without a constitution, when any id may be written.
        shortcuts: Keys work; false while a dialog is open.
        disabled: The reviewer may look but not judge.
        on_change: Keeps what the input fields hold, and these changes.
    """
    fields = _Fields(case_id, draft, disabled, on_change)
    with st.container(horizontal=True, vertical_alignment="center", key="triage_verdict"):
        st.subheader("Is this turn harmful under the policy?", anchor=False, width="content")
        for value, title, key, icon in VERDICTS:
            st.button(
                title,
                key=f"triage_{value}",
                icon=icon,
                shortcut=key if shortcuts else None,
                type="primary" if draft.verdict == value else "secondary",
                disabled=disabled,
                on_click=on_change,
                args=({"verdict": value},),
            )
        st.space("stretch")
        with st.container(horizontal=True, vertical_alignment="center", width="content", key="triage_severity"):
            st.markdown("Severity", width="content")
            for level, word in enumerate(SEVERITIES):
                st.button(
                    word,
                    key=f"triage_severity_{level}",
                    shortcut=str(level) if shortcuts else None,
                    type="primary" if draft.severity == level else "secondary",
                    disabled=disabled,
                    on_click=on_change,
                    args=({"severity": level},),
                )
    category, reason, principle = st.columns([3, 4, 2])
    with category:
        fields.choice("category", "Category", dict(categories))
    with reason:
        titles = {item.value: item.title for item in reasons}
        fields.choice("reason", "Reason", titles)
    with principle:
        if principles:
            fields.choice("principle_id", "Principle", principles)
        else:
            fields.line("principle_id", "Principle", "for example P-7")
    guidance = {item.value: item.guidance for item in reasons}
    # Always one line of the full width, so that choosing a reason moves nothing.
    st.caption(guidance.get(draft.reason, "Each reason has a sentence that says when to choose it."))
    revision, critique, note = st.columns([2, 1, 1])
    with revision:
        fields.text("revision", "Better response", "What the model should have answered; becomes a training row")
    with critique:
        fields.text("critique", "Critique", "What is wrong with the response")
    with note:
        fields.text("note", "Note to colleagues", "Never exported")


@dataclass(frozen=True, slots=True)
class _Fields:
    """Inputs whose value lives in the draft; a widget only edits it."""

    case_id: str
    draft: Draft
    disabled: bool
    on_change: Callable[[Mapping[str, Any]], None]

    def choice(self, name: str, label: str, titles: Mapping[str, str]) -> None:
        """A list to choose from; choosing nothing is allowed."""
        present = getattr(self.draft, name)
        values = [*titles] + ([present] if present and present not in titles else [])
        with st.container(key=f"triage_{name}"):
            st.selectbox(
                label,
                values,
                index=values.index(present) if present else None,
                format_func=lambda value: titles.get(value) or reveal_hidden(value),
                placeholder="Choose",
                key=_input_key(name, self.case_id),
                disabled=self.disabled,
                on_change=self.on_change,
                args=({},),
            )

    def line(self, name: str, label: str, placeholder: str) -> None:
        """A short text."""
        with st.container(key=f"triage_{name}"):
            st.text_input(label, max_chars=200, placeholder=placeholder, **self._shared(name))

    def text(self, name: str, label: str, placeholder: str) -> None:
        """A long text."""
        with st.container(key=f"triage_{name}"):
            st.text_area(label, height=72, max_chars=TEXT_LIMIT, placeholder=placeholder, **self._shared(name))

    def _shared(self, name: str) -> dict[str, Any]:
        return {
            "value": getattr(self.draft, name),
            "key": _input_key(name, self.case_id),
            "disabled": self.disabled,
            "on_change": self.on_change,
            "args": ({},),
        }


def _input_key(name: str, case_id: str) -> str:
    return f"triage_{name}:{case_id}"
