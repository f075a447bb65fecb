"""Feedback: people's decisions as training sets, from purpose to download."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from core.clock import now
from core.errors import AppError
from dashboard import data, previews, state
from dashboard.components import feedback_ledger, feedback_options, feedback_preview
from dashboard.components.feedback_options import Options
from incidents.audit import change
from incidents.exports.build import build_export
from incidents.exports.ledger import find_holdings, list_exports, list_last_numbers
from incidents.exports.verify import verify_export
from incidents.people import Role
from incidents.ranking.exported import count_rankings
from incidents.reviews import mirror_votes
from metrics.query import Query

REVEALED, FINDINGS, BUILT = (f"feedback.{name}" for name in ("revealed", "findings", "built"))

SOUGHT = {"user": "user_id", "conversation": "conversation_id", "turn": "request_id"}


def render_page() -> None:
    """Purpose, what the set would hold, build, and the sets built earlier."""
    records = data.home().records
    numbers = list_last_numbers(records)
    options = feedback_options.render(numbers)
    query = data.build_query(state.current_view())
    preview = data.read(
        previews.preview_set,
        options,
        query=query,
        ledger=max(numbers.values(), default=None),
        rankings=count_rankings(records),
    )
    if preview.problem:
        feedback_preview.render_problem(preview, _describe_window())
    feedback_preview.render(
        preview,
        is_revealed=st.session_state.get(REVEALED) == (options, query.filters),
        on_reveal=lambda: _reveal(options, query, preview.rows.height),
    )
    _render_build(options, query, is_possible=not preview.problem)
    _render_ledger()


def _describe_window() -> str:
    window = data.resolve_window(state.current_view())
    return "" if window.length is None else "The window of the bar counts by the time of the turn: try all."


def _reveal(options: Options, query: Query, rows: int) -> None:
    actor = state.current_actor()
    actor.require(Role.REVIEWER)
    with change(data.home().records, actor=actor, at=now()) as current:
        current.record("export.reveal", options.name, {"rows": rows})
    st.session_state[REVEALED] = (options, query.filters)


def _render_build(options: Options, query: Query, *, is_possible: bool) -> None:
    is_asked = st.button(
        "Build the set",
        key="feedback_build",
        icon=":material/construction:",
        type="primary",
        disabled=not is_possible,
    )
    if is_asked:
        _build(options, query)
    elif BUILT in st.session_state:
        st.caption(f":material/check: {st.session_state[BUILT]}")


def _build(options: Options, query: Query) -> None:
    home, actor = data.home(), state.current_actor()
    out = home.settings.exports / f"{options.name}-{now():%Y%m%dT%H%M%S}"
    with st.status("Building", expanded=True) as status:
        bar = st.progress(0.0)

        def report(share: float, doing: str) -> None:
            bar.progress(share, doing)

        try:
            mirror_votes(home.records, home.events, settings=home.settings)
            summary = build_export(
                home.events,
                options.name,
                out=out,
                query=query,
                split=options.split(),
                seed=options.seed,
                actor=actor,
                records=home.records,
                include_contested=options.include_contested,
                variant=options.variant,
                soft_labels=options.soft_labels,
                new_since=options.new_since,
                on_progress=report,
            )
        except AppError:
            status.update(label="The set could not be built", state="error")
            raise
        refused = sum(summary.refused.values())
        done = f"Built set {summary.number} of {summary.rows:,} rows; {refused:,} left out. It is below, yours to download."
        status.update(label=done, state="complete", expanded=False)
    st.session_state[BUILT] = done


def _render_ledger() -> None:
    st.subheader("Sets built so far")
    home, zone, title = data.home(), data.zone(), feedback_options.describe_purpose
    sets = feedback_ledger.list_sets(home.settings.exports)
    entries = {entry.manifest_sha256: entry for entry in list_exports(home.records, actor=state.current_actor())}
    if not sets and not entries:
        st.caption("None yet.")
        return
    feedback_ledger.render(
        sets,
        entries=entries,
        zone=zone,
        title=title,
        findings=st.session_state.get(FINDINGS, {}),
        on_verify=_verify,
    )
    here = {item.manifest_sha256 for item in sets}
    elsewhere = [entry for digest, entry in entries.items() if digest not in here]
    feedback_ledger.render_elsewhere(elsewhere, zone=zone, title=title)
    _render_search()


def _render_search() -> None:
    """Which sets hold a person's or a conversation's rows."""
    with st.container(horizontal=True, vertical_alignment="bottom", key="feedback_find"):
        what = st.selectbox("Which sets hold a", list(SOUGHT), width=180, key="feedback_find_what")
        sought = st.text_input("called", width=320, key="feedback_find_id", placeholder="its id, exactly")
    if sought.strip():
        holdings = find_holdings(data.home().records, actor=state.current_actor(), **{SOUGHT[what]: sought.strip()})
        feedback_ledger.render_holdings(holdings, zone=data.zone(), title=feedback_options.describe_purpose)


def _verify(folder: Path) -> None:
    home = data.home()
    try:
        finding = feedback_ledger.describe_verification(verify_export(home.events, folder, records=home.records))
    except AppError as error:
        finding = error.sentence()
    st.session_state[FINDINGS] = st.session_state.get(FINDINGS, {}) | {folder.name: finding}


render_page()
