"""The rules that raise alerts, with what they watch and where they breach."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
import streamlit as st

from core.settings import AlertRule
from dashboard import data
from dashboard.text import plain
from incidents.alerts.kinds import KINDS, get_limit

SCHEMA = {
    "is_on": pl.Boolean,
    "name": pl.String,
    "kind": pl.String,
    "limit": pl.String,
    "window": pl.String,
    "windows": pl.String,
    "false_alarms": pl.Float64,
    "filters": pl.String,
}


def build_rule_table(rules: Sequence[AlertRule]) -> pl.DataFrame:
    """One row per rule, schema `SCHEMA`."""
    rows = [
        (
            rule.is_on,
            rule.name,
            KINDS[rule.kind].title,
            describe_limit(rule),
            _name_minutes(rule.window_min),
            f"{rule.windows} to fire, {rule.recover_windows} to end",
            rule.false_alarms_per_week if KINDS[rule.kind].has_false_alarm_rate else None,
            ", ".join(plain(text, limit=60) for text in rule.filters) or "all traffic",
        )
        for rule in rules
    ]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def describe_limit(rule: AlertRule) -> str:
    """The limit with what it means: `1.25 · least ratio to the expected rate that matters`."""
    return f"{get_limit(rule):g} · {KINDS[rule.kind].limit_means}"


def render_rules() -> None:
    """Draws the table."""
    st.markdown("**Rules** · :gray[what is watched, judged once for every window]")
    rules = data.home().settings.alerts
    text, number = st.column_config.TextColumn, st.column_config.NumberColumn
    st.dataframe(
        build_rule_table(rules),
        key="alert_rules",
        hide_index=True,
        height="content",
        placeholder="–",
        alt="Alert rules with limit, window and state",
        column_config={
            "is_on": st.column_config.CheckboxColumn("On", width=45),
            "name": text("Rule", width=110),
            "kind": text("Watches", width=150),
            "limit": text("Limit", width=330),
            "window": text("Window", width=75),
            "windows": text("Windows in a row", width=140),
            "false_alarms": number("False alarms/week", width=120, help="Most that a quiet week may raise"),
            "filters": text("Of"),
        },
    )


def _name_minutes(minutes: int) -> str:
    if minutes % 1440 == 0:
        return f"{minutes // 1440} d"
    return f"{minutes // 60} h" if minutes % 60 == 0 else f"{minutes} min"
