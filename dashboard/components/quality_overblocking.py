"""The over-blocking workbench: rules ranked by wrong blocks a day, and the evidence about one of them."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import streamlit as st

from dashboard import data
from dashboard.components.empty import render_empty
from dashboard.components.loading import loading
from dashboard.components.workbench_change import render_change
from dashboard.components.workbench_evidence import Rule, read_rule, render_evidence, render_examples
from dashboard.components.workbench_proposals import render_proposals
from dashboard.components.workbench_set import render_set
from dashboard.state import View
from dashboard.text import plain
from dashboard.theme import format_rate
from metrics.overblocking import rank_rules
from metrics.scores import score_histogram

_SHOWN = 200
_CHOICE = "overblocking_rule"


def render_overblocking(view: View) -> None:
    """Draws the section within the view's window and filters."""
    with loading("quality_overblocking", height=500):
        ranked = data.read(rank_rules, data.build_query(view))
    with_filters = st.toggle(
        "Filters without rules too", key="overblocking_filters", help="Classifiers and guard models often log no rule"
    )
    named = ranked.filter(pl.col("rule_id").is_not_null())
    rows = (ranked if with_filters or named.is_empty() else named).head(_SHOWN)
    if rows.is_empty():
        render_empty("No enforced trigger in this window", data.explain_empty(view), icon=":material/block:")
        return
    left, right = st.columns([6, 7], gap="medium")
    with left:
        place = _render_ranking(rows)
    name, rule_id = rows.select("filter_name", "rule_id").row(place)
    filters = (("filter_name", name or ""), ("rule_id", rule_id or ""), ("mode", "enforce"))
    rule = read_rule(name or "", rule_id, data.build_query(replace(view, filter=()), filters=filters))
    with right:
        render_evidence(rule, rows["wrong_block_share"][place])
    with left:
        render_examples(rule)
    _render_actions(rule)


def _render_ranking(rows: pl.DataFrame) -> int:
    """Draws the table; returns the place of the chosen rule, the first without a choice."""
    shown = rows.select(
        rule=pl.concat_str(
            pl.col("rule_id"), pl.col("filter_name").fill_null("not logged"), separator=" · ", ignore_nulls=True
        ).map_elements(plain, return_dtype=pl.String),
        wrong=pl.struct("wrong_per_day", "low_per_day", "high_per_day").map_elements(
            _format_wrong, return_dtype=pl.String
        ),
        share=pl.col("wrong_block_share").map_elements(format_rate, return_dtype=pl.String, skip_nulls=False),
        triggers="triggered",
    )
    event = st.dataframe(
        shown,
        key=_CHOICE,
        hide_index=True,
        height=420,
        on_select="rerun",
        selection_mode="single-row",
        placeholder="–",
        alt="Rules by estimated wrong blocks per day",
        column_config={
            "rule": st.column_config.TextColumn("Rule · filter", pinned=True, width=205),
            "wrong": st.column_config.TextColumn(
                "Wrong blocks/day", width=130, help="Triggers a day x wrong-block share, with its 95 % interval"
            ),
            "share": st.column_config.TextColumn(
                "Wrong-block share", width=125, help="Benign / triggered, among reviewed triggers"
            ),
            "triggers": st.column_config.NumberColumn("Triggers", format="localized", width=65),
        },
    )
    chosen = [row for row in event["selection"]["rows"] if row < rows.height]
    return chosen[0] if chosen else 0


def _format_wrong(row: dict[str, float | None]) -> str:
    middle, low, high = (row[name] for name in ("wrong_per_day", "low_per_day", "high_per_day"))
    if middle is None or low is None or high is None:
        return "not enough reviews"
    return f"{middle:.1f} ({low:.1f}–{high:.1f})"


def _render_actions(rule: Rule) -> None:
    st.subheader("What to do about it", anchor=False)
    left, right = st.columns([5, 8], gap="medium")
    with left:
        render_set(rule)
        st.space("small")
        render_proposals(rule.filter_name, rule.rule_id)
    with right:
        render_change(rule, threshold=_find_threshold(rule))


def _find_threshold(rule: Rule) -> float | None:
    """The filter's newest logged threshold; None without scores, and for a rule, which has none of its own."""
    if rule.rule_id is not None:
        return None
    scores = data.read(score_histogram, rule.query)
    known = scores["threshold"].drop_nulls()
    return float(known[0]) if len(known) else None
