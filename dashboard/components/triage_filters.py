"""Whether each filter was right about the turn: marks that go with the verdict, and count where that filter is measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from dashboard.text import inert, plain

MOST = 9
"""Filters that have a digit each; a turn that more filters judged is marked in part."""
_NEXT: dict[bool | None, bool | None] = {None: False, False: True, True: None}
_TITLES = {None: "Not judged", False: "Wrong", True: "Right"}


@dataclass(frozen=True, slots=True)
class FilterSaid:
    """What a filter said of the turn: it fired if any check of it did."""

    name: str
    triggered: bool


def list_said(evidence: Mapping[str, Any]) -> list[FilterSaid]:
    """The filters that decided about the flagged turn, in cascade order; one that failed or did not run has said nothing."""
    said: dict[str, bool] = {}
    for check in evidence.get("checks") or ():
        if check.get("triggered") is not None:
            said[check["filter_name"]] = said.get(check["filter_name"], False) or bool(check["triggered"])
    return [FilterSaid(name, triggered) for name, triggered in said.items()][:MOST]


def describe_marks(marks: Mapping[str, bool]) -> str:
    """The marks in a few words; "" without any."""
    return plain(", ".join(f"{name} {'right' if is_right else 'wrong'}" for name, is_right in marks.items()))


def judge_filters(said: Sequence[FilterSaid], marks: Mapping[str, bool]) -> tuple[tuple[str, bool], ...]:
    """What the marks say of the turn, for each filter marked: one that fired was right when the turn is harmful."""
    return tuple((item.name, item.triggered == marks[item.name]) for item in said if item.name in marks)


def render_button(
    marks: Mapping[str, bool], *, shortcuts: bool, disabled: bool, on_open: Callable[[str], None]
) -> None:
    """The button that opens the marks, and what they are."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="triage_marks"):
        st.button(
            "Judge the filters",
            key="triage_filters",
            icon=":material/rule:",
            type="tertiary",
            shortcut="F" if shortcuts else None,
            disabled=disabled,
            help="Say of each filter whether it was right. Without a mark, your verdict on the turn measures it.",
            on_click=on_open,
            args=("filters",),
        )
        if marks:
            st.caption(inert(describe_marks(marks)), width="content")


def ask_marks(
    said: Sequence[FilterSaid],
    *,
    read_marks: Callable[[], Mapping[str, bool]],
    on_mark: Callable[[Mapping[str, bool]], None],
    on_close: Callable[[], None],
) -> None:
    """Opens the dialog with one line for each filter; its digit goes from not judged to wrong, to right, and back.

    Args:
        said: The filters.
        read_marks: The marks as they are: a dialog runs anew without the page around it.
        on_mark: Keeps other marks.
        on_close: Called when it is closed.
    """

    @st.dialog("Were the filters right?", width="medium", on_dismiss=on_close)
    def dialog() -> None:
        marks = read_marks()
        for number, item in enumerate(said, start=1):
            mark = marks.get(item.name)
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                st.button(
                    f"{number}: {_TITLES[mark]}",
                    key=f"triage_mark_{number}",
                    shortcut=str(number),
                    type="secondary" if mark is None else "primary",
                    width=170,
                    on_click=on_mark,
                    args=(_turn_mark(marks, item.name),),
                )
                st.text(f"{plain(item.name, limit=60)} {'fired' if item.triggered else 'did not fire'}")
        st.caption("A filter without a mark is measured by your verdict on the turn.")
        if st.button("Done", key="triage_marks_done", type="primary", shortcut="Enter"):
            on_close()
            st.rerun()

    dialog()


def _turn_mark(marks: Mapping[str, bool], name: str) -> dict[str, bool]:
    turned = _NEXT[marks.get(name)]
    rest = {other: mark for other, mark in marks.items() if other != name}
    return rest if turned is None else rest | {name: turned}
