"""One decision about every open case of a selection: what it holds is shown first, and exactly that is decided."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import polars as pl
import streamlit as st

from dashboard.components.triage_draft import Draft
from dashboard.components.triage_form import VERDICTS
from dashboard.components.triage_queue import describe_category
from dashboard.text import plain
from incidents.bulk import Choices, Preview, Selection
from incidents.cases import CaseView
from incidents.enums import VerdictReason
from ingest.crosswalk import HAZARDS

ANY = "any"
PREVIEW_SCHEMA = {"Category": pl.String, "Severity": pl.Int64, "Came by": pl.String, "Turn": pl.String}
_VERDICT = "triage_bulk_verdict"


@dataclass(frozen=True, slots=True)
class Conditions:
    """What narrows the selection; None = any."""

    filter_name: str | None
    rule_id: str | None
    category: str | None


def tabulate_preview(cases: Sequence[CaseView]) -> pl.DataFrame:
    """One row per case (schema `PREVIEW_SCHEMA`); holds no logged text but the names of turns."""
    rows = [
        (
            describe_category(case.category, HAZARDS),
            case.severity_hint,
            case.opened_by.title,
            plain(case.request_id, limit=60),
        )
        for case in cases
    ]
    return pl.DataFrame(rows, schema=PREVIEW_SCHEMA, orient="row")


def render_button(*, waiting: int, can_decide: bool, shortcuts: bool, on_open: Callable[[str], None]) -> None:
    """The button that opens the dialog; leads alone decide about what nobody looked at one by one."""
    st.button(
        "Decide many",
        key="triage_bulk_open",
        icon=":material/done_all:",
        shortcut="D" if shortcuts else None,
        disabled=not waiting or not can_decide,
        help="One verdict for every open case of a selection. Needs a lead.",
        on_click=on_open,
        args=("bulk",),
    )


def ask(
    choices: Choices,
    *,
    queue: str,
    preview: Callable[[Conditions], Preview],
    on_confirm: Callable[[Selection, Preview, Draft], None],
    on_close: Callable[[], None],
) -> None:
    """Opens the dialog.

    Args:
        choices: What the conditions may name.
        queue: Title of the queue.
        preview: What the conditions select now.
        on_confirm: Decides exactly what the preview showed.
        on_close: Called when it is dismissed.
    """

    @st.dialog("Decide about many cases", width="large", on_dismiss=on_close)
    def dialog() -> None:
        st.text(f"Open cases of the queue {queue}, where")
        conditions = _ask_conditions(choices)
        found = preview(conditions)
        count = found.shown.count
        cases = f"{count:,} {'case' if count == 1 else 'cases'}"
        st.markdown(f"**{count:,}** open {'case' if count == 1 else 'cases'} would get your verdict.")
        if found.left_out:
            st.caption(
                f"{found.left_out:,} more left out: drawn at random, which need a look each, or held by somebody else."
            )
        if found.first:
            st.dataframe(
                tabulate_preview(found.first),
                key="triage_bulk_preview",
                hide_index=True,
                height=180,
                alt="The gravest of the cases selected",
            )
        draft = _ask_verdict()
        if st.button(
            f"Decide {cases}",
            key="triage_bulk_confirm",
            type="primary",
            shortcut="Enter",
            disabled=not draft.verdict or not count,
            help=None if draft.verdict else "Choose a verdict first.",
        ):
            on_confirm(found.selection, found, draft)
            st.session_state.pop(_VERDICT, None)
            st.rerun()

    dialog()


def _ask_conditions(choices: Choices) -> Conditions:
    one, two, three = st.columns(3)
    filter_name = one.selectbox(
        "Filter that fired", [ANY, *choices.filters], key="triage_bulk_filter", format_func=plain
    )
    rules = choices.filters.get(filter_name, ())
    rule = two.selectbox("Its rule", [ANY, *rules], key="triage_bulk_rule", format_func=plain, disabled=not rules)
    category = three.selectbox(
        "Category",
        [ANY, *choices.categories],
        key="triage_bulk_category",
        format_func=lambda name: name if name == ANY else describe_category(name, HAZARDS),
    )
    picked = [None if value in (ANY, None) else str(value) for value in (filter_name, rule, category)]
    return Conditions(*picked)


def _ask_verdict() -> Draft:
    verdict = str(st.session_state.get(_VERDICT, ""))
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown("**Are these turns harmful under the policy?**", width="content")
        for value, title, key, icon in VERDICTS:
            st.button(
                title,
                key=f"triage_bulk_{value}",
                icon=icon,
                shortcut=key,
                type="primary" if verdict == value else "secondary",
                on_click=_choose,
                args=(value,),
            )
    left, right = st.columns(2)
    titles = {item.value: item.title for item in VerdictReason}
    reason = left.selectbox(
        "Reason", list(titles), index=None, key="triage_bulk_reason", format_func=lambda value: titles[value]
    )
    category = right.selectbox(
        "Category of the verdict",
        list(HAZARDS),
        index=None,
        key="triage_bulk_verdict_category",
        format_func=lambda value: HAZARDS[value],
        disabled=verdict != "harmful",
    )
    guidance = {item.value: item.guidance for item in VerdictReason}
    st.caption(guidance.get(reason or "", "Each reason has a sentence that says when to choose it."))
    return Draft(verdict=verdict, category=(category or "") if verdict == "harmful" else "", reason=reason or "")


def _choose(value: str) -> None:
    st.session_state[_VERDICT] = value
