"""Alerts by filter: what each says, the way to what it is about, taking it up, silencing it, its history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Literal
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import polars as pl
import streamlit as st

from core.clock import now
from dashboard import data, state
from dashboard.components.alert_rules import render_rules
from dashboard.components.empty import render_empty
from dashboard.components.incident_desk import render_from_alert
from dashboard.navigation import PAGES
from dashboard.text import inert, plain
from dashboard.theme import format_duration, format_time, localise
from incidents.alerts import desk
from incidents.alerts.desk import AlertView
from incidents.alerts.kinds import KINDS
from incidents.alerts.rules import list_rules
from incidents.enums import AlertState

SHOWN = 30
SILENCES = {
    "1 hour": timedelta(hours=1),
    "8 hours": timedelta(hours=8),
    "1 day": timedelta(days=1),
    "7 days": timedelta(days=7),
    "30 days": desk.LONGEST_SILENCE,
}
_COLOURS: dict[AlertState, Literal["red", "orange", "gray", "violet", "green"]] = {
    AlertState.FIRING: "red",
    AlertState.RECOVERING: "orange",
    AlertState.PENDING: "gray",
    AlertState.SILENCED: "violet",
    AlertState.OK: "green",
}
_ICONS = {
    AlertState.FIRING: ":material/notifications_active:",
    AlertState.RECOVERING: ":material/trending_down:",
    AlertState.PENDING: ":material/hourglass_top:",
    AlertState.SILENCED: ":material/notifications_off:",
    AlertState.OK: ":material/check_circle:",
}
_ACTIONS = {
    "fire": "began to fire",
    "window": "",
    "retire": "its rule was switched off",
    "acknowledge": "taken up",
    "silence": "silenced",
    "unsilence": "silence ended",
}


def render_alerts() -> None:
    """Draws the section: open alerts, those that are over, the rules."""
    at, zone = now(), data.zone()
    home = data.home()
    windows = {entry.rule.name: entry.rule.window_min for entry in list_rules(home.records, settings=home.settings)}
    views = desk.list_alerts(home.records, actor=state.current_actor(), at=at, with_ok=True)
    is_over = [view for view in views if view.state is AlertState.OK]
    is_open = [view for view in views if view.state is not AlertState.OK]
    st.markdown(f"#### {summarize(views, at=at)}")
    if not is_open:
        render_empty(
            "No alert", "Rules look at every window as it closes; what they find stands here.", icon=":material/check:"
        )
    for about, group in groupby(_by_filter(is_open[:SHOWN]), key=_about):
        _render_group(about, list(group), windows=windows, at=at, zone=zone)
    if len(is_open) > SHOWN:
        st.caption(f"The {SHOWN} most urgent of {len(is_open):,}; `weir alerts list` shows all.")
    if is_over:
        with st.expander(f"{len(is_over):,} over", icon=":material/history:"):
            _render_over(is_over, zone=zone)
    render_rules()


def summarize(views: Sequence[AlertView], *, at: datetime) -> str:
    """The first sentence: how many alerts fire, or when the last one did."""
    firing = sum(view.state is AlertState.FIRING for view in views)
    if firing:
        return "One alert fires." if firing == 1 else f"{firing:,} alerts fire."
    fired = [view.fired_at for view in views if view.fired_at]
    if not fired:
        return "No alert fires. None ever has."
    return f"No alert fires. The last one did {format_duration((at - max(fired)).total_seconds())} ago."


def link_params(view: AlertView, *, window_min: int) -> dict[str, str | list[str]]:
    """The query string of the very view that an alert is about: its filter, and the window of its last breach."""
    kind = KINDS[view.kind]
    if kind.page == "triage":
        return {}
    end = view.breached_at or view.window_end
    start = end - timedelta(minutes=kind.lookback_min or window_min)
    params: dict[str, str | list[str]] = {"window": "custom", "since": start.isoformat(), "until": end.isoformat()}
    if kind.page == "quality":
        params["section"] = "Over-blocking"
    if view.filter_name:
        params["show" if kind.page == "filters" else "filter"] = view.filter_name
    return params


def _by_filter(views: Sequence[AlertView]) -> list[AlertView]:
    """In the given order of urgency, with alerts of one filter (or source) together."""
    first = {about: place for place, about in reversed([(place, _about(view)) for place, view in enumerate(views)])}
    return sorted(views, key=lambda view: first[_about(view)])


def _about(view: AlertView) -> str:
    """Whose alert it is: a filter's or source's name, as logged."""
    if view.source:
        return f"Source {view.source}"
    return view.filter_name or "All filters"


def _render_group(
    about: str, views: Sequence[AlertView], *, windows: Mapping[str, int], at: datetime, zone: ZoneInfo
) -> None:
    with st.container(border=True, gap="small"):
        st.markdown(f"**{inert(about)}**")
        for view in views:
            _render_alert(view, window_min=windows.get(view.rule_name, 60), at=at, zone=zone)


def _render_alert(view: AlertView, *, window_min: int, at: datetime, zone: ZoneInfo) -> None:
    subject = f"rule **{inert(view.rule_id)}** " if view.rule_id else ""
    badge = f":{_COLOURS[view.state]}-badge[{_ICONS[view.state]} {view.state.title}]"
    with st.container(key=f"alert_{view.alert_id}", gap=None):
        words, *places = st.columns([6.5, 2, 2, 2.3, 2.3, 2], vertical_alignment="top", gap="small")
        with words:
            st.markdown(f"{badge} {subject}{inert(view.sentence, limit=400)}.")
        with places[0]:
            _render_link(view, window_min=window_min)
        steps = (_render_acknowledge, render_from_alert, _render_silence, _render_history)
        for place, render in zip(places[1:], steps, strict=True):
            with place:
                render(view)
        st.caption(_describe(view, at=at, zone=zone))


def _describe(view: AlertView, *, at: datetime, zone: ZoneInfo) -> str:
    parts = [f"{KINDS[view.kind].title} · rule `{view.rule_name}`"]
    if view.since:
        parts.append(f"since {format_time(view.since, zone)} ({format_duration((at - view.since).total_seconds())})")
    if view.acked_by:
        parts.append(f"taken up by {inert(view.acked_by)}, {format_time(view.acked_at, zone)}")
    if view.state is AlertState.SILENCED and view.silenced_until:
        parts.append(
            f"silenced by {inert(view.silenced_by)} until {format_time(view.silenced_until, zone)}: "
            f"{inert(view.silence_reason, limit=200)}"
        )
    return " · ".join(parts)


def _render_link(view: AlertView, *, window_min: int) -> None:
    params = {**link_params(view, window_min=window_min), "actor": state.current_actor().name}
    # A new tab: within this session the bar's window would win over the link's.
    st.link_button(
        "See it",
        f"{PAGES[KINDS[view.kind].page].url_path}?{urlencode(params, doseq=True)}",
        icon=":material/arrow_forward:",
        type="tertiary",
    )


def _render_acknowledge(view: AlertView) -> None:
    is_taken = st.button(
        "Taken up" if view.acked_by else "Take up",
        key=f"alert_ack_{view.alert_id}",
        type="tertiary",
        icon=":material/back_hand:",
        disabled=view.acked_by is not None,
        help="Tell the others that you see to it",
    )
    if is_taken:
        desk.acknowledge_alert(data.home().records, view.alert_id, actor=state.current_actor(), at=now())
        st.rerun()


def _render_silence(view: AlertView) -> None:
    if view.state is AlertState.SILENCED:
        if st.button(
            "End silence",
            key=f"alert_unsilence_{view.alert_id}",
            type="tertiary",
        ):
            _silence(view, until=None, reason="")
        return
    with (
        st.popover(
            "Silence", icon=":material/notifications_off:", key=f"alert_silence_{view.alert_id}", type="tertiary"
        ),
        st.form(f"alert_silence_form_{view.alert_id}", border=False),
    ):
        length = st.segmented_control(
            "For", list(SILENCES), default="1 day", key=f"alert_silence_for_{view.alert_id}", required=True
        )
        reason = st.text_input("Why nobody needs to be told", key=f"alert_silence_why_{view.alert_id}", max_chars=300)
        if st.form_submit_button("Silence it", type="primary", key=f"alert_silence_go_{view.alert_id}"):
            _silence(view, until=now() + SILENCES[length], reason=reason)


def _silence(view: AlertView, *, until: datetime | None, reason: str) -> None:
    desk.silence_alert(
        data.home().records, view.alert_id, actor=state.current_actor(), until=until, reason=reason, at=now()
    )
    st.rerun()


def _render_history(view: AlertView) -> None:
    zone = data.zone()
    with st.popover("History", key=f"alert_history_{view.alert_id}", type="tertiary"):
        events = desk.list_alert_events(data.home().records, view.alert_id, actor=state.current_actor())
        for event in events[:50]:
            what = _ACTIONS[event.action] or AlertState(event.state).title.lower()
            who = "" if event.actor == "system" else f" by {inert(event.actor)}"
            st.markdown(f"{format_time(event.window_end or event.at, zone)} · **{what}**{who}")
            if event.action == "fire":
                st.caption(inert(event.sentence, limit=400))


def _render_over(views: Sequence[AlertView], *, zone: ZoneInfo) -> None:
    rows = [
        (
            plain(_about(view)),
            plain(view.rule_id) if view.rule_id else None,
            view.rule_name,
            view.fired_at,
            view.since if view.fired_at else None,
            plain(view.sentence, limit=400),
        )
        for view in sorted(views, key=lambda view: view.fired_at or view.window_end, reverse=True)
    ]
    schema: dict[str, pl.DataType] = {
        "filter": pl.String(),
        "rule_id": pl.String(),
        "rule": pl.String(),
        "fired_at": pl.Datetime("us"),
        "ended_at": pl.Datetime("us"),
        "sentence": pl.String(),
    }
    moment, text = st.column_config.DatetimeColumn, st.column_config.TextColumn
    st.dataframe(
        localise(pl.DataFrame(rows, schema=schema, orient="row"), zone),
        key="alerts_over",
        hide_index=True,
        height="content",
        placeholder="–",
        alt="Alerts that are over, the latest first",
        column_config={
            "filter": text("Filter"),
            "rule_id": text("Its rule", width=90),
            "rule": text("Alert rule", width=110),
            "fired_at": moment(f"Fired ({zone.key})", format="YYYY-MM-DD HH:mm", width=125),
            "ended_at": moment("Ended", format="YYYY-MM-DD HH:mm", width=125),
            "sentence": text("What it said", width="large"),
        },
    )
