"""Proposing a change of a rule: an exclusion or a threshold, checked against every labelled turn, then recorded."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import streamlit as st

from core.clock import now
from core.errors import AppError, UsageError
from dashboard import data, state
from dashboard.components.moves import render_moves
from dashboard.components.workbench_evidence import Rule
from dashboard.text import inert, plain
from dashboard.theme import MISSING, BadgeColour, format_count, format_interval, format_percent
from incidents.proposals import add_proposal
from metrics.query import Query
from metrics.whatif import (
    ChangeCheck,
    ChangeKind,
    CheckVerdict,
    FilterChange,
    check_change,
    explain_check,
    validate_change,
)

_CHECKED, _NOTICE = "workbench.checked", "workbench.notice"
_KINDS = {ChangeKind.EXCLUSION: "Exclusion", ChangeKind.THRESHOLD: "Threshold"}
VERDICTS: dict[CheckVerdict, tuple[str, BadgeColour, str]] = {
    CheckVerdict.SAFE: ("Safe on what is labelled", "green", ":material/check_circle:"),
    CheckVerdict.TOO_FEW_LABELS: ("Too few labels", "orange", ":material/help:"),
    CheckVerdict.LOSES_TRUE_POSITIVES: ("Loses true positives", "red", ":material/dangerous:"),
    CheckVerdict.SPARES_NOTHING: ("Spares nothing", "gray", ":material/add_circle:"),
    CheckVerdict.NO_EFFECT: ("No effect", "gray", ":material/block:"),
}


def render_change(rule: Rule, *, threshold: float | None) -> None:
    """Draws the form, the check of what it holds, and the way to record it.

    Args:
        rule: What is to change.
        threshold: The filter's threshold in force; None for a filter without scores, which has exclusions only.
    """
    st.markdown("**Propose a change**")
    kind = ChangeKind.EXCLUSION
    if threshold is not None:
        kinds = list(_KINDS)
        chosen = st.segmented_control(
            "Kind",
            kinds,
            default=kinds[0],
            format_func=_KINDS.__getitem__,
            key="workbench_kind",
            label_visibility="collapsed",
        )
        kind = chosen or kind
    with st.form("workbench_form", border=False):
        change = _read_threshold(rule, threshold) if kind is ChangeKind.THRESHOLD else _read_exclusion(rule)
        is_asked = st.form_submit_button(
            "Check against all labelled turns", key="workbench_check", icon=":material/rule:", type="primary"
        )
    if is_asked:
        _ask(change)
    asked = st.session_state.get(_CHECKED)
    if isinstance(asked, FilterChange) and (asked.filter_name, asked.rule_id) in (
        (rule.filter_name, rule.rule_id),
        (rule.filter_name, None),
    ):
        render_check(asked)
        _render_recording(asked)
    _render_notice()


def render_threshold_proposal(change: FilterChange) -> None:
    """Draws the way from a chosen threshold to a recorded proposal: its check comes first."""
    st.button(
        "Check this threshold against all labelled turns",
        key="threshold_check",
        icon=":material/rule:",
        on_click=_ask,
        args=(change,),
    )
    if st.session_state.get(_CHECKED) == change:
        render_finding(asdict(read_check(change)), key="threshold_finding")
        _render_recording(change)
    _render_notice()


def _render_notice() -> None:
    notice = st.session_state.pop(_NOTICE, None)
    if notice:
        st.success(inert(notice, limit=300), icon=":material/check:")


def _ask(change: FilterChange) -> None:
    try:
        validate_change(change)
    except UsageError as error:
        st.session_state.pop(_CHECKED, None)
        st.warning(inert(error.sentence(), limit=300), icon=":material/edit:")
        return
    st.session_state[_CHECKED] = change


def _read_exclusion(rule: Rule) -> FilterChange:
    languages, apps = (rule.turns[name].drop_nulls().unique().sort().to_list() for name in ("language", "app"))
    phrases = st.text_area(
        "Not when the text holds one of these phrases",
        key="workbench_phrases",
        height=96,
        placeholder="one phrase per line, literally; upper and lower case alike",
    )
    left, right = st.columns(2)
    with left:
        chosen_languages = st.multiselect(
            "and the turn is in", languages, key="workbench_languages", placeholder="any language", format_func=plain
        )
    with right:
        chosen_apps = st.multiselect(
            "and of the application", apps, key="workbench_apps", placeholder="any application", format_func=plain
        )
    lines = (line.strip() for line in (phrases or "").splitlines())
    return FilterChange(
        rule.filter_name,
        rule.rule_id,
        phrases=tuple(dict.fromkeys(line for line in lines if line)),
        languages=tuple(chosen_languages),
        apps=tuple(chosen_apps),
    )


def _read_threshold(rule: Rule, threshold: float | None) -> FilterChange:
    value = st.number_input(
        "Trigger from this score on", value=threshold, format="%g", step=0.01, key="workbench_threshold"
    )
    return FilterChange(rule.filter_name, threshold=float(value or 0.0))


def read_check(change: FilterChange) -> ChangeCheck:
    """The check of a change over everything stored, cached until new data arrives."""
    statistics = data.home().settings.statistics
    return data.read(check_change, change, min_sample=statistics.min_sample, confidence=statistics.confidence)


def render_check(change: FilterChange) -> None:
    """Draws what a change would have done, with the turns that it moves."""
    checked = read_check(change)
    render_finding(asdict(checked), key="workbench_finding")
    if checked.verdict is CheckVerdict.NO_EFFECT:
        return
    render_moves(change, Query(), key="workbench_moves")


def render_finding(checked: dict[str, Any], *, key: str) -> None:
    """Draws the numbers of a check, fresh or frozen; `key` tells one on the page from another."""
    title, colour, icon = VERDICTS[CheckVerdict(checked["verdict"])]
    st.badge(title, color=colour, icon=icon)
    st.markdown(explain_check(checked))
    share = checked["wrong_share"]
    estimate = share["estimate"]
    numbers = [
        ("Wrong blocks removed", checked["wrong_blocks_removed"], "judged benign, stopped by nothing else"),
        ("True positives lost", checked["true_positives_lost"], f"{checked['caught_by_others']} caught by others too"),
        ("Turns spared", checked["spared"], f"of {checked['triggered']:,} · {checked['spared_per_day']:.1f} a day"),
    ]
    if checked["added"]:
        gained, wrong = checked["true_positives_gained"], checked["wrong_blocks_added"]
        numbers.append(("Newly triggered", checked["added"], f"judged: {gained} harmful, {wrong} benign"))
    else:
        words = MISSING if estimate is None else f"{format_percent(estimate)}"
        basis = (
            "too few drawn at random" if estimate is None else f"{format_interval(share)} % · n {share['n']} reviews"
        )
        numbers.append(("Benign among spared", words, basis))
    with st.container(horizontal=True, key=key):
        for name, value, basis in numbers:
            with st.container(border=True, gap="xsmall", width=170, height="stretch"):
                st.metric(name, value if isinstance(value, str) else format_count(value))
                st.caption(basis)


def _render_recording(change: FilterChange) -> None:
    with st.form("workbench_record", border=False):
        reason = st.text_input("Why is it needed?", key="workbench_reason", max_chars=500)
        is_asked = st.form_submit_button("Record as proposal", key="workbench_add", icon=":material/playlist_add:")
    if not is_asked:
        return
    try:
        view = add_proposal(
            data.home().records, change, read_check(change), reason=reason, actor=state.current_actor(), at=now()
        )
    except AppError as error:
        st.warning(inert(error.sentence(), limit=300), icon=":material/edit:")
        return
    st.session_state.pop(_CHECKED, None)
    st.session_state[_NOTICE] = (
        f"Recorded as proposal {view.proposal_id}, with the numbers of its check as they are now."
    )
    st.rerun()
