"""One case on the desk: conversation, reasons for being here, verdict form, and the keys that end it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from zoneinfo import ZoneInfo

import streamlit as st

from core.clock import now, to_utc
from dashboard.components import (
    triage_context,
    triage_conversation,
    triage_cover,
    triage_dialogs,
    triage_filters,
    triage_form,
    triage_queue,
    triage_why,
)
from dashboard.components.escalation import summarize_turns
from dashboard.components.triage_desk import Desk, is_blind, resume_lease
from dashboard.components.triage_evidence import list_matches, list_reports, list_turns, tabulate_checks
from dashboard.components.triage_filters import list_said
from dashboard.navigation import get_path
from dashboard.text import inert
from dashboard.theme import format_duration, format_time
from incidents.alike import list_similar_decided
from incidents.cases import CaseView, list_colleagues
from incidents.constitution.principles import list_principle_ids, read_constitution
from incidents.context import find_user_history, list_rule_histories
from incidents.enums import CaseState, EscalationReason, VerdictReason
from incidents.response.escalation import count_case_steps, list_case_turns
from ingest.crosswalk import HAZARDS

PANEL_HEIGHT = 410


def render(desk: Desk, case_id: str, *, shortcuts: bool, zone: ZoneInfo) -> None:
    """Shows the case, holding it for this reviewer when nobody else does.

    Args:
        desk: The reviewer's desk.
        case_id: The case.
        shortcuts: Keys work; false while a dialog is open.
        zone: The reader's time zone.

    Raises:
        NotFoundError: There is no such case.
    """
    case = resume_lease(desk, case_id)
    holder = triage_queue.get_holder(case, at=now())
    can_judge = case.state != CaseState.CLOSED and holder in (None, desk.actor.name)
    _render_header(case, holder, desk, zone)
    conversation, why = st.columns([5, 4])
    with conversation.container(height=PANEL_HEIGHT, border=True, key="triage_conversation"):
        _render_conversation(desk, case, shortcuts=shortcuts)
    with why.container(height=PANEL_HEIGHT, border=True, key="triage_why"):
        _render_why(desk, case, shortcuts=shortcuts, can_judge=can_judge)
    with st.container(gap="xsmall", key="triage_form"):
        triage_form.render(
            case.case_id,
            desk.draft(case),
            categories=HAZARDS,
            reasons=list(VerdictReason),
            principles={name: name for name in list_principle_ids(desk.home.settings)},
            shortcuts=shortcuts,
            disabled=not can_judge,
            on_change=partial(desk.keep, case),
        )
    _render_actions(desk, case, shortcuts=shortcuts, can_judge=can_judge)
    if desk.dialog() == "escalate":
        triage_dialogs.ask_escalation(
            list(EscalationReason),
            on_confirm=lambda reason, note: desk.escalate(case, EscalationReason(reason), note),
            on_close=desk.close_dialog,
        )
    elif desk.dialog() == "snooze":
        triage_dialogs.ask_snooze(
            list_snoozes(now(), zone=zone), on_confirm=partial(desk.snooze, case), on_close=desk.close_dialog
        )
    elif desk.dialog() == "hand_over":
        triage_dialogs.ask_colleague(
            list_colleagues(desk.home.records, actor=desk.actor),
            hours=desk.home.settings.cases.hand_over_h,
            on_confirm=partial(desk.hand_over, case),
            on_close=desk.close_dialog,
        )
    elif desk.dialog() == "filters":
        triage_filters.ask_marks(
            list_said(case.evidence),
            read_marks=lambda: dict(desk.draft(case).filters),
            on_mark=lambda marks: desk.keep(case, {"filters": tuple(marks.items())}),
            on_close=desk.close_dialog,
        )


def list_snoozes(at: datetime, *, zone: ZoneInfo) -> list[tuple[str, datetime]]:
    """Until when a case may be put off, with a title each: hours from `at` (naive UTC), and mornings in `zone`."""
    today = at.replace(tzinfo=UTC).astimezone(zone).replace(hour=9, minute=0, second=0, microsecond=0)
    hours = [(f"For {number} h", at + timedelta(hours=number)) for number in (1, 4)]
    days = [("Until tomorrow, 9:00", 1), ("Until in a week, 9:00", 7)]
    return hours + [(title, to_utc(today + timedelta(days=number))) for title, number in days]


def render_back(desk: Desk, case_id: str, *, shortcuts: bool) -> None:
    """The way back to the queue."""
    st.button(
        "Queue",
        key="triage_back",
        icon=":material/arrow_back:",
        type="tertiary",
        shortcut="Q" if shortcuts else None,
        on_click=desk.close,
        args=(case_id,),
    )


def render_undo(desk: Desk, *, shortcuts: bool) -> None:
    """The button that withdraws this session's last verdict."""
    st.button(
        "Undo last",
        key="triage_undo",
        icon=":material/undo:",
        type="tertiary",
        shortcut="Z" if shortcuts else None,
        disabled=not desk.can_undo(),
        on_click=desk.undo,
    )


