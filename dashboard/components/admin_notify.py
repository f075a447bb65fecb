"""Who is told of what, a test for each place, and how messages fared."""

from __future__ import annotations

import polars as pl
import streamlit as st

from core.clock import now
from core.settings_response import NotifyTarget
from dashboard import data, state
from dashboard.components.empty import render_empty
from dashboard.text import inert, plain
from dashboard.theme import MISSING, localise
from incidents.notify.outbox import DeliveryState, add_test, list_deliveries
from incidents.notify.sending import send_now

_NOTICE = "admin.notify_notice"
_MARKS = {DeliveryState.SENT: "✓ sent", DeliveryState.WAITING: "… waiting", DeliveryState.GIVEN_UP: "✕ given up"}


def render_notifications() -> None:
    """Draws the targets with their test buttons, the policies, and the delivery log."""
    settings = data.home().settings
    st.markdown("#### Notifications")
    if not settings.notify:
        render_empty(
            "Nobody is told of anything",
            "Nothing leaves this host until weir.toml names where to: a [[notify]] entry with a name and an Apprise "
            "address. docs/notifications.md shows one.",
            icon=":material/notifications_off:",
        )
    for target in settings.notify:
        _render_target(target)
    notice = st.session_state.get(_NOTICE)
    if notice:
        st.markdown(notice)
    for policy in settings.escalation:
        steps = " → ".join(f"{inert(step.who)} after {step.after_min} min" for step in policy.steps)
        st.markdown(f":material/stairs: **{policy.subject.capitalize()}s of severity {policy.severity}**: {steps}")
    _render_log()


def _render_target(target: NotifyTarget) -> None:
    with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"notify_{target.name}"):
        quiet = (
            f"quiet {target.quiet_from}–{target.quiet_until} {target.zone}" if target.quiet_from else "no quiet hours"
        )
        text = "with titles and names" if target.with_text else "without text"
        scheme = target.url.get_secret_value().partition("://")[0]
        st.markdown(
            f"**{inert(target.name)}** :gray[{inert(scheme)} · {inert(', '.join(target.events), limit=200)} · "
            f"{target.min_severity} or graver · {inert(quiet)} · {text}]".replace("critical or graver", "critical"),
            width="stretch",
        )
        st.button(
            "Send a test",
            key=f"notify_test_{target.name}",
            icon=":material/send:",
            on_click=_send_test,
            args=(target.name,),
        )


def _send_test(name: str) -> None:
    home, actor = data.home(), state.current_actor()
    key = add_test(home.records, name, settings=home.settings, actor=actor, at=now())
    outcome = send_now(home.records, key, settings=home.settings, at=now())
    said = (
        f":red[:material/error: Not delivered to {inert(name)}:] {inert(outcome.error, limit=300)}"
        if outcome.error
        else f":green[:material/check_circle: Delivered to {inert(name)}.]"
    )
    st.session_state[_NOTICE] = said


def _render_log() -> None:
    views = list_deliveries(data.home().records, actor=state.current_actor())
    if not views:
        st.caption("No message was made yet.")
        return
    rows = [
        (view.created_at, view.target, _MARKS[view.state], view.attempts, plain(view.title), plain(view.error) or None)
        for view in views
    ]
    schema: dict[str, pl.DataType] = {
        "created_at": pl.Datetime("us"),
        "target": pl.String(),
        "state": pl.String(),
        "attempts": pl.Int64(),
        "title": pl.String(),
        "error": pl.String(),
    }
    zone = data.zone()
    st.dataframe(
        localise(pl.DataFrame(rows, schema=schema, orient="row"), zone),
        key="notify_log",
        hide_index=True,
        height="content",
        placeholder=MISSING,
        alt="Messages, the newest first",
        column_config={
            "created_at": st.column_config.DatetimeColumn(
                f"Made ({zone.key})", format="YYYY-MM-DD HH:mm:ss", width=160
            ),
            "target": st.column_config.TextColumn("To", width=110),
            "state": st.column_config.TextColumn("State", width=100),
            "attempts": st.column_config.NumberColumn("Tries", width=60),
            "title": st.column_config.TextColumn("Message", width="large"),
            "error": st.column_config.TextColumn("What went wrong"),
        },
    )
