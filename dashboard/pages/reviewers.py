"""How far reviewers agree, in aggregate; a reviewer's own figures are shown to nobody else."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from dashboard import data, state
from dashboard.components.empty import render_empty
from dashboard.components.loading import loading
from dashboard.components.reviewer_agreement import render_by_category, render_own, render_summary
from metrics.agreement import FIELDS

TITLES = {"harmful": "Harmful or not", "category": "Category", "severity": "Severity"}

view = state.current_view()
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
row = result.rows.row(0, named=True)
if not row["items"]:
    render_empty(
        "No turn was judged by two people in this window",
        "Agreement needs turns that at least two people judged. " + data.explain_empty(view)
        if not row["votes"]
        else f"{row['votes']:,} votes state this, each on a turn of its own.",
        icon=":material/groups:",
    )
    st.stop()
render_summary(row, min_sample=query.min_sample)
render_by_category(by_category)
render_own(row["by_reviewer"], state.current_actor().name)