def _render_header(case: CaseView, holder: str | None, desk: Desk, zone: ZoneInfo) -> None:
    moment = now()
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="triage_header"):
        st.header(_heading(case), anchor=False, width="content")
        if case.state != CaseState.OPEN:
            st.badge(case.state.title, color="orange" if case.state == CaseState.ESCALATED else "gray")
        st.caption(_describe_origin(case), width="content")
        st.caption(
            f"waiting {format_duration((moment - (case.escalated_at or case.opened_at)).total_seconds())}",
            width="content",
        )
        told = count_case_steps(desk.home.records, [case])[case.case_id]
        turns = list_case_turns(case, settings=desk.home.settings, told=told)
        if turns:
            st.caption(summarize_turns(turns, zone=zone, at=moment), width="content")
        due = triage_queue.describe_due(case, at=moment)
        if due:
            is_late = due.endswith("late")
            st.caption(f":red[:material/alarm: {due}]" if is_late else f":material/schedule: {due}", width="content")
        st.space("stretch")
        if holder is None:
            st.caption("held by nobody", width="content")
        else:
            whose = "yours" if holder == desk.actor.name else f"held by {inert(holder, limit=40)}"
            until = format_time(case.leased_until, zone, relative_to=moment)
            st.caption(f":material/lock_clock: {whose} until {until}", width="content")


def _heading(case: CaseView) -> str:
    if is_blind(case):
        return "Random sample"
    category = inert(triage_queue.describe_category(case.category, HAZARDS))
    return category if case.severity_hint is None else f"{category}, severity {case.severity_hint} of 4"


def _describe_origin(case: CaseView) -> str:
    conversation = case.conversation_id or case.request_id
    return f"{case.opened_by.title} · conversation {inert(conversation, limit=40)}"


def _render_conversation(desk: Desk, case: CaseView, *, shortcuts: bool) -> None:
    turns = list_turns(case.evidence, request_id=case.request_id)
    if not turns:
        st.caption("No model log holds this turn: only its checks are known.")
    triage_conversation.render(
        turns,
        revealed={turn.request_id for turn in turns if desk.is_revealed(case, turn.request_id)},
        shortcuts=shortcuts,
        on_reveal=partial(desk.reveal, case),
        hide=triage_cover.read_cover(desk, case).hide,
        on_uncover=partial(triage_cover.uncover, desk, case),
        read_whole=desk.read_whole,
    )


def _render_why(desk: Desk, case: CaseView, *, shortcuts: bool, can_judge: bool) -> None:
    is_revealed = desk.is_revealed(case, case.request_id)
    cover = triage_cover.read_cover(desk, case)
    triage_why.render(
        tabulate_checks(case.evidence),
        reason=case.priority_reason,
        is_blind=is_blind(case),
        reports=list_reports(case.evidence),
        matches=[(name, cover.hide(case.request_id, text)) for name, text in list_matches(case.evidence)]
        if is_revealed
        else None,
    )
    if not is_blind(case) and list_said(case.evidence):
        triage_filters.render_button(
            dict(desk.draft(case).filters), shortcuts=shortcuts, disabled=not can_judge, on_open=desk.open_dialog
        )
    constitution = read_constitution(desk.home.settings)
    principles = [(item.principle_id, item.text) for item in constitution.principles] if constitution else []
    triage_context.render_policy(principles, chosen=desk.draft(case).principle_id)
    if is_blind(case):
        return
    records, statistics = desk.home.records, desk.home.settings.statistics
    triage_context.render_history(
        list_rule_histories(records, case.case_id, actor=desk.actor),
        find_user_history(records, case.case_id, actor=desk.actor),
        min_sample=statistics.min_sample,
        confidence=statistics.confidence,
    )
    triage_context.render_alike(desk.alike(case), list_similar_decided(records, case.case_id, actor=desk.actor))


def _render_actions(desk: Desk, case: CaseView, *, shortcuts: bool, can_judge: bool) -> None:
    with st.container(horizontal=True, vertical_alignment="center", key="triage_actions"):
        st.button(
            "Save and next",
            key="triage_save",
            type="primary",
            shortcut="Enter" if shortcuts else None,
            disabled=not can_judge,
            on_click=desk.save,
            args=(case,),
        )
        alike = desk.alike(case)
        if alike:
            st.button(
                f"Save for all {len(alike) + 1:,} alike",
                key="triage_save_alike",
                shortcut="A" if shortcuts else None,
                disabled=not can_judge,
                on_click=desk.save_alike,
                args=(case, [other.case_id for other in alike]),
                help="Your verdict goes to the open cases listed as nearly the same, too; Z undoes all of it.",
            )
        st.button(
            "Skip",
            key="triage_skip",
            shortcut="S" if shortcuts else None,
            disabled=not can_judge or case.state == CaseState.DECIDED,
            on_click=desk.skip,
            args=(case,),
        )
        st.button(
            "Escalate",
            key="triage_escalate",
            icon=":material/arrow_upward:",
            shortcut="X" if shortcuts else None,
            disabled=not can_judge or case.state == CaseState.ESCALATED,
            on_click=desk.open_dialog,
            args=("escalate",),
        )
        waits = can_judge and case.state in (CaseState.OPEN, CaseState.ESCALATED)
        for title, key, dialog in (("Later", "L", "snooze"), ("Hand over", "O", "hand_over")):
            st.button(
                title,
                key=f"triage_{dialog}",
                shortcut=key if shortcuts else None,
                disabled=not waits,
                on_click=desk.open_dialog,
                args=(dialog,),
            )
        render_undo(desk, shortcuts=shortcuts)
        if st.button(
            "Incident",
            key="triage_incident",
            icon=":material/add_alert:",
            type="tertiary",
            help="More than one turn's problem: open an incident about it",
        ):
            st.switch_page(get_path("incidents"), query_params={"part": "Incidents", "case": case.case_id})
        triage_queue.render_notice(desk.notice())
