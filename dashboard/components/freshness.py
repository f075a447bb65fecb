"""The freshness badge: how far the data reaches, and which source lags. On live pages it is the pulse, too."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import polars as pl
import streamlit as st

from core.clock import now
from dashboard import data, lists, state
from dashboard.errors import boundary
from dashboard.text import inert
from dashboard.theme import format_duration, format_time, get_zone

LIVE_EVERY_S = 0.5
CALM_EVERY_S = 10
LAGS_AFTER = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Freshness:
    """What the badge says; `label` and `note` are Markdown."""

    label: str
    note: str
    colour: Literal["gray", "green", "orange"]
    icon: str


def render_freshness(*, is_live: bool) -> None:
    """The badge; on a live page it looks for new data twice a second and redraws the page when there is some.

    Looking costs one query of a millisecond; nothing is sent to the browser but the badge until data arrives.
    """
    st.session_state[state.DRAWN_VERSION_KEY] = data.version()
    st.fragment(_pulse, run_every=LIVE_EVERY_S if is_live else CALM_EVERY_S)(is_live)


def _pulse(is_live: bool) -> None:
    with boundary("Freshness", is_part=True):
        if is_live and st.session_state.get(state.DRAWN_VERSION_KEY) != data.version():
            st.rerun()
        said = describe_freshness(
            data.newest_event(),
            data.read(lists.list_flowing),
            at=now(),
            zone_name=st.context.timezone,
            is_demo=data.is_demo(),
        )
        st.badge(said.label, icon=said.icon, color=said.colour, help=said.note)


def describe_freshness(
    newest: datetime | None,
    sources: pl.DataFrame,
    *,
    at: datetime,
    zone_name: str | None,
    is_demo: bool,
) -> Freshness:
    """What to say about the age of the data.

    Args:
        newest: Time of the newest event, naive UTC; None in an empty store.
        sources: Rows of `lists.list_flowing`.
        at: The present moment, naive UTC.
        zone_name: The reader's time zone.
        is_demo: Simulated traffic does not go on, so that its age is no lag.
    """
    if newest is None:
        return Freshness("no data yet", "Nothing has been ingested.", "gray", ":material/schedule:")
    age = at - newest
    zone = get_zone(zone_name)
    label = f"data to {format_time(newest, zone, relative_to=at)} ({format_duration(age.total_seconds())} ago)"
    label = inert(label)
    if age > data.HISTORIC_AFTER:
        note = (
            f"Windows end at the newest event, {format_time(newest, zone)} {inert(zone.key)}: nothing newer is stored."
        )
        return Freshness(label, note, "gray", ":material/history:")
    lagging = [] if is_demo else list_lagging(sources, at=at)
    if lagging:
        names = ", ".join(inert(name, limit=30) for name in lagging[:3])
        more = f" and {len(lagging) - 3} more" if len(lagging) > 3 else ""
        note = f"No event for more than {format_duration(LAGS_AFTER.total_seconds())} from: {names}{more}."
        return Freshness(f"{label} · {names}{more} lags", note, "orange", ":material/warning:")
    note = f"Newest event: {format_time(newest, zone)} {inert(zone.key)}."
    return Freshness(label, note, "gray" if is_demo else "green", ":material/schedule:")


def list_lagging(sources: pl.DataFrame, *, at: datetime) -> list[str]:
    """Sources whose newest event is older than `LAGS_AFTER` but within a day: ones that should be flowing."""
    return (
        sources.filter(pl.col("last_event_at").is_between(at - data.HISTORIC_AFTER, at - LAGS_AFTER))
        .sort("last_event_at")["source"]
        .drop_nulls()
        .to_list()
    )
