"""Agreement between reviewers: one row of figures, one row per category, accuracy on golden items, and the reader's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import polars as pl
import streamlit as st

from dashboard import data, state
from dashboard.charts.bars import build_rates
from dashboard.components.chart import render_chart
from dashboard.components.empty import render_empty
from dashboard.components.loading import loading
from dashboard.components.tiles import describe_rate
from dashboard.state import View
from dashboard.text import plain
from dashboard.theme import MISSING, format_count, format_rate
from incidents.judgement.golden import Accuracy, measure_accuracy
from ingest.crosswalk import HAZARDS
from metrics.agreement import FIELDS

_MEANINGS = {
    "krippendorff_alpha": (
        "Krippendorff's alpha",
        "Agreement beyond chance: 1 = perfect, 0 = chance; above 0.8 is good",
    ),
    "gwet_ac1": ("Gwet's AC1", "Beyond chance too, and meaningful when nearly all votes are one value"),
    "cohen_kappa": ("Cohen's kappa", "For exactly two people"),
}


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
        by_category = data.report("agreement", replace(query, by=("category",))).rows
    actor = state.current_actor()
    row = result.rows.row(0, named=True)
    if row["items"]:
        render_summary(row, min_sample=query.min_sample)
        render_by_category(by_category)
        render_own(row["by_reviewer"], actor.name)
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
    title, meaning = _MEANINGS["krippendorff_alpha"]
    alpha = row["krippendorff_alpha"]
    _render(next(columns), title, _format(alpha["estimate"]), _format_interval(alpha), meaning)
    title, meaning = _MEANINGS["gwet_ac1"]
    _render(next(columns), title, _format(row["gwet_ac1"]), f"{format_count(row['raters'])} people", meaning)
    title, meaning = _MEANINGS["cohen_kappa"]
    basis = "two people" if row["raters"] == 2 else "shown for two people only"
    _render(next(columns), title, _format(row["cohen_kappa"]), basis, meaning)


def render_by_category(rows: pl.DataFrame) -> None:
    """Draws agreement by the people's category, from the report `agreement`, without alpha (see its remark)."""
    named = rows.filter(pl.col("items") > 0).with_columns(pl.col("category").replace(HAZARDS).fill_null("none given"))
    left, right = st.columns(2, gap="medium")
    with left:
        chart = build_rates(
            named,
            by="category",
            rate="percent_agreement",
            title="All agree, by category",
            unit="turns on which all agree / turns judged by two or more",
            reason="not enough turns were judged twice",
        )
        render_chart(chart, key="agreement_by_category")
    with right:
        st.dataframe(
            named.select(
                pl.col("category").map_elements(plain, return_dtype=pl.String),
                "items",
                "gwet_ac1",
            ),
            key="agreement_table",
            hide_index=True,
            height="content",
            placeholder=MISSING,
            alt="Agreement by category",
            column_config={
                "category": st.column_config.TextColumn("Category", pinned=True, width=200),
                "items": st.column_config.NumberColumn("Turns", format="localized", help="Judged by two or more"),
                "gwet_ac1": st.column_config.NumberColumn("AC1", format="%.3f", help=_MEANINGS["gwet_ac1"][1]),
            },
        )


def render_own(people: Sequence[dict[str, Any]], name: str) -> None:
    """Draws the figures of the person `name` alone, for calibration.

    Args:
        people: `by_reviewer` of the report.
        name: Who looks.
    """
    own = next((person for person in people if person["reviewer"] == name), None)
    st.markdown("**Your own votes**")
    if own is None:
        st.caption("You share no judged turn with a colleague in this window. Nobody else sees these figures here.")
        return
    st.caption(
        f"{format_count(own['items'])} turns shared with colleagues; their votes say the same in "
        f"{format_rate(own['agreement'])}. For calibration, seen by you alone on this page."
    )


def _render(column: Any, title: str, value: str, basis: str, meaning: str) -> None:
    with column.container(border=True, gap="xsmall", height="stretch"):
        st.metric(title, value, help=meaning)
        st.caption(basis)


def _format(value: float | None) -> str:
    return MISSING if value is None else f"{value:.3f}"


def _format_interval(alpha: dict[str, Any]) -> str:
    if alpha["low"] is None:
        return "not enough turns judged twice"
    return f"{alpha['low']:.3f} to {alpha['high']:.3f}"
