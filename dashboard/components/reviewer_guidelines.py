"""Guideline review: what people differ on, by category and reason, and the versions that made it clear."""

from __future__ import annotations

from functools import partial

import polars as pl
import streamlit as st

from core.clock import now
from core.errors import AppError
from dashboard import data, state
from dashboard.components.empty import render_empty
from dashboard.state import View
from dashboard.text import inert, plain
from dashboard.theme import MISSING, format_time
from incidents.enums import VerdictReason
from incidents.judgement.enums import Dispute
from incidents.judgement.guidelines import ContestedGroup, declare_version, group_contested, list_versions
from incidents.people import Actor, Role
from ingest.crosswalk import HAZARDS
from metrics.stale import EVERY_CATEGORY
from service.home import Home

_TOLD = "guidelines_told"
_REASONS = {reason.value: reason.title for reason in VerdictReason}


def render_guidelines(_view: View) -> None:
    """Draws what is contested, the versions, and, for leads, the form that declares a new one."""
    home, actor = data.home(), state.current_actor()
    st.markdown("**Contested, and not yet made clear**")
    groups = group_contested(home.records, actor=actor)
    if groups:
        st.dataframe(tabulate_groups(groups), hide_index=True, placeholder=MISSING, alt="Contested cases by category")
    else:
        render_empty("Nothing is contested", "Cases count here once verdicts on them differ.", icon=":material/gavel:")
    st.markdown("**Versions**")
    _render_versions(home, actor)
    if actor.role in (Role.LEAD, Role.ADMIN):
        _render_form(home, actor)


def tabulate_groups(groups: list[ContestedGroup]) -> pl.DataFrame:
    """One row per category, dispute and reason, largest first."""
    rows = [
        (
            HAZARDS.get(group.category or "", plain(group.category)) or "no category",
            Dispute(group.dispute).title,
            _REASONS.get(group.reason or "", plain(group.reason)) or None,
            group.cases,
            group.waiting,
        )
        for group in groups
    ]
    texts = dict.fromkeys(("Category", "Differ on", "Reason most given"), pl.String)
    return pl.DataFrame(rows, schema={**texts, "Cases": pl.Int64, "Not settled": pl.Int64}, orient="row")


def _render_versions(home: Home, actor: Actor) -> None:
    versions = list_versions(home.records, actor=actor)
    if not versions:
        st.caption("None declared yet: verdicts name no version, and none turns stale.")
        return
    rows = [
        (
            plain(item.name),
            format_time(item.declared_at, data.zone(), relative_to=now()),
            ", ".join("all" if name == EVERY_CATEGORY else HAZARDS.get(name, name) for name in item.categories) or None,
            item.resolved,
            plain(item.note, limit=500) or None,
        )
        for item in versions
    ]
    names = ("Version", "In force from", "Changed", "Made clear", "Note")
    schema = dict.fromkeys(names, pl.String) | {"Made clear": pl.Int64}
    table = pl.DataFrame(rows, schema=schema, orient="row")
    st.dataframe(table.drop("Note"), hide_index=True, placeholder=MISSING, alt="Guideline versions, newest first")
    for name, note in table.select("Version", "Note").drop_nulls().iter_rows():
        st.caption(f"{inert(name, limit=40)}: what changed")
        st.text(note)


def _render_form(home: Home, actor: Actor) -> None:
    titles = {EVERY_CATEGORY: "All categories", **HAZARDS}
    left, right = st.columns(2, gap="medium")
    name = left.text_input("New version", key="guidelines_name", max_chars=40, placeholder="for example 2026-04")
    changed = right.multiselect(
        "Categories whose meaning it changes",
        list(titles),
        format_func=titles.__getitem__,
        key="guidelines_changed",
        placeholder="None: an editorial change",
        help="Verdicts on them that were given before turn stale: they leave estimates and training sets.",
    )
    note = st.text_input("What changed", key="guidelines_note", max_chars=500)
    st.button(
        "Declare",
        key="guidelines_declare",
        type="primary",
        disabled=not name.strip(),
        on_click=partial(_declare, home, actor, name, tuple(changed), note),
    )
    st.caption(st.session_state.pop(_TOLD, "In force for every verdict from now on; it cannot be taken back."))


def _declare(home: Home, actor: Actor, name: str, changed: tuple[str, ...], note: str) -> None:
    try:
        done = declare_version(
            home.records, home.events, name=name.strip(), categories=changed, note=note, actor=actor, at=now()
        )
        st.session_state[_TOLD] = f"Declared. It makes {done.resolved:,} contested cases clear."
    except AppError as error:
        st.session_state[_TOLD] = inert(error.sentence(), limit=300)
