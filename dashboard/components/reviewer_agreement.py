"""Agreement between reviewers: one row of figures, accuracy on golden items, and the reader's own."""

from __future__ import annotations

from dataclasses import replace
from statistics import fmean
from typing import Any

import streamlit as st

from dashboard import data, state
from dashboard.components.empty import render_empty
from dashboard.components.loading import loading
from dashboard.components.reviewer_breakdown import AC1_HELP, ALPHA_HELP, KAPPA_HELP, render_breakdown
from dashboard.components.tiles import describe_rate
from dashboard.state import View
from dashboard.text import plain
from dashboard.theme import MISSING, format_count, format_rate
from incidents.judgement.golden import Accuracy, measure_accuracy
from ingest.crosswalk import HAZARDS
from metrics.agreement import FIELDS

TITLES = {"harmful": "Harmful or not", "category": "Category", "severity": "Severity"}


def render_agreement(view: View) -> None:
    """Draws agreement within the view's window and filters, and accuracy on golden items."""
    chosen = st.segmented_control(
        "Compared",
        list(FIELDS),
        default="harmful",
        key="field",
        bind="query-params",
        format_func=TITLES.__getitem__,
        label_visibility="collapsed",
    )
    with loading("reviewers", height=300):
        query = replace(data.build_query(view), field=chosen or "harmful")
        result = data.report("agreement", query)
    actor = state.current_actor()
    row = result.rows.row(0, named=True)
    if row["items"]:
        render_summary(row, min_sample=query.min_sample)
        render_breakdown(query, row)
        render_own(row, actor.name)
    else:
        render_empty(
            "No turn was judged by two people in this window",
            "Agreement needs turns that at least two people judged. " + data.explain_empty(view)
            if not row["votes"]
            else f"{row['votes']:,} votes state this, each on a turn of its own.",
            icon=":material/groups:",
        )
    home = data.home()
    render_accuracy(
        measure_accuracy(home.records, actor=actor, statistics=home.settings.statistics), min_sample=query.min_sample
    )


def render_accuracy(accuracy: Accuracy, *, min_sample: int) -> None:
    """Draws how far answers to golden items say what is known: of all, by category, and the reader's own."""
    st.markdown("**Accuracy on golden items**")
    if not accuracy.people:
        known = f"{format_count(accuracy.items)} items in use, none answered yet." if accuracy.items else "None in use."
        st.caption(f"{known} A golden item is a case whose verdict is known, served among the others.")
        return
    columns = st.columns(4)
    value, basis = describe_rate(accuracy.all, noun="answers", min_sample=min_sample)
    _render(columns[0], "Right answers", value, basis, "Answers that say what is known / answers; unsure is not right")
    people = f"{format_count(accuracy.people)} people answered"
    _render(
        columns[1], "Items in use", format_count(accuracy.items), people, "Served at the rate of review.golden_share"
    )
    value, basis = describe_rate(accuracy.own, noun="answers", min_sample=min_sample)
    _render(columns[2], "Your own", value, basis, "Seen by you alone on this page; for calibration")
    with columns[3].container(border=True, gap="xsmall", height="stretch"):
        st.caption("By what is known")
        for name, rate in accuracy.by_category:
            st.text(f"{HAZARDS.get(name, plain(name))}: {format_rate(rate)}")


def render_summary(row: dict[str, Any], *, min_sample: int) -> None:
    """Draws the figures of all votes, from one row of the report `agreement`."""
    columns = iter(st.columns(4))
    value, basis = describe_rate(row["percent_agreement"], noun="turns", min_sample=min_sample)
    _render(next(columns), "All agree", value, basis, "Turns on which all agree / turns that two or more judged")
    alpha = row["krippendorff_alpha"]
    _render(next(columns), "Krippendorff's alpha", _format(alpha["estimate"]), _format_interval(alpha), ALPHA_HELP)
    ac1 = {"low": row["gwet_ac1_low"], "high": row["gwet_ac1_high"]}
    _render(next(columns), "Gwet's AC1", _format(row["gwet_ac1"]), _format_interval(ac1), AC1_HELP)
    kappa = row["pairwise_kappa"]
    pairs = sum(pair["kappa"]["estimate"] is not None for pair in row["by_pair"])
    basis = f"{_format_interval(kappa)} · {format_count(pairs)} {'pair' if pairs == 1 else 'pairs'} of people"
    _render(next(columns), "Pairwise kappa", _format(kappa["estimate"]), basis, KAPPA_HELP)


def render_own(row: dict[str, Any], name: str) -> None:
    """Draws the figures of the person `name` alone, for calibration.

    Args:
        row: The report's one row.
        name: Who looks.
    """
    own = next((person for person in row["by_reviewer"] if person["reviewer"] == name), None)
    st.markdown("**Your own votes**")
    if own is None:
        st.caption("You share no judged turn with a colleague in this window. Nobody else sees these figures here.")
        return
    kappas = [
        pair["kappa"]["estimate"]
        for pair in row["by_pair"]
        if name in (pair["first"], pair["second"]) and pair["kappa"]["estimate"] is not None
    ]
    beyond = (
        f" Beyond chance, kappa is {fmean(kappas):.2f} on average over {format_count(len(kappas))} of them."
        if kappas
        else ""
    )
    st.caption(
        f"{format_count(own['items'])} turns shared with colleagues; their votes say the same in "
        f"{format_rate(own['agreement'])}.{beyond} For calibration, seen by you alone on this page."
    )


def _render(column: Any, title: str, value: str, basis: str, meaning: str) -> None:
    with column.container(border=True, gap="xsmall", height="stretch"):
        st.metric(title, value, help=meaning)
        st.caption(basis)


def _format(value: float | None) -> str:
    return MISSING if value is None else f"{value:.3f}"


def _format_interval(measure: dict[str, Any]) -> str:
    if measure["low"] is None:
        return "not enough turns judged twice"
    return f"{measure['low']:.3f} to {measure['high']:.3f}"
