"""The rules that raise alerts, with what they watch and where they breach."""

from __future__ import annotations

from collections.abc import Sequence
from zoneinfo import ZoneInfo

import polars as pl
import streamlit as st

from core.clock import now
from core.settings import AlertRule
from dashboard import data, state
from dashboard.text import plain
from dashboard.theme import format_time
from incidents.alerts.kinds import KINDS, get_limit
from incidents.alerts.rules import RuleInForce, change_rule, list_rules, reset_rule

WINDOWS_MIN = (5, 15, 60, 360, 1440, 10080)

SCHEMA = {
    "is_on": pl.Boolean,
    "name": pl.String,
    "kind": pl.String,
    "window": pl.String,
    "windows": pl.String,
    "false_alarms": pl.Float64,
    "filters": pl.String,
    "limit": pl.String,
    "changed": pl.String,
}


def build_rule_table(entries: Sequence[RuleInForce], *, zone: ZoneInfo) -> pl.DataFrame:
    """One row per rule, schema `SCHEMA`."""
    rows = [
        (
            rule.is_on,
            rule.name,
            KINDS[rule.kind].title,
            _name_minutes(rule.window_min),
            f"{rule.windows} / {rule.recover_windows}",
            rule.false_alarms_per_week if KINDS[rule.kind].has_false_alarm_rate else None,
            ", ".join(plain(text, limit=60) for text in rule.filters) or "all traffic",
            describe_limit(rule),
            describe_change(entry, zone=zone),
        )
        for entry in entries
        for rule in (entry.rule,)
    ]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def describe_limit(rule: AlertRule) -> str:
    """The limit with what it means: `1.25 · least ratio to the expected rate that matters`."""
    return f"{get_limit(rule):g} · {KINDS[rule.kind].limit_means}"


def describe_change(entry: RuleInForce, *, zone: ZoneInfo) -> str | None:
    """Who set it differently from `weir.toml`, when, and what that says: `lea, 2026-03-02 09:00 (weir.toml: 1 h)`."""
    if entry.changed_by is None:
        return None
    configured = {
        "is_on": "on" if entry.configured.is_on else "off",
        "limit": f"{get_limit(entry.configured):g}",
        "window_min": _name_minutes(entry.configured.window_min),
    }
    before = ", ".join(configured[name] for name in entry.list_changed())
    return f"{plain(entry.changed_by)}, {format_time(entry.changed_at, zone)}" + (
        f" (weir.toml: {before})" if before else ""
    )


def render_rules() -> None:
    """Draws the table; choosing a rule offers to change it."""
    home, zone = data.home(), data.zone()
    st.markdown("**Rules** · :gray[what is watched, judged once for every window. Choose one to change it.]")
    entries = list_rules(home.records, settings=home.settings)
    text, number = st.column_config.TextColumn, st.column_config.NumberColumn
    event = st.dataframe(
        build_rule_table(entries, zone=zone),
        key="alert_rules",
        hide_index=True,
        height="content",
        on_select="rerun",
        selection_mode="single-row",
        placeholder="–",
        alt="Alert rules with limit, window and state",
        column_config={
            "is_on": st.column_config.CheckboxColumn("On", width=45),
            "name": text("Rule", width=110),
            "kind": text("Watches", width=135),
            "window": text("Window", width=60),
            "windows": text("In a row", width=65, help="Windows in a row that must breach to fire / must not to end"),
            "false_alarms": number("False/week", width=80, help="False alarms that a quiet week may raise at most"),
            "filters": text("Of", width=80),
            "limit": text("Limit", width=315),
            "changed": text("Changed since weir.toml", help="Kept here, audited, and in force until it is reset"),
        },
    )
    chosen = event["selection"]["rows"]
    if chosen and chosen[0] < len(entries):
        _render_form(entries[chosen[0]])
    _render_reach([entry.rule for entry in entries])


def build_reach_table(found: pl.DataFrame) -> pl.DataFrame:
    """One row per filter, one column per rule about rates: `from 1.24x · 452 expected`."""
    words = [
        f"{'nothing' if factor is None else f'from {factor:.2f}x'} · {count:,.{0 if count >= 10 else 1}f} expected"
        for factor, count in found.select("detectable", "expected").iter_rows()
    ]
    labels = [f"{name} · {_name_minutes(minutes)}" for name, minutes in found.select("rule", "window_min").iter_rows()]
    table = found.select(
        pl.col("filter_name").map_elements(plain, return_dtype=pl.String),
        rule=pl.Series(labels, dtype=pl.String),
        words=pl.Series(words, dtype=pl.String),
    )
    return table.pivot("rule", index="filter_name", values="words")


def _render_reach(rules: Sequence[AlertRule]) -> None:
    """What a lead would not be told: how small a rise each rule sees at today's volume."""
    found = data.list_reach(rules)
    if found.is_empty():
        return
    st.markdown(
        "**What they can see** · :gray[the smallest rise of a filter's trigger rate that is seen within two windows with "
        "90 %, and the triggers that a window expects. A smaller one needs a longer window, or more traffic.]"
    )
    st.dataframe(
        build_reach_table(found),
        key="alert_reach",
        hide_index=True,
        height="content",
        placeholder="–",
        alt="The smallest rise that each rule sees of each filter",
        column_config={"filter_name": st.column_config.TextColumn("Filter")},
    )


def _render_form(entry: RuleInForce) -> None:
    rule, kind = entry.rule, KINDS[entry.rule.kind]
    with st.form(f"alert_rule_{rule.name}"):
        st.markdown(f"**{rule.name}** · {kind.description}")
        on, limit, window, save, reset = st.columns([1, 3, 2, 1, 2], vertical_alignment="bottom")
        is_on = on.toggle("On", value=rule.is_on, key=f"alert_rule_on_{rule.name}")
        value = limit.number_input(
            f"Limit: {kind.limit_means}", value=float(get_limit(rule)), format="%g", key=f"alert_rule_limit_{rule.name}"
        )
        minutes = window.selectbox(
            "Window",
            sorted({*WINDOWS_MIN, rule.window_min}),
            index=sorted({*WINDOWS_MIN, rule.window_min}).index(rule.window_min),
            format_func=_name_minutes,
            key=f"alert_rule_window_{rule.name}",
        )
        is_saved = save.form_submit_button("Save", type="primary", key=f"alert_rule_save_{rule.name}")
        is_reset = reset.form_submit_button(
            "Back to weir.toml", disabled=entry.changed_by is None, key=f"alert_rule_reset_{rule.name}"
        )
    home, actor = data.home(), state.current_actor()
    if is_reset:
        reset_rule(home.records, rule.name, settings=home.settings, actor=actor, at=now())
        st.rerun()
    if is_saved and (is_on, value, minutes) != (rule.is_on, get_limit(rule), rule.window_min):
        change_rule(
            home.records,
            rule.name,
            settings=home.settings,
            actor=actor,
            at=now(),
            is_on=is_on if is_on != rule.is_on else None,
            limit=value if value != get_limit(rule) else None,
            window_min=minutes if minutes != rule.window_min else None,
        )
        st.rerun()


def _name_minutes(minutes: int) -> str:
    if minutes % 1440 == 0:
        return f"{minutes // 1440} d"
    return f"{minutes // 60} h" if minutes % 60 == 0 else f"{minutes} min"
