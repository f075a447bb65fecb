"""The bar above every page: window, comparison, filters, freshness, coverage, who acts."""

from __future__ import annotations

import streamlit as st

from core.clock import now
from dashboard import data, lists, state
from dashboard.components.coverage import render_coverage
from dashboard.components.freshness import render_freshness
from dashboard.errors import boundary
from dashboard.navigation import PageSpec
from dashboard.text import inert
from dashboard.theme import format_time, format_window

FILTER_TITLES = {"app": "App", "layer": "Layer", "filter": "Filter", "model": "Model"}


def render_shell(page: PageSpec) -> None:
    """Draws the bar; its widgets hold the view that `state.current_view` returns."""
    with st.container(key="shell", horizontal=True, vertical_alignment="center", gap="small"):
        _render_window()
        _render_filters()
        with boundary("Freshness", is_part=True), st.container(width="content"):
            render_freshness(is_live=page.is_live)
        with boundary("Coverage", is_part=True):
            render_coverage(state.current_view())
        with boundary("Demo badge", is_part=True):
            if data.is_demo():
                st.badge("demo data", icon=":material/science:", color="violet", help="Simulated traffic")
        with boundary("Actor", is_part=True):
            _render_actor()
    with st.container(key="shell_notice"), boundary("Window", is_part=True):
        _render_notice()


def _render_window() -> None:
    st.segmented_control(
        "Window",
        list(state.WINDOWS),
        key="window",
        default=state.DEFAULT_WINDOW,
        required=True,
        bind="query-params",
        label_visibility="collapsed",
        width="content",
    )
    if st.session_state.get("window") == "custom":
        with st.popover("From – until", icon=":material/date_range:", key="custom_window"):
            st.datetime_input("From (UTC)", value=None, key="since", bind="query-params")
            st.datetime_input("Until (UTC)", value=None, key="until", bind="query-params")
    st.toggle("Compare", value=True, key="compare", bind="query-params", width="content")


def _render_filters() -> None:
    options: dict[str, list[str]] = {}
    with boundary("Filters", is_part=True):
        options = data.read(lists.list_options)
    label, is_filtered = _describe_filters()
    with st.popover(
        label, icon=":material/filter_list:", key="filters", type="primary" if is_filtered else "secondary"
    ):
        for key, title in FILTER_TITLES.items():
            st.multiselect(title, options.get(key, []), key=key, bind="query-params", placeholder="all")


def _describe_filters() -> tuple[str, bool]:
    parts = []
    for key in FILTER_TITLES:
        chosen = [str(value) for value in st.session_state.get(key) or []]
        if chosen:
            more = f" +{len(chosen) - 1}" if len(chosen) > 1 else ""
            parts.append(f"{key}: {inert(chosen[0], limit=20)}{more}")
    return " · ".join(parts) or "All traffic", bool(parts)


def _render_actor() -> None:
    actor = state.current_actor()
    with st.popover(inert(actor.name, limit=24), icon=":material/person:", type="tertiary", key="actor_menu"):
        st.text_input(
            "Your name",
            value=state.DEFAULT_ACTOR,
            key=state.ACTOR_KEY,
            max_chars=60,
            bind="query-params",
            help="Stands beside every verdict that you give, until this server has sign-in",
        )
        st.caption(f"Role: {actor.role.value}")


def _render_notice() -> None:
    view = state.current_view()
    window = data.resolve_window(view)
    if window.is_historic and window.newest:
        st.caption(
            f":material/history: Window ends at the newest event, {window.newest:%Y-%m-%d}: the last "
            f"{format_window(window.length)} before {format_time(window.newest, data.zone())}, "
            f"{(now() - window.newest).days:,} days ago."
        )
    elif view.window == "custom" and not (view.since or view.until):
        st.caption(":material/date_range: Choose when the window begins or ends; until then everything is shown.")
