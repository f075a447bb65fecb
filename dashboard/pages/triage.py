"""Triage: people judge what was flagged, one case after another, without the mouse."""

from __future__ import annotations

import streamlit as st

from core.clock import now
from dashboard import data, state
from dashboard.components import (
    page_heading,
    triage_bulk,
    triage_case,
    triage_dialogs,
    triage_help_key,
    triage_history,
    triage_queue,
)
from dashboard.components.empty import render_empty
from dashboard.components.reviewer_wellness import render_rest
from dashboard.components.triage_desk import Desk, count_judged_today, find_case_id, open_desk
from incidents.bulk import Preview, Selection, list_choices, preview_selected
from incidents.enums import CaseState
from incidents.judgement.history import list_own
from incidents.judgement.offers import count_offered, count_offers, list_offered
from incidents.people import Role
from incidents.queues import Order, QueueCount
from ingest.crosswalk import HAZARDS

LISTED = 50
LISTS: dict[str, str] = {CaseState.OPEN: "Waiting", CaseState.ESCALATED: "Escalated", CaseState.DECIDED: "Decided"}
OWN = "own"
EMPTY: dict[str, tuple[str, str]] = {
    CaseState.OPEN: (
        "Nothing waits",
        "Cases open by themselves when a filter acts, the cascade escalates, or a user reports a turn.",
    ),
    CaseState.ESCALATED: ("Nothing is escalated", "Cases that reviewers hand on with X appear here."),
    CaseState.DECIDED: ("Nothing was decided yet", "Judged cases appear here."),
}


ORDERS: dict[Order, str] = {"priority": "Priority", "due": "Time to breach", "opened": "Oldest first"}


def render_page() -> None:
    """The case named in the address, or the queue."""
    desk = open_desk(data.home(), state.current_actor())
    view = state.current_view()
    case_id = view.case or find_case_id(desk, view.request)
    shortcuts = not desk.dialog()
    counts = count_offered(desk.home.records, actor=desk.actor, at=now())
    queues = count_offers(desk.home.records, desk.home.settings, actor=desk.actor, at=now())
    chosen = next(queue for queue in queues if queue.name == desk.queue().name)
    with st.container(horizontal=True, vertical_alignment="center", key="triage_head"):
        if case_id:
            triage_case.render_back(desk, case_id, shortcuts=shortcuts)
        else:
            triage_queue.render_picker(queues, chosen=chosen.name, on_choose=desk.choose_queue)
        today = count_judged_today(desk, zone=data.zone())
        triage_queue.render_counts(chosen, escalated=counts[CaseState.ESCALATED], today=today)
        st.space("stretch")
        render_rest(desk.home, desk.actor)
        triage_dialogs.render_keys_button(desk.open_dialog, shortcuts=shortcuts)
        triage_help_key.render()
        page_heading.render("Triage")
    if desk.dialog() == "keys":
        triage_dialogs.show_keys(on_close=desk.close_dialog)
    if case_id:
        triage_case.render(desk, case_id, shortcuts=shortcuts, zone=data.zone())
        return
    if view.request:
        render_empty(
            "No case was opened for this turn",
            f"Turn {view.request}: no rule of the settings (cases.open_on) chose it.",
            icon=":material/search_off:",
        )
    _render_queue(desk, chosen, shortcuts=shortcuts)


def _render_queue(desk: Desk, chosen: QueueCount, *, shortcuts: bool) -> None:
    with st.container(horizontal=True, vertical_alignment="center", key="triage_queue"):
        st.button(
            "Start reviewing",
            key="triage_start",
            icon=":material/play_arrow:",
            type="primary",
            shortcut="Enter" if shortcuts else None,
            disabled=not chosen.waiting,
            on_click=desk.take_next,
        )
        triage_bulk.render_button(
            waiting=chosen.waiting,
            can_decide=desk.actor.role in (Role.LEAD, Role.ADMIN),
            shortcuts=shortcuts,
            on_open=desk.open_dialog,
        )
        triage_case.render_undo(desk, shortcuts=shortcuts)
        triage_queue.render_notice(desk.notice())
    if desk.dialog() == "bulk":
        _ask_bulk(desk, chosen)
    counts = count_offered(desk.home.records, actor=desk.actor, at=now(), queue=desk.queue())
    with st.container(horizontal=True, horizontal_alignment="distribute", key="triage_lists"):
        shown = st.segmented_control(
            "Cases",
            [*LISTS, OWN],
            default=CaseState.OPEN,
            required=True,
            format_func=lambda item: "Yours" if item == OWN else f"{LISTS[item]} {counts[item]:,}",
            key="triage_list",
            label_visibility="collapsed",
        )
        order = (
            None
            if shown == OWN
            else st.segmented_control(
                "Order",
                list(ORDERS),
                default="priority",
                required=True,
                format_func=ORDERS.__getitem__,
                key="triage_order",
                label_visibility="collapsed",
            )
        )
    if order is None:
        _render_own(desk)
        return
    cases = list_offered(
        desk.home.records,
        actor=desk.actor,
        state=CaseState(shown),
        at=now(),
        queue=desk.queue(),
        order=order,
        limit=LISTED,
    )
    if not cases:
        render_empty(*EMPTY[shown])
        return
    triage_queue.render_table(
        triage_queue.tabulate_cases(cases, titles=HAZARDS, at=now(), zone=data.zone()),
        key=f"triage_cases_{shown}",
        alt=f"{LISTS[shown]} cases",
        on_open=desk.open,
    )
    listed = "All" if counts[shown] <= len(cases) else f"The first {len(cases):,}"
    st.caption(f"{listed} of {counts[shown]:,}, whatever the bar's window and filters. Choose a row to open it.")


def _render_own(desk: Desk) -> None:
    triage_history.render(
        list_own(desk.home.records, actor=desk.actor),
        zone=data.zone(),
        at=now(),
        on_open=desk.open,
        on_withdraw=desk.take_back,
        on_withdraw_all=desk.take_back_all,
    )


def _ask_bulk(desk: Desk, chosen: QueueCount) -> None:
    records = desk.home.records

    def preview(conditions: triage_bulk.Conditions) -> Preview:
        selection = Selection(desk.queue(), conditions.filter_name, conditions.rule_id, conditions.category)
        return preview_selected(records, selection, actor=desk.actor, at=now())

    triage_bulk.ask(
        list_choices(records, desk.queue(), actor=desk.actor),
        queue=chosen.title,
        preview=preview,
        on_confirm=desk.decide_many,
        on_close=desk.close_dialog,
    )


render_page()
