"""Bringing a log file in by hand: drop it, see how it would be read, load it, and watch it arrive."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from core.clock import now
from core.errors import AppError
from dashboard import data, lists, state
from dashboard.components.empty import render_empty
from dashboard.errors import boundary
from dashboard.text import inert, plain
from dashboard.theme import format_bytes, format_count
from dashboard.uploads import preview_upload, save_upload
from ingest.explain import Explanation, FieldReading, RecordReading
from ingest.formats import FORMATS

LOOKS_EVERY_S = 1.0
_PREVIEW, _SENT, _ROUND = "upload_preview", "upload_sent", "upload_round"
_PROSE = frozenset(
    f"{table}.{column}"
    for table, columns in (
        ("turns", ("prompt", "messages", "response", "final_text", "candidates")),
        ("checks", ("content", "matched_text")),
        ("labels", ("revision", "critique", "reason")),
    )
    for column in columns
)
_SHORT = 40
_TABLES = {"turns": "turns", "checks": "checks", "check_scores": "scores of categories", "labels": "verdicts"}


@dataclass(frozen=True, slots=True)
class _Sent:
    """A file that was put into the inbox, and what it came to once that is known."""

    path: Path
    size: int
    at: datetime
    arrival: dict[str, Any] | None = None


def render_upload() -> None:
    """The place to drop a file, its preview, and the last one's arrival."""
    _render_sent()
    key = f"upload_file_{st.session_state.get(_ROUND, 0)}"
    file = st.file_uploader(
        "Log file: JSONL, JSON, CSV or Parquet, also as .gz or .zst, or an .eval archive; the format is found from its content",
        key=key,
    )
    if file is None:
        st.session_state.pop(_PREVIEW, None)
        return
    try:
        found = _preview(file)
    except AppError as error:
        render_empty(f"{plain(file.name, limit=80)} cannot be loaded", error.sentence(), icon=":material/block:")
        return
    with st.container(border=True, key="upload_preview_box"):
        _render_summary(file, found)
        with st.container(horizontal=True, vertical_alignment="bottom"):
            source = st.text_input(
                "Source",
                value="uploads",
                max_chars=60,
                key="upload_source",
                help="Stands beside every record of the file",
                width=260,
            )
            is_wanted = st.button("Load", key="upload_load", icon=":material/upload:", type="primary")
        _render_records(found)
    if is_wanted:
        _load(file, source)


def _preview(file: UploadedFile) -> Explanation:
    known: tuple[str, Explanation | AppError] | None = st.session_state.get(_PREVIEW)
    if known is None or known[0] != file.file_id:
        with st.spinner("Reading its first records"):
            known = (file.file_id, _explain(file))
        st.session_state[_PREVIEW] = known
    if isinstance(known[1], AppError):
        raise known[1]
    return known[1]


def _explain(file: UploadedFile) -> Explanation | AppError:
    home = data.home()
    file.seek(0)
    try:
        return preview_upload(home.events, file.name, file, settings=home.settings, actor=state.current_actor())
    except AppError as error:
        return error


def _load(file: UploadedFile, source: str) -> None:
    file.seek(0)
    with boundary("Upload"):
        path = save_upload(data.home().settings.inbox, file.name, file, source=source, actor=state.current_actor())
        st.session_state[_SENT] = _Sent(path, path.stat().st_size, now())
        # A widget of another key: the file that was loaded leaves the place to drop the next one.
        st.session_state[_ROUND] = st.session_state.get(_ROUND, 0) + 1
        st.rerun()


def _render_summary(file: UploadedFile, found: Explanation) -> None:
    head = found.head
    refused = sum(head.refusals.values())
    which = f"All {format_count(head.read)}" if head.is_whole else f"The first {format_count(head.read)}"
    yields = ", ".join(f"{format_count(count)} {_TABLES[name]}" for name, count in head.yields.items())
    title = FORMATS[found.format].title if found.format in FORMATS else f"House format {found.format}"
    size = format_bytes(file.size)
    st.markdown(f":material/find_in_page: **{inert(title)}** · {inert(file.name, limit=80)} · {size}")
    st.text(f"{which} records: {format_count(head.read - refused)} can be read" + (f" ({yields})." if yields else "."))
    if refused:
        reasons = ", ".join(f"{format_count(count)} {plain(reason)}" for reason, count in head.refusals.items())
        st.markdown(f":orange[:material/warning:] {format_count(refused)} would go to quarantine: {inert(reasons)}")


