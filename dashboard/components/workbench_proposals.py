"""The proposals about a rule: their frozen checks, their history, and what a lead decides about them."""

from __future__ import annotations

import streamlit as st

from core.clock import now
from core.errors import AppError
from dashboard import data, state
from dashboard.components.workbench_change import VERDICTS, render_finding
from dashboard.navigation import get_path
from dashboard.text import inert
from dashboard.theme import BadgeColour, format_time
from incidents.enums import ProposalState
from incidents.proposals import TRANSITIONS, ProposalView, decide_proposal, list_proposals
from metrics.whatif import CheckVerdict

COLOURS: dict[ProposalState, BadgeColour] = {
    ProposalState.PROPOSED: "blue",
    ProposalState.TRIED: "violet",
    ProposalState.ACCEPTED: "green",
    ProposalState.REJECTED: "gray",
}
_VERBS = {ProposalState.TRIED: "Try as experiment", ProposalState.ACCEPTED: "Accept", ProposalState.REJECTED: "Reject"}
_LISTED = 20


def render_proposals(filter_name: str, rule_id: str | None) -> None:
    """Draws the proposals of the filter's rule, newest first; of the whole filter where it has no rules."""
    views = list_proposals(data.home().records, actor=state.current_actor(), filter_name=filter_name)
    views = [view for view in views if rule_id is None or view.change.rule_id in (None, rule_id)]
    st.markdown("**Proposals**")
    if not views:
        st.caption("None yet. A checked change can be recorded; a lead then tries, accepts or rejects it.")
    for view in views[:_LISTED]:
        _render_proposal(view)
    if len(views) > _LISTED:
        st.caption(f"The newest {_LISTED} of {len(views):,}; weir proposals list shows all.")


def describe_terms(view: ProposalView) -> str:
    """What is proposed, in a phrase of Markdown that shows exactly the logged characters."""
    change = view.change
    if change.threshold is not None:
        return f"trigger from {change.threshold:g} on"
    parts = [
        (change.phrases, "texts with"),
        (change.languages, "turns in"),
        (change.apps, "turns of"),
    ]
    words = [
        f"{before} {inert(' or '.join(f'“{value}”' for value in values), limit=200)}"
        for values, before in parts
        if values
    ]
    return "not for " + ", and only ".join(words)


def _render_proposal(view: ProposalView) -> None:
    number = view.proposal_id
    with st.container(border=True, key=f"proposal_{number}", gap="xsmall"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.markdown(f"**{number}**", width="content")
            st.badge(view.state.title, color=COLOURS[view.state])
            title, colour, _ = VERDICTS[CheckVerdict(view.checked["verdict"])]
            st.badge(f"check: {title.lower()}", color=colour)
        st.markdown(describe_terms(view))
        st.caption(inert(view.reason, limit=300))
        for item in view.history:
            note = "" if item.state is ProposalState.PROPOSED else f": {inert(item.note, limit=200)}"
            when = format_time(item.at, data.zone())
            st.caption(f"{item.state.title} by {inert(item.actor)} · {when}{note}")
        if view.experiment:
            _render_experiment(view.experiment)
        with st.expander("The check when it was proposed"):
            render_finding(view.checked, key=f"proposal_finding_{number}")
        if TRANSITIONS[view.state]:
            _render_decision(view)


def _render_experiment(name: str) -> None:
    st.page_link(
        get_path("quality"),
        label=f"Readout of {inert(name)}",
        icon=":material/science:",
        query_params={"section": "Experiments", "experiment": name},
    )


def _render_decision(view: ProposalView) -> None:
    number = view.proposal_id
    with st.popover("Decide", icon=":material/gavel:", key=f"proposal_decide_{number}"):
        chosen = st.segmented_control(
            "Decision",
            TRANSITIONS[view.state],
            format_func=_VERBS.__getitem__,
            key=f"proposal_state_{number}",
            label_visibility="collapsed",
        )
        if chosen is None:
            st.caption("Weir changes no filter: this records what was decided.")
            return
        experiment = None
        if chosen is ProposalState.TRIED:
            experiment = st.text_input(
                "Experiment, as the model log will name it", key=f"proposal_experiment_{number}", max_chars=200
            )
        note = st.text_input("Why?", key=f"proposal_note_{number}", max_chars=500)
        if st.button(_VERBS[chosen], key=f"proposal_save_{number}", type="primary"):
            _decide(view, chosen, note=note, experiment=experiment)


def _decide(view: ProposalView, chosen: ProposalState, *, note: str, experiment: str | None) -> None:
    try:
        decide_proposal(
            data.home().records,
            view.proposal_id,
            state=chosen,
            note=note,
            experiment=experiment,
            actor=state.current_actor(),
            at=now(),
            version=view.version,
        )
    except AppError as error:
        st.warning(inert(error.sentence(), limit=300), icon=":material/edit:")
        return
    st.rerun()
