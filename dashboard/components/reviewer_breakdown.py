"""Agreement broken down: by category, language, or what groups of reviewers declared about themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import polars as pl
import streamlit as st

from dashboard import data
from dashboard.charts.bars import build_rates
from dashboard.components.chart import render_chart
from dashboard.components.empty import render_empty
from dashboard.text import plain
from dashboard.theme import MISSING, format_rate
from incidents.judgement.profiles import ATTRIBUTES, group_reviewers
from ingest.crosswalk import HAZARDS
from metrics.estimate import MIN_CELL, RATE
from metrics.query import Query

BREAKDOWNS = {"category": "Category", "language": "Language", "group": "Reviewer group"}
ATTRIBUTE_TITLES = {"languages": "Languages", "regions": "Regions", "expertise": "Expertise"}
ALPHA_HELP = "Krippendorff's alpha with its interval: 1 = perfect, 0 = chance; above 0.8 is good"
AC1_HELP = "Gwet's AC1 with its interval: beyond chance too, and meaningful when nearly all votes are one value"
KAPPA_HELP = "Cohen's kappa, averaged over all pairs of people who share enough turns, with its interval"

_COLUMNS = {
    "part": pl.String(),
    "turns": pl.Int64(),
    "all_agree": RATE,
    "alpha": pl.String(),
    "ac1": pl.String(),
    "kappa": pl.String(),
}


def render_breakdown(query: Query, whole: Mapping[str, Any]) -> None:
    """Draws the figures of each part.

    Args:
        query: What the whole was asked.
        whole: The one row of the report `agreement` for it.
    """
    left, right = st.columns(2, vertical_alignment="bottom")
    by = left.segmented_control(
        "Broken down by",
        list(BREAKDOWNS),
        default="category",
        key="breakdown",
        bind="query-params",
        format_func=BREAKDOWNS.__getitem__,
    )
    if by == "group":
        attribute = right.segmented_control(
            "Declared",
            list(ATTRIBUTES),
            default=ATTRIBUTES[0],
            key="declared",
            format_func=ATTRIBUTE_TITLES.__getitem__,
        )
        _render_groups(query, attribute or ATTRIBUTES[0])
    elif by == "language":
        _render_rows(
            tabulate_parts(data.report("agreement", replace(query, by=("language",))).rows, "language"), "Language"
        )
    elif query.field == "category":
        _render_rows(tabulate_values(whole["by_value"]), "Category")
        st.caption("Each category against all others, over the turns that anybody gave it.")
    else:
        rows = data.report("agreement", replace(query, by=("category",))).rows
        # Within a settled category nearly all verdicts are alike, so that alpha and kappa are near 0 whatever people do.
        _render_rows(tabulate_parts(rows, "category").drop("alpha", "kappa"), "Category")
        st.caption("By the people's category. For alpha by category, compare categories (above).")


def _render_groups(query: Query, attribute: str) -> None:
    groups = group_reviewers(data.home().records, attribute)
    rows = data.report("agreement", replace(query, groups=groups)).rows if groups else pl.DataFrame()
    if rows.is_empty():
        render_empty(
            "No group is large enough to be told",
            f"A group is told from {MIN_CELL} people on who declared the same (Wellbeing) and judged turns that others of "
            "the group judged too: figures of fewer would be about somebody.",
            icon=":material/groups:",
        )
        return
    _render_rows(tabulate_parts(rows, "reviewer_group"), ATTRIBUTE_TITLES[attribute])
    st.caption(
        f"Among the people of each group, from {MIN_CELL} on; who declared several values is in several groups. "
        "Never as a measure of performance."
    )


def tabulate_parts(rows: pl.DataFrame, by: str) -> pl.DataFrame:
    """Rows of the report `agreement` as a table: part, turns, all_agree (rates), alpha, ac1, kappa (texts with intervals)."""
    return pl.DataFrame(
        [
            {
                "part": _title(by, row[by]),
                "turns": row["items"],
                "all_agree": row["percent_agreement"],
                "alpha": say_measure(row["krippendorff_alpha"]),
                "ac1": say_measure(
                    {"estimate": row["gwet_ac1"], "low": row["gwet_ac1_low"], "high": row["gwet_ac1_high"]}
                ),
                "kappa": say_measure(row["pairwise_kappa"]),
            }
            for row in rows.filter(pl.col("items") > 0).iter_rows(named=True)
        ],
        schema=_COLUMNS,
    )


def tabulate_values(values: list[dict[str, Any]]) -> pl.DataFrame:
    """`by_value` of the report `agreement` as a table like that of `tabulate_parts`, without kappa."""
    rows = [
        {
            "part": _title("category", row["value"]),
            "turns": row["items"],
            "all_agree": row["agreement"],
            "alpha": say_measure(row["krippendorff_alpha"]),
            "ac1": say_measure(row["gwet_ac1"]),
        }
        for row in values
        if row["items"]
    ]
    return pl.DataFrame(rows, schema={name: kind for name, kind in _COLUMNS.items() if name != "kappa"})


def say_measure(measure: Mapping[str, Any]) -> str:
    """A coefficient as `0.71 (0.60 to 0.82)`."""
    if measure["estimate"] is None:
        return MISSING
    if measure["low"] is None:
        return f"{measure['estimate']:.2f}"
    return f"{measure['estimate']:.2f} ({measure['low']:.2f} to {measure['high']:.2f})"


def _render_rows(rows: pl.DataFrame, title: str) -> None:
    if rows.is_empty():
        render_empty("Nothing to break down", "No turn here was judged by two people.", icon=":material/groups:")
        return
    st.dataframe(
        rows.with_columns(pl.col("all_agree").map_elements(format_rate, return_dtype=pl.String)).sort(
            "turns", descending=True
        ),
        key="agreement_table",
        hide_index=True,
        height="content",
        placeholder=MISSING,
        alt=f"Agreement by {title.lower()}",
        column_config={
            "part": st.column_config.TextColumn(title, pinned=True, width=180),
            "turns": st.column_config.NumberColumn("Turns", format="localized", help="Judged by two or more", width=70),
            "all_agree": st.column_config.TextColumn(
                "All agree", help="Turns on which all agree / turns judged by two or more"
            ),
            "alpha": st.column_config.TextColumn("Alpha", help=ALPHA_HELP),
            "ac1": st.column_config.TextColumn("AC1", help=AC1_HELP),
            "kappa": st.column_config.TextColumn("Pairwise kappa", help=KAPPA_HELP),
        },
    )
    chart = build_rates(
        rows,
        by="part",
        rate="all_agree",
        title=f"All agree, by {title.lower()}",
        unit="turns on which all agree / turns judged by two or more",
        reason="not enough turns were judged twice",
    )
    render_chart(chart, key="agreement_by_part")


def _title(by: str, value: str | None) -> str:
    if value is None:
        return "none given" if by == "category" else "not logged"
    return plain(HAZARDS.get(value, value) if by == "category" else value)