def _render_records(found: Explanation) -> None:
    numbers = [record.line for record in found.records]
    chosen: int = numbers[0]
    if len(numbers) > 1:
        chosen = st.segmented_control(
            "How a record is read",
            numbers,
            default=chosen,
            key="upload_record",
            required=True,
            format_func="Record {}".format,
        )
    _render_fields(found.records[numbers.index(chosen)])


def _render_fields(record: RecordReading) -> None:
    if record.refusal:
        st.caption(f"Refused: {inert(record.refusal['reason'])}. {inert(record.refusal['detail'], limit=300)}")
    st.dataframe(
        build_fields(record),
        key="upload_fields",
        hide_index=True,
        height=min(390, 38 + 36 * max(1, len(record.fields))),
        alt="Fields of the record, their values and the columns that they become",
        column_config={
            "field": st.column_config.TextColumn("Field", pinned=True),
            "value": st.column_config.TextColumn("Value", help="Texts are masked here"),
            "read_as": st.column_config.TextColumn("Becomes", help="Columns that change without it"),
        },
    )


def build_fields(record: RecordReading) -> pl.DataFrame:
    """A record's fields, with columns field, value (prose masked) and read_as."""
    return pl.DataFrame(
        [(plain(field.field, limit=120), _mask(field), _describe(field)) for field in record.fields],
        schema={"field": pl.String, "value": pl.String, "read_as": pl.String},
        orient="row",
    )


def _mask(field: FieldReading) -> str:
    is_text = field.value[:1] in ('"', "[", "{")
    if is_text and (len(field.value) > _SHORT or _PROSE & set(field.read_as)):
        return "masked text"
    return plain(field.value, limit=_SHORT)


def _describe(field: FieldReading) -> str:
    if field.is_required:
        return "required"
    return ", ".join(field.read_as) or ("kept as an unknown key" if field.is_kept else "adds nothing")


def _render_sent() -> None:
    sent: _Sent | None = st.session_state.get(_SENT)
    if sent is None:
        return
    if sent.arrival is None:
        st.fragment(_watch, run_every=LOOKS_EVERY_S)()
        return
    arrival, name = sent.arrival, inert(sent.path.name)
    if arrival["error"]:
        st.error(f"{name} cannot be read: {inert(arrival['error'], limit=400)}", icon=":material/block:")
        return
    if not arrival["records"]:
        st.info(f"Every record of {name} was known already.", icon=":material/done_all:")
        return
    counts = {"turns": "turns", "checks": "checks", "labels": "verdicts"}
    parts = [f"{format_count(arrival[key])} {title}" for key, title in counts.items() if arrival[key]]
    known = f", {format_count(arrival['duplicates'])} known already" if arrival["duplicates"] else ""
    st.success(
        f"{name}: {format_count(arrival['records'])} records read, {' and '.join(parts) or 'nothing new'} stored{known}.",
        icon=":material/check_circle:",
    )
    if arrival["rejected"]:
        st.warning(
            f"{format_count(arrival['rejected'])} of its records could not be stored: see Quarantine.",
            icon=":material/report:",
        )


def _watch() -> None:
    """How far the file is, as the inbox says; draws the page anew once it is whole."""
    sent: _Sent = st.session_state[_SENT]
    home = data.home()
    arrival = lists.read_arrival(home.events, str(sent.path), since=sent.at)
    if arrival["error"] or (arrival["read_bytes"] or 0) >= sent.size:
        st.session_state[_SENT] = _Sent(sent.path, sent.size, sent.at, arrival)
        data.forget()
        st.rerun()
    share = max([load.share for load in home.loads.list() if load.path == sent.path], default=0.0)
    said = f"{share:.0%} of {format_bytes(sent.size)} stored" if share else "in the inbox, about to be read"
    st.progress(share, text=f"{inert(sent.path.name)}: {said}")
