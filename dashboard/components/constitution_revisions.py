"""Revisions that a critique model proposed: a person accepts, corrects or rejects each before it may train."""

from __future__ import annotations

import streamlit as st

from core.clock import now
from dashboard import data, state
from dashboard.components.empty import render_empty
from dashboard.components.masked_text import render_masked
from dashboard.text import inert
from dashboard.theme import format_count
from incidents.audit import change
from incidents.constitution.principles import read_constitution
from incidents.constitution.revisions import RevisionState, RevisionView, decide_revision, list_revisions
from incidents.people import Role

_REVEALED, _EDITING, _SKIPPED, _DONE = (f"revisions.{name}" for name in ("revealed", "editing", "skipped", "done"))


def render_revisions() -> None:
    """The next proposal, and how many wait."""
    waiting = list_revisions(data.home().records, state=RevisionState.PROPOSED)
    skipped: set[int] = st.session_state.get(_SKIPPED, set())
    left = [item for item in waiting if item.revision_id not in skipped] or waiting
    if _DONE in st.session_state:
        st.caption(f":material/check: {st.session_state[_DONE]}")
    if not left:
        render_empty(
            "No revision waits for a person",
            "Revisions come from `weir stress critique SUITE --arm RUN --yes`, or from the part Stress tests.",
            icon=":material/task_alt:",
        )
        return
    _render_proposal(left[0], waiting=len(waiting))


def _render_proposal(item: RevisionView, *, waiting: int) -> None:
    is_revealed = item.revision_id in st.session_state.get(_REVEALED, ())
    is_editing = is_revealed and st.session_state.get(_EDITING) == item.revision_id
    can_decide = state.current_actor().has(Role.REVIEWER)
    with st.container(horizontal=True, vertical_alignment="center", key="revision_head"):
        st.markdown(f"**{format_count(waiting)} waiting**", width="content")
        st.caption(
            f"suite {inert(item.suite, limit=60)} · run {inert(item.arm, limit=40)} · model {inert(item.model, limit=60)} · "
            f"constitution version {item.constitution_version}",
            width="content",
        )
        st.space("stretch")
        st.button(
            "Revealed" if is_revealed else "Reveal",
            key="revision_reveal",
            icon=":material/visibility:",
            type="tertiary",
            shortcut="V",
            disabled=is_revealed or not can_decide,
            help="Revealing is recorded in the audit log.",
            on_click=_reveal,
            args=(item,),
        )
    _render_principle(item)
    left, right = st.columns(2, gap="medium")
    with left:
        render_masked("Prompt", item.prompt, is_revealed=is_revealed, key="revision_prompt")
        render_masked("The model's answer", item.response, is_revealed=is_revealed, key="revision_answer")
    with right:
        render_masked("Critique", item.critique, is_revealed=is_revealed, key="revision_critique")
        if is_editing:
            st.text_area("Corrected revision", item.revision or "", key=_text_key(item), height=160, max_chars=20_000)
        else:
            render_masked("Revision", item.revision or "", is_revealed=is_revealed, key="revision_text")
        if item.is_still_violation:
            st.badge("the model finds its own revision still in breach", icon=":material/warning:", color="orange")
    _render_actions(item, is_ready=is_revealed and can_decide, is_editing=is_editing)


def _render_principle(item: RevisionView) -> None:
    constitution = read_constitution(data.home().settings)
    texts = {principle.principle_id: principle.text for principle in constitution.principles} if constitution else {}
    with st.container(border=True, gap="xsmall", key="revision_principle"):
        st.caption(f"Principle {inert(item.principle_id, limit=60)}")
        st.text(texts.get(item.principle_id, "It is no longer in the constitution."))


def _render_actions(item: RevisionView, *, is_ready: bool, is_editing: bool) -> None:
    with st.container(horizontal=True, vertical_alignment="center", key="revision_actions"):
        if is_editing:
            st.button(
                "Save the corrected text",
                key="revision_save",
                type="primary",
                shortcut="Ctrl+Enter",
                on_click=_decide,
                args=(item, RevisionState.EDITED),
            )
            st.button("Back", key="revision_back", on_click=_edit, args=(None,))
            return
        st.button(
            "Accept",
            key="revision_accept",
            icon=":material/check:",
            shortcut="A",
            type="primary",
            disabled=not is_ready,
            on_click=_decide,
            args=(item, RevisionState.ACCEPTED),
        )
        st.button(
            "Edit",
            key="revision_edit",
            icon=":material/edit:",
            shortcut="E",
            disabled=not is_ready,
            on_click=_edit,
            args=(item.revision_id,),
        )
        st.button(
            "Reject",
            key="revision_reject",
            icon=":material/close:",
            shortcut="J",
            disabled=not is_ready,
            on_click=_decide,
            args=(item, RevisionState.REJECTED),
        )
        st.button("Later", key="revision_later", shortcut="S", on_click=_skip, args=(item.revision_id,))
        st.caption("Reveal first: nobody decides about a text unseen. Nothing trains before it is accepted or edited.")


def _reveal(item: RevisionView) -> None:
    actor = state.current_actor()
    actor.require(Role.REVIEWER)
    with change(data.home().records, actor=actor, at=now()) as current:
        current.record("revision.reveal", str(item.revision_id), {"request_id": item.request_id})
    st.session_state[_REVEALED] = {*st.session_state.get(_REVEALED, ()), item.revision_id}


def _edit(revision_id: int | None) -> None:
    st.session_state[_EDITING] = revision_id


def _skip(revision_id: int) -> None:
    st.session_state[_SKIPPED] = {*st.session_state.get(_SKIPPED, ()), revision_id}


def _decide(item: RevisionView, decision: RevisionState) -> None:
    home = data.home()
    decide_revision(
        home.records,
        home.events,
        item.revision_id,
        state=decision,
        text=str(st.session_state.get(_text_key(item)) or ""),
        settings=home.settings,
        actor=state.current_actor(),
        at=now(),
    )
    st.session_state[_EDITING] = None
    st.session_state[_DONE] = f"{decision.title}: {decision.guidance}"


def _text_key(item: RevisionView) -> str:
    return f"revision_edited_{item.revision_id}"
