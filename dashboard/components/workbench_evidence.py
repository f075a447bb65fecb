"""One rule's evidence: how people judged what it stopped, since when, in which languages, and what it matched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl
import streamlit as st

from core.clock import now
from dashboard import data, state
from dashboard.charts.counts import build_trigger_counts
from dashboard.charts.rates import choose_bucket
from dashboard.charts.verdicts import build_verdict_bars
from dashboard.components.chart import render_chart
from dashboard.components.conversation import render_chosen
from dashboard.text import inert, plain
from dashboard.theme import format_count, format_percent, format_rate, localise
from incidents.reveals import reveal_matches
from metrics.query import Query
from metrics.rule_evidence import VERDICTS, count_turns, list_examples, list_spans, list_versions
from metrics.series import trigger_series

_REVEALED = "workbench.revealed"
_EXAMPLES = {"All": None, "Wrong blocks": "benign", "True positives": "harmful", "Not judged": "not judged"}


@dataclass(frozen=True, slots=True)
class Rule:
    """What the workbench is about.

    Attributes:
        filter_name: The filter.
        rule_id: Its rule; None where the filter logs none.
        query: Enforced checks of it in the view's window.
        turns: Its triggered turns by language, application and verdict (`metrics.rule_evidence.count_turns`).
    """

    filter_name: str
    rule_id: str | None
    query: Query
    turns: pl.DataFrame

    @property
    def title(self) -> str:
        """Rule and filter as Markdown that shows exactly their characters."""
        return " · ".join(inert(part, limit=60) for part in (self.rule_id, self.filter_name) if part)


def read_rule(filter_name: str, rule_id: str | None, query: Query) -> Rule:
    """The rule with its triggered turns."""
    return Rule(filter_name, rule_id, query, data.read(count_turns, query, filter_name=filter_name))


def render_evidence(rule: Rule, share: Any) -> None:
    """Draws the evidence; `share` is the rule's wrong-block share, a rate record or None."""
    st.subheader(rule.title, anchor=False)
    st.caption(_describe(rule, share))
    length = rule.query.until - rule.query.since if rule.query.since and rule.query.until else None
    bucket_s = choose_bucket(length, checks=int(rule.turns["turns"].sum()))
    trend = data.read(trigger_series, rule.query, by="filter_name", bucket_s=bucket_s)
    chart = build_trigger_counts(trend, bucket_s=bucket_s, zone=data.zone(), height=200, versions=_find_deploys(rule))
    render_chart(chart, key="rule_trend")
    for column, by, title in zip(st.columns(2), ("language", "app"), ("Languages", "Applications"), strict=True):
        with column:
            render_chart(build_verdict_bars(rule.turns, by=by, title=title, verdicts=VERDICTS), key=f"rule_{by}")
    _render_spans(rule)


def _describe(rule: Rule, share: Any) -> str:
    counts = dict(rule.turns.group_by("verdict").agg(pl.col("turns").sum()).rows())
    total = sum(counts.values())
    judged = total - counts.get("not judged", 0)
    labelled = format_percent(judged / total) if total else "none"
    return (
        f"Wrong-block share: {format_rate(share if isinstance(share, dict) else None)} · "
        f"{format_count(total)} turns triggered, {labelled} of them labelled: "
        f"{format_count(counts.get('benign', 0))} benign, {format_count(counts.get('harmful', 0))} harmful"
    )


def _find_deploys(rule: Rule) -> pl.DataFrame:
    """Versions that came in within the window; the first ever seen is no deploy."""
    seen = data.read(list_versions, filter_name=rule.filter_name).slice(1)
    if rule.query.since is not None:
        seen = seen.filter(pl.col("first_at") >= rule.query.since)
    return seen if rule.query.until is None else seen.filter(pl.col("first_at") < rule.query.until)


def _render_spans(rule: Rule) -> None:
    spans = data.read(list_spans, rule.query, filter_name=rule.filter_name)
    if spans.is_empty():
        st.caption("This filter does not log which part of a text matched.")
        return
    name = (rule.filter_name, rule.rule_id)
    is_revealed = st.session_state.get(_REVEALED) == name
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown("**Matched text**", width="content")
        st.space("stretch")
        st.button(
            "Revealed" if is_revealed else "Reveal",
            key="workbench_reveal",
            icon=":material/visibility:",
            type="tertiary",
            disabled=is_revealed,
            help="Revealing is recorded in the audit log.",
            on_click=_reveal,
            args=(rule, spans.height),
        )
    masked = pl.format("masked, {} characters", pl.col("span").str.len_chars())
    shown = pl.col("span").map_elements(plain, return_dtype=pl.String) if is_revealed else masked
    st.dataframe(
        spans.with_columns(span=shown),
        key="workbench_spans",
        hide_index=True,
        height=min(38 + 35 * spans.height, 250),
        alt="What the rule matched, by verdict",
        column_config={
            "span": st.column_config.TextColumn("Matched text"),
            "turns": st.column_config.NumberColumn("Turns", format="localized", width=70),
            "benign": st.column_config.NumberColumn("Benign", format="localized", width=70),
            "harmful": st.column_config.NumberColumn("Harmful", format="localized", width=75),
        },
    )


def _reveal(rule: Rule, spans: int) -> None:
    reveal_matches(
        data.home().records,
        filter_name=rule.filter_name,
        rule_id=rule.rule_id,
        spans=spans,
        actor=state.current_actor(),
        at=now(),
    )
    st.session_state[_REVEALED] = (rule.filter_name, rule.rule_id)


def render_examples(rule: Rule) -> None:
    """Draws the newest triggered turns, by verdict, each with its conversation."""
    st.markdown("**Newest triggers**")
    kind = st.pills("Verdict", list(_EXAMPLES), default="All", key="workbench_verdict", label_visibility="collapsed")
    rows = data.read(list_examples, rule.query, filter_name=rule.filter_name, verdict=_EXAMPLES[kind or "All"])
    if rows.is_empty():
        st.caption("None in this window.")
        return
    zone = data.zone()
    texts = ("request_id", "language", "app", "category", "decision")
    event = st.dataframe(
        localise(rows, zone).with_columns(pl.col(name).map_elements(plain, return_dtype=pl.String) for name in texts),
        key=f"workbench_examples_{kind}",
        hide_index=True,
        height=300,
        on_select="rerun",
        selection_mode="single-row",
        placeholder="–",
        alt="Newest triggered turns, without texts",
        column_order=["ts", "verdict", "language", "app", "request_id", "category", "score"],
        column_config={
            "ts": st.column_config.DatetimeColumn(f"Time ({zone.key})", format="YYYY-MM-DD HH:mm", width=125),
            "verdict": st.column_config.TextColumn("Verdict", width=80),
            "language": st.column_config.TextColumn("Language", width=75),
            "app": st.column_config.TextColumn("App", width=80),
            "request_id": st.column_config.TextColumn("Turn", width=115),
            "category": st.column_config.TextColumn("Category"),
            "score": st.column_config.NumberColumn("Score", format="%.3f", width=60),
        },
    )
    render_chosen(rows, event["selection"]["rows"], time_column="ts")
