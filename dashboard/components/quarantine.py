"""The quarantine: records that could not be stored, each with its place, its reason and its text, shown inert."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import polars as pl
import streamlit as st

from core.clock import now
from dashboard import data, lists, state
from dashboard.components.empty import render_empty
from dashboard.text import inert, plain, write_out
from dashboard.theme import format_count, localise
from incidents.audit_log import note_deed
from service.quarantine import retry_all

SHOWN = 200
RECORD_LIMIT = 20_000
_REVEALED = "quarantine_revealed"


def render_quarantine(*, zone: ZoneInfo) -> None:
    """Counts by reason, the list, the chosen record, and a retry."""
    counts = data.read(lists.count_quarantine)
    if counts.is_empty():
        render_empty(
            "The quarantine is empty", "Every record that came in could be stored.", icon=":material/check_circle:"
        )
        return
    total = int(counts["records"].sum())
    with st.container(horizontal=True, vertical_alignment="bottom"):
        source = _select("Source", "quarantine_source", counts, "source")
        reason = _select("Reason", "quarantine_reason", counts, "reason")
        _render_retry(total)
    rows = data.read(lists.list_quarantine, source=source, reason=reason, limit=SHOWN)
    if rows.is_empty():
        render_empty("No such records", "Choose another source or reason.")
        return
    st.caption(f"{format_count(total)} open records; the newest {format_count(rows.height)} that match are listed.")
    _render_list(rows, zone=zone)


def _select(title: str, key: str, counts: pl.DataFrame, column: str) -> str | None:
    sizes = counts.group_by(column).agg(pl.col("records").sum()).sort(["records", column], descending=[True, False])
    records = dict(sizes.drop_nulls(column).iter_rows())
    chosen: str | None = st.selectbox(
        title,
        list(records),
        index=None,
        key=key,
        placeholder="all",
        format_func=lambda value: f"{plain(value, limit=60)} ({records.get(value, 0):,})",
        width=260,
    )
    return chosen


def _render_retry(total: int) -> None:
    def retry() -> None:
        summary = retry_all(data.home(), actor=state.current_actor())
        stored = summary.turns + summary.checks + summary.labels
        st.toast(f"{format_count(stored)} records stored, {format_count(summary.rejected)} rejected again")

    st.button(
        f"Retry all {format_count(total)}",
        key="quarantine_retry",
        icon=":material/refresh:",
        on_click=retry,
        help="Reads every open record again, after a fix of settings or of the crosswalk",
    )


def _render_list(rows: pl.DataFrame, *, zone: ZoneInfo) -> None:
    shown = localise(rows, zone).with_columns(
        pl.col(name).map_elements(lambda value: plain(value, limit=300), return_dtype=pl.String)
        for name in ("source", "format", "file", "reason", "field", "detail")
    )
    event = st.dataframe(
        shown,
        key="quarantine_table",
        hide_index=True,
        height=min(390, 38 + 36 * rows.height),
        on_select="rerun",
        selection_mode="single-row",
        placeholder="–",
        alt="Rejected records",
        column_order=["rejected_at", "source", "file", "line_no", "reason", "field", "detail"],
        column_config={
            "rejected_at": st.column_config.DatetimeColumn(
                f"Rejected ({zone.key})", format="YYYY-MM-DD HH:mm:ss", width=150
            ),
            "source": st.column_config.TextColumn("Source", width=110),
            "file": st.column_config.TextColumn("File", width=180),
            "line_no": st.column_config.NumberColumn("Line", format="localized", width=60),
            "reason": st.column_config.TextColumn("Reason", width=130),
            "field": st.column_config.TextColumn("Field", width=110),
            "detail": st.column_config.TextColumn("What is wrong, and the remedy"),
        },
    )
    chosen = event["selection"]["rows"]
    if not chosen or chosen[0] >= rows.height:
        st.caption("Choose a row to see its record.")
        return
    _render_record(rows.row(chosen[0], named=True))


def _render_record(row: dict[str, object]) -> None:
    with st.container(border=True):
        st.markdown(f"**{inert(row['reason'])}** · {inert(row['detail'], limit=400)}")
        record, reject_id = str(row["record"] or ""), str(row["reject_id"])
        if st.session_state.get(_REVEALED) != reject_id:
            st.button(
                f"Show the record ({len(record):,} characters)",
                key="quarantine_reveal",
                icon=":material/visibility:",
                on_click=_reveal,
                args=(reject_id,),
                help="It holds what came in, unmasked: that you looked is recorded",
            )
            return
        st.code(write_out(record[:RECORD_LIMIT]), language=None, wrap_lines=True, height=240)
        if len(record) > RECORD_LIMIT:
            st.caption(f"Shown {RECORD_LIMIT:,} of {len(record):,} characters.")


def _reveal(reject_id: str) -> None:
    note_deed(data.home().records, "quarantine.reveal", reject_id, actor=state.current_actor(), at=now())
    st.session_state[_REVEALED] = reject_id
