"""The quarantine: records that could not be stored, each with its place, its reason and its text, shown inert; read again, or set aside."""

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
from service.quarantine import ignore, retry_all

SHOWN = 200
RECORD_LIMIT = 20_000
_REVEALED = "quarantine_revealed"


def render_quarantine(*, zone: ZoneInfo) -> None:
    """Counts by reason, the list, the chosen records, and what can be done with them."""
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
    st.button(
        f"Retry all {format_count(total)}",
        key="quarantine_retry",
        icon=":material/refresh:",
        on_click=_retry,
        help="Reads every open record again, after a fix of settings, a mapping or the crosswalk",
    )


def _retry(reject_ids: tuple[str, ...] | None = None) -> None:
    summary = retry_all(data.home(), actor=state.current_actor(), reject_ids=reject_ids)
    data.forget()
    again = f"{format_count(summary.rejected)} rejected again"
    st.toast(f"{format_count(summary.read - summary.rejected)} of {format_count(summary.read)} records stored, {again}")


def _ignore(reject_ids: tuple[str, ...]) -> None:
    count = ignore(data.home(), reject_ids, actor=state.current_actor())
    data.forget()
    st.toast(f"{format_count(count)} records set aside as no data; they stay stored")


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
        selection_mode="multi-row",
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
    chosen = [place for place in event["selection"]["rows"] if place < rows.height]
    if not chosen:
        st.caption("Choose a row to see its record, or several to retry or ignore them.")
        return
    ids = tuple(rows[place, "reject_id"] for place in chosen)
    with st.container(horizontal=True):
        what = "this record" if len(ids) == 1 else f"these {format_count(len(ids))}"
        st.button(
            f"Retry {what}", key="quarantine_retry_chosen", icon=":material/refresh:", on_click=_retry, args=(ids,)
        )
        st.button(
            f"Ignore {what}",
            key="quarantine_ignore",
            icon=":material/visibility_off:",
            on_click=_ignore,
            args=(ids,),
            help="They are no data: they leave this list and the counts, and stay stored. Who decided is recorded",
        )
    if len(chosen) == 1:
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
