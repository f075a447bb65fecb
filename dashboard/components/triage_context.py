"""Around a case: policy text, how its rules fared before, its user's other cases, and cases that say nearly the same."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import streamlit as st

from dashboard.text import plain
from dashboard.theme import format_count
from incidents.cases import CaseView
from incidents.context import RuleHistory, UserHistory
from metrics.estimate import wilson_bounds

_SHOWN = 5


def render_policy(principles: Sequence[tuple[str, str]], *, chosen: str) -> None:
    """Shows the text of the chosen principle; all of them, folded, while none is chosen."""
    texts = dict(principles)
    if chosen in texts:
        st.text(f"Policy {chosen}: {texts[chosen]}")
    elif principles:
        with st.expander("Policy", key="triage_policy"):
            for name, text in principles:
                st.text(f"{name}: {text}")


def render_history(
    rules: Sequence[RuleHistory], user: UserHistory | None, *, min_sample: int, confidence: float
) -> None:
    """Shows one line for each rule that fired, and one for the user."""
    for rule in rules:
        st.caption(plain(describe_rule(rule, min_sample=min_sample, confidence=confidence)))
    if user is not None:
        count = format_count(user.cases)
        st.caption(f"Same user: {count} other cases, {user.judged:,} judged, {user.harmful:,} of them harmful.")


def describe_rule(rule: RuleHistory, *, min_sample: int, confidence: float) -> str:
    """How a rule fared among decided cases; without a share when fewer than `min_sample` were judged."""
    name = f"{rule.filter_name} {rule.rule_id}".strip()
    judged = f"{rule.judged:,} other {'case' if rule.judged == 1 else 'cases'} judged"
    if rule.judged < min_sample:
        return f"{name}: {judged}, too few for a share."
    low, high = wilson_bounds(np.array([rule.benign], float), np.array([rule.judged], float), confidence=confidence)
    share = f"{rule.benign / rule.judged:.0%} ({low[0]:.0%} to {high[0]:.0%})"
    return f"{name}: {judged}, {share} of them benign, among what was triaged."


def render_alike(alike: Sequence[CaseView], decided: Sequence[CaseView]) -> None:
    """Shows the open cases that a verdict may be applied to, and what was said about decided ones."""
    if alike:
        with st.expander(f"{len(alike):,} open cases say nearly the same", key="triage_alike"):
            for case in alike:
                st.text(f"{plain(case.request_id, limit=60)} · {case.opened_by.title}")
    for case in decided[:_SHOWN]:
        verdict = {True: "harmful", False: "benign", None: "undecided"}[case.harmful]
        st.caption(plain(f"Similar case {case.request_id}: {verdict} {case.verdict_category or ''}".strip(), limit=120))
