"""Calibration rounds: how far people judged one set alike, where they differ, and one's own answers."""

from __future__ import annotations

import math

import polars as pl
import streamlit as st

from core.clock import now
from core.errors import AppError
from dashboard import data, state
from dashboard.components.empty import render_empty
from dashboard.components.tiles import describe_rate
from dashboard.state import View
from dashboard.text import inert, plain
from dashboard.theme import MISSING, format_count, format_time
from incidents.judgement.calibration import RoundResult, compare_round, end_round, list_rounds, start_round
from incidents.judgement.models import CalibrationRound
from incidents.people import Actor, Role
from metrics.reliability import Coefficient
from service.home import Home

_TOLD = "calibration_told"


def render_calibration(_view: View) -> None:
    """Draws the chosen round, the newest at first, and, for leads, how to begin and end one."""
    home, actor = data.home(), state.current_actor()
    is_lead = actor.role in (Role.LEAD, Role.ADMIN)
    rounds = list_rounds(home.records, actor=actor)
    running = next((item for item in rounds if item.ended_at is None), None)
    if is_lead:
        _render_controls(home, actor, running)
    st.caption(st.session_state.pop(_TOLD, " "))
    if not rounds:
        render_empty(
            "No round yet",
            "A round is a set of settled cases that everybody judges, blind, and compares afterwards.",
            icon=":material/balance:",
        )
        return
    chosen = st.selectbox("Round", rounds, format_func=lambda item: plain(item.title), key="calibration_round")
    if chosen is None:
        return
    if chosen.ended_at is None and not is_lead:
        render_empty("The round still runs", "Its results are shown once it has ended.", icon=":material/balance:")
        return
    _render_result(compare_round(home.records, chosen.round_id, actor=actor, statistics=home.settings.statistics), home)


def tabulate_items(result: RoundResult) -> pl.DataFrame:
    """One row per case, those that people differ on first: what was settled, how many said what, the reader's own answer."""
    words = {True: "harmful", False: "benign", None: None}
    rows = [
        (item.case_id, words[item.settled], item.harmful, item.benign, item.unsure, item.own) for item in result.items
    ]
    counts = dict.fromkeys(("Harmful", "Benign", "Unsure"), pl.Int64)
    schema = {"Case": pl.String, "Settled as": pl.String, **counts, "You": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _render_controls(home: Home, actor: Actor, running: CalibrationRound | None) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom", key="calibration_controls"):
        if running is not None:
            st.markdown(f"**{inert(running.title)}** runs", width="content")
            st.button("End it", key="calibration_end", on_click=_end, args=(home, actor, running.round_id))
            return
        title = st.text_input("Title of a new round", key="calibration_title", max_chars=200, width=320)
        count = st.number_input("Cases", min_value=2, max_value=200, value=20, key="calibration_n", width=120)
        st.button(
            "Begin",
            key="calibration_start",
            type="primary",
            disabled=not title.strip(),
            on_click=_start,
            args=(home, actor, title, int(count)),
        )


def _render_result(result: RoundResult, home: Home) -> None:
    zone = data.zone()
    ended = f"ended {format_time(result.ended_at, zone, relative_to=now())}" if result.ended_at else "still runs"
    st.caption(
        f"Began {format_time(result.started_at, zone, relative_to=now())}, {ended}. {format_count(result.people)} people "
        f"answered, {format_count(result.complete)} of them all {format_count(len(result.items))} cases."
    )
    least = home.settings.statistics.min_sample
    tiles = [
        ("All agree", *describe_rate(result.all_agree, noun="cases", min_sample=least)),
        ("Krippendorff's alpha", _format(result.alpha.estimate), _format_bounds(result.alpha)),
        ("Gwet's AC1", _format(result.ac1.estimate), _format_bounds(result.ac1)),
        ("As settled", *describe_rate(result.accuracy, noun="answers", min_sample=least)),
        ("Your own", *describe_rate(result.own_accuracy, noun="answers", min_sample=least)),
    ]
    for column, (label, value, basis) in zip(st.columns(len(tiles)), tiles, strict=True):
        with column.container(border=True, gap="xsmall", height="stretch"):
            st.metric(label, value)
            st.caption(basis)
    st.dataframe(
        tabulate_items(result),
        hide_index=True,
        placeholder=MISSING,
        key="calibration_items",
        alt="Answers of the round by case, without names",
    )
    st.caption("Cases on which people differ most come first. Your own answers are seen by you alone.")


def _format(value: float) -> str:
    return MISSING if math.isnan(value) else f"{value:.3f}"


def _format_bounds(measured: Coefficient) -> str:
    if math.isnan(measured.low):
        return "too few different answers"
    return f"{measured.low:.3f} to {measured.high:.3f}"


def _start(home: Home, actor: Actor, title: str, count: int) -> None:
    try:
        start_round(home.records, title=title, n=count, seed=0, actor=actor, at=now())
        st.session_state[_TOLD] = "The round has begun: everybody is served its cases before others."
    except AppError as error:
        st.session_state[_TOLD] = inert(error.sentence(), limit=300)


def _end(home: Home, actor: Actor, round_id: str) -> None:
    try:
        end_round(home.records, round_id, actor=actor, at=now())
        st.session_state[_TOLD] = "The round has ended."
    except AppError as error:
        st.session_state[_TOLD] = inert(error.sentence(), limit=300)
