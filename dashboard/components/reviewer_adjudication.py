"""Adjudication: the cases whose verdicts differ, one of them with its verdicts but without names, and what was settled."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import polars as pl
import streamlit as st

from core.clock import now
from core.errors import AppError
from dashboard import data, state
from dashboard.components import triage_conversation, triage_form, triage_queue
from dashboard.components.empty import render_empty
from dashboard.components.triage_desk import Desk, open_desk, to_vote
from dashboard.components.triage_evidence import list_turns
from dashboard.state import View
from dashboard.text import inert, plain, write_out
from dashboard.theme import MISSING, format_count, format_duration, format_time
from incidents.cases import CaseView, get_case
from incidents.constitution.principles import list_principle_ids
from incidents.enums import VerdictReason
from incidents.judgement.adjudication import (
    AnonymousVote,
    DisputeView,
    adjudicate,
    count_disputes,
    list_disputes,
    list_settled,
    read_anonymous,
)
from incidents.judgement.golden import pin_case
from incidents.people import Actor, Role
from ingest.crosswalk import HAZARDS

PANEL_HEIGHT = 400
_REASONS = {reason.value: reason.title for reason in VerdictReason}


def render_adjudication(view: View) -> None:
    """Draws the case named in the address, or the list of those that wait."""
    actor = state.current_actor()
    if not _is_lead(actor):
        render_empty("For leads", "Cases on which verdicts differ are settled by a lead.", icon=":material/gavel:")
        return
    desk = open_desk(data.home(), actor)
    if view.case:
        _render_case(desk, view.case)
        return
    disputes = list_disputes(desk.home.records, actor=actor)
    with st.container(horizontal=True, vertical_alignment="center", key="adjudication_queue"):
        st.button(
            "Settle the oldest",
            key="adjudication_start",
            icon=":material/gavel:",
            type="primary",
            shortcut="Enter" if disputes else None,
            disabled=not disputes,
            on_click=desk.open,
            args=(disputes[0].case_id if disputes else None,),
        )
        triage_queue.render_notice(desk.notice())
    _render_waiting(desk, disputes)
    _render_settled(desk)


def tabulate_votes(votes: Sequence[AnonymousVote]) -> pl.DataFrame:
    """One row per verdict: by whom (a letter), verdict, category, severity, reason, guideline; null = not given."""
    words = {True: "harmful", False: "benign", None: "unsure"}
    rows = [
        {
            "By": vote.author,
            "Verdict": words[vote.harmful],
            "Category": HAZARDS.get(vote.category or "", plain(vote.category)) or None,
            "Severity": vote.severity,
            "Reason": _REASONS.get(vote.reason or "", plain(vote.reason)) or None,
            "Guideline": plain(vote.guideline_version) or None,
        }
        for vote in votes
    ]
    texts = ("By", "Verdict", "Category", "Reason", "Guideline")
    return pl.DataFrame(
        rows, schema=dict.fromkeys(texts[:3], pl.String) | {"Severity": pl.Int64} | dict.fromkeys(texts[3:], pl.String)
    )


def _render_waiting(desk: Desk, disputes: Sequence[DisputeView]) -> None:
    mine, others = count_disputes(desk.home.records, actor=desk.actor)
    hint = f" {format_count(others)} more wait for a lead who did not vote on them." if others else ""
    if not disputes:
        render_empty(
            "Nothing to settle", f"Cases appear here when verdicts on them differ.{hint}", icon=":material/gavel:"
        )
        return
    st.caption(f"{format_count(mine)} wait for you, oldest first. Choose a row to open it.{hint}")
    _choose_row(_tabulate_disputes(disputes), [item.case_id for item in disputes], desk)


def _tabulate_disputes(disputes: Sequence[DisputeView]) -> pl.DataFrame:
    rows = [
        {
            "Differ on": item.dispute.title,
            "What brought it": triage_queue.describe_category(item.category, HAZARDS),
            "People": item.votes,
            "Since": format_duration((now() - item.since).total_seconds()),
        }
        for item in disputes
    ]
    return pl.DataFrame(rows)


def _choose_row(table: pl.DataFrame, case_ids: Sequence[str], desk: Desk) -> None:
    key = "adjudication_list"

    def choose() -> None:
        rows = st.session_state[key].selection.rows
        if rows:
            desk.tell("")
            desk.open(case_ids[rows[0]])

    st.dataframe(
        table,
        key=key,
        hide_index=True,
        on_select=choose,
        selection_mode="single-row",
        alt="Cases whose verdicts differ",
    )


def _render_case(desk: Desk, case_id: str) -> None:
    case = get_case(desk.home.records, case_id, actor=desk.actor)
    votes = read_anonymous(desk.home.records, case_id, actor=desk.actor)
    with st.container(horizontal=True, vertical_alignment="center", key="adjudication_head"):
        st.button(
            "List",
            key="adjudication_back",
            icon=":material/arrow_back:",
            type="tertiary",
            shortcut="Q",
            on_click=desk.open,
            args=(None,),
        )
        st.markdown(f"**{triage_queue.describe_category(case.category, HAZARDS)}**", width="content")
        st.caption(f"{format_count(len(votes))} verdicts that differ", width="content")
    conversation, verdicts = st.columns([5, 4])
    with conversation.container(height=PANEL_HEIGHT, border=True, key="triage_conversation"):
        turns = list_turns(case.evidence, request_id=case.request_id)
        triage_conversation.render(
            turns,
            revealed={turn.request_id for turn in turns if desk.is_revealed(case, turn.request_id)},
            shortcuts=True,
            on_reveal=partial(desk.reveal, case),
            read_whole=desk.read_whole,
        )
    with verdicts.container(height=PANEL_HEIGHT, border=True, key="adjudication_votes"):
        st.markdown("**What they said**")
        st.dataframe(tabulate_votes(votes), hide_index=True, placeholder=MISSING, alt="Verdicts without names")
        for vote in votes:
            if vote.note:
                # A note is an argument: below the table it is whole, in a cell it would be cut.
                st.caption(f"{inert(vote.author, limit=40)} notes")
                st.text(write_out(vote.note))
        st.caption("Names are withheld. Your verdict decides; theirs stay as they are.")
    with st.container(gap="xsmall", key="triage_form"):
        triage_form.render(
            case.case_id,
            desk.draft(case),
            categories=HAZARDS,
            reasons=list(VerdictReason),
            principles={name: name for name in list_principle_ids(desk.home.settings)},
            shortcuts=True,
            disabled=False,
            on_change=partial(desk.keep, case),
        )
    with st.container(horizontal=True, vertical_alignment="center", key="triage_actions"):
        st.button(
            "Settle and next",
            key="adjudication_settle",
            type="primary",
            shortcut="Enter",
            on_click=_settle,
            args=(desk, case),
        )
        st.caption("Needs a verdict, a reason, and a note that explains it.", width="content")
        triage_queue.render_notice(desk.notice())


def _settle(desk: Desk, case: CaseView) -> None:
    desk.keep(case, {})
    try:
        adjudicate(
            desk.home.records, to_vote(case.case_id, desk.draft(case), version=case.version), actor=desk.actor, at=now()
        )
    except AppError as error:
        desk.tell(error.sentence(), is_problem=True)
        return
    desk.drafts.drop(desk.actor.name, case.case_id)
    following = list_disputes(desk.home.records, actor=desk.actor, limit=1)
    desk.open(following[0].case_id if following else None)
    desk.tell("Settled." if following else "Settled. Nothing more waits.")


def _render_settled(desk: Desk) -> None:
    settled = list_settled(desk.home.records, actor=desk.actor)
    if not settled:
        return
    st.markdown("**Settled lately**")
    table = pl.DataFrame(
        [
            {
                "Verdict": "harmful" if item.harmful else "benign",
                "Category": HAZARDS.get(item.category or "", plain(item.category)) or None,
                "Reason": _REASONS.get(item.reason or "", plain(item.reason)) or None,
                "Settled": format_time(item.settled_at, data.zone(), relative_to=now()),
                "Golden item": "yes" if item.is_golden else "",
            }
            for item in settled
        ]
    )
    chosen = st.dataframe(
        table,
        key="adjudication_settled",
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        placeholder=MISSING,
        alt="Cases that were settled lately",
    )
    rows = chosen.selection.rows
    item = settled[rows[0]] if rows and rows[0] < len(settled) else None
    st.button(
        "Use as a golden item",
        key="adjudication_pin",
        icon=":material/push_pin:",
        disabled=item is None or item.is_golden,
        help="Its verdict is known now: others are asked about it, and how often they are right is measured.",
        on_click=_pin,
        args=(desk, item.case_id if item else ""),
    )


def _pin(desk: Desk, case_id: str) -> None:
    try:
        pin_case(desk.home.records, case_id, actor=desk.actor, at=now())
    except AppError as error:
        desk.tell(error.sentence(), is_problem=True)
        return
    desk.tell("A golden item from now on.")


def _is_lead(actor: Actor) -> bool:
    return actor.role in (Role.LEAD, Role.ADMIN)
