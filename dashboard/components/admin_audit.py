"""The audit log: whether it is whole, and who did what."""

from __future__ import annotations

import json
from collections.abc import Sequence
from zoneinfo import ZoneInfo

import polars as pl
import streamlit as st

from dashboard import data, state
from dashboard.components.empty import render_empty
from dashboard.text import inert, plain
from dashboard.theme import MISSING, localise
from incidents.audit_log import HEADS, AuditCheck, AuditView, list_audit, list_people, verify_audit

SHOWN = 200
KINDS = {
    "": "Everything",
    "case.reveal": "Reveals",
    "case.vote": "Verdicts",
    "case.escalate": "Escalations",
    "incident.": "Incidents",
    "export.": "Exports",
    "settings.": "Settings",
}
_CHECK = "admin.audit_check"


def render_audit() -> None:
    """Draws the verify button with its outcome, and the newest entries."""
    actor, home = state.current_actor(), data.home()
    people = [person.name for person in list_people(home.records, actor=actor)]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown("#### Who changed or revealed what", width="content")
        st.space("stretch")
        if st.button(
            "Verify",
            key="audit_verify",
            icon=":material/verified_user:",
            type="primary",
            shortcut="V",
            help="Checks every entry against the one before it, and against heads noted outside the store",
        ):
            st.session_state[_CHECK] = verify_audit(home.records, home.settings.home / HEADS)
    check = st.session_state.get(_CHECK)
    if isinstance(check, AuditCheck):
        st.markdown(describe_check(check))
    kind_column, person_column = st.columns([4, 1], vertical_alignment="bottom")
    kind = kind_column.segmented_control(
        "Kind", list(KINDS), default="", format_func=KINDS.__getitem__, key="audit_kind", label_visibility="collapsed"
    )
    by = person_column.selectbox(
        "Person",
        people,
        index=None,
        placeholder="Anybody",
        key="audit_by",
        format_func=lambda name: plain(name, limit=40),
        label_visibility="collapsed",
    )
    entries = list_audit(home.records, actor=actor, by=by, action=kind or "", limit=SHOWN)
    if not entries:
        render_empty("No entry", "Every change and every reveal leaves one here, in the same transaction.")
        return
    st.dataframe(
        tabulate(entries, zone=data.zone()),
        key="audit_entries",
        hide_index=True,
        height=560,
        placeholder=MISSING,
        alt="Audit entries, the newest first",
        column_config={
            "seq": st.column_config.NumberColumn("No.", width=70, format="localized"),
            "at": st.column_config.DatetimeColumn(f"When ({data.zone().key})", format="YYYY-MM-DD HH:mm:ss", width=160),
            "actor": st.column_config.TextColumn("Who", width=90),
            "role": st.column_config.TextColumn("As", width=70),
            "action": st.column_config.TextColumn("What", width=150),
            "subject": st.column_config.TextColumn("About", width=120),
            "detail": st.column_config.TextColumn("Ids and counts", width=250),
        },
    )
    st.caption(f"The newest {len(entries):,}; `weir audit list` gives all, with windows and as JSON.")


def describe_check(check: AuditCheck) -> str:
    """What a verification found, as a sentence of Markdown."""
    if check.broken is not None:
        return f":red[:material/gpp_bad: **The log is not what was written.**] {inert(check.broken.what, limit=200)}"
    heads = "no head was noted outside the store yet" if not check.heads else f"{check.heads:,} noted heads agree"
    return (
        f":green[:material/verified_user: **Whole.**] {check.entries:,} entries follow each other; {heads}. "
        f"Last digest `{check.head[:16]}`."
    )


def describe_detail(detail: str) -> str | None:
    """Ids and counts of an entry in words; None for none."""
    facts = json.loads(detail)
    facts.pop("prints", None)  # digests of settings, for comparing starts
    said = (
        f"{name.replace('_', ' ')} {value if isinstance(value, str) else json.dumps(value)}"
        for name, value in facts.items()
    )
    return plain(" · ".join(said), limit=300) or None


def tabulate(entries: Sequence[AuditView], *, zone: ZoneInfo) -> pl.DataFrame:
    """One row per entry, times as the wall clock in `zone`, every text inert."""
    rows = [
        (
            entry.seq,
            entry.at,
            plain(entry.actor, limit=60),
            entry.role,
            plain(entry.action, limit=60),
            plain(entry.subject, limit=80),
            describe_detail(entry.detail),
        )
        for entry in entries
    ]
    schema: dict[str, pl.DataType] = {
        "seq": pl.Int64(),
        "at": pl.Datetime("us"),
        "actor": pl.String(),
        "role": pl.String(),
        "action": pl.String(),
        "subject": pl.String(),
        "detail": pl.String(),
    }
    return localise(pl.DataFrame(rows, schema=schema, orient="row"), zone)
