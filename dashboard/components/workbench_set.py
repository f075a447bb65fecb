"""One click from a rule to a balanced test set of its false and true positives."""

from __future__ import annotations

from functools import partial

import streamlit as st

from core.clock import now
from core.errors import AppError
from dashboard import data, state
from dashboard.components.feedback_ledger import zip_set
from dashboard.components.workbench_evidence import Rule
from dashboard.text import inert
from dashboard.theme import format_count
from incidents.exports.build import build_export
from incidents.reviews import mirror_votes
from metrics.query import Query

FORMAT = "balanced-errors"
_BUILT = "workbench.built"


def render_set(rule: Rule) -> None:
    """Draws the action; the set holds all judged turns of the rule, whatever the window."""
    st.markdown("**Test set**")
    st.caption("As many wrong blocks as true positives, matched by language and length: run it against a new version.")
    is_asked = st.button("Build balanced test set", key="workbench_set", icon=":material/balance:")
    name = (rule.filter_name, rule.rule_id)
    if is_asked:
        st.session_state[_BUILT] = (name, *_build(rule))
    built = st.session_state.get(_BUILT)
    if built is None or built[0] != name:
        return
    _, folder, said = built
    st.caption(inert(said, limit=400))
    if folder is not None:
        st.download_button(
            "Download",
            data=partial(zip_set, folder),
            file_name=f"{folder.name}.zip",
            mime="application/zip",
            key="workbench_download",
            icon=":material/download:",
            on_click="ignore",
        )


def _build(rule: Rule) -> tuple[object, str]:
    """The folder written, None where there is nothing to write, and what to say about it."""
    home, actor = data.home(), state.current_actor()
    out = home.settings.exports / f"{FORMAT}-{now():%Y%m%dT%H%M%S}"
    named = (("filter_name", rule.filter_name), ("rule_id", rule.rule_id))
    query = Query(filters=tuple((name, value) for name, value in named if value))
    try:
        with st.spinner("Building"):
            mirror_votes(home.records, home.events, settings=home.settings)
            summary = build_export(
                home.events,
                FORMAT,
                out=out,
                query=query,
                split={"test": 1.0},
                seed=0,
                actor=actor,
                records=home.records,
            )
    except AppError as error:
        return None, error.sentence()
    kinds = summary.balance["test"]
    parts = " and ".join(f"{format_count(count)} {kind.replace('_', ' ')}s" for kind, count in kinds.items())
    return out, f"Built: {parts}. It is listed on Feedback, too."
