"""Whose turn it is while nobody takes something up."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

import streamlit as st

from dashboard.text import inert
from dashboard.theme import format_duration, format_time
from incidents.response.escalation import Turn

_MARKS = {
    "told": ":orange[:material/notifications_active:]",
    "next": ":material/hourglass_top:",
    "later": ":material/more_horiz:",
    "stopped": ":green[:material/check_circle:]",
}


def render_turns(turns: Sequence[Turn], *, zone: ZoneInfo, at: datetime) -> None:
    """Draws the steps of an escalation; nothing where no policy applies."""
    if not turns:
        return
    with st.container(border=True, gap=None, key="escalation_turns"):
        st.markdown("**Escalation** · :gray[taking it up stops the clock]")
        for turn in turns:
            st.markdown(f"{_MARKS[turn.place]} {inert(turn.who)} · :gray[{describe_turn(turn, zone=zone, at=at)}]")


def summarize_turns(turns: Sequence[Turn], *, zone: ZoneInfo, at: datetime) -> str:
    """Who was told and who is next, on one line of Markdown."""
    told = [inert(turn.who) for turn in turns if turn.place == "told"]
    coming = [turn for turn in turns if turn.place == "next"]
    parts = [f"told: {', '.join(told)}"] if told else []
    parts += [f"next: {inert(turn.who)} {describe_turn(turn, zone=zone, at=at)}" for turn in coming]
    return f":material/stairs: escalation · {'; '.join(parts) or 'stopped: somebody took it up'}"


def describe_turn(turn: Turn, *, zone: ZoneInfo, at: datetime) -> str:
    """When somebody is told, in words."""
    moment = format_time(turn.due_at, zone, relative_to=at)
    match turn.place:
        case "told":
            return f"told {moment}"
        case "next":
            return f"in {format_duration((turn.due_at - at).total_seconds())}, {moment}"
        case "later":
            return f"then, {moment}"
        case _:
            return "not needed: somebody took it up"
