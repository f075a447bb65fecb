"""Sets built earlier: what they hold, whether they still match, and a way to download them."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

import streamlit as st

from dashboard.text import inert, plain
from dashboard.theme import format_bytes, format_count, format_time
from incidents.exports.ledger import Holding, LedgerEntry
from incidents.exports.manifest import MANIFEST
from incidents.exports.verify import VerifyReport

LISTED = 20
# The earliest date a ZIP entry can bear: the same set always gives the same archive.
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class BuiltSet:
    """A folder that holds a feedback set.

    Attributes:
        folder: Where it is.
        name: Key of the export format.
        built_at: When it was written, naive UTC.
        rows: Rows in all splits.
        size: Bytes of all files.
        manifest_sha256: Hash of its manifest.
    """

    folder: Path
    name: str
    built_at: datetime
    rows: int
    size: int
    manifest_sha256: str


def list_sets(exports: Path) -> list[BuiltSet]:
    """The feedback sets in a folder, newest first; folders without a readable manifest are passed over."""
    found = [find_set(path.parent) for path in exports.glob(f"*/{MANIFEST}")]
    return sorted((item for item in found if item), key=lambda item: item.built_at, reverse=True)


def find_set(folder: Path) -> BuiltSet | None:
    """The set in one folder; None when there is none."""
    path = folder / MANIFEST
    try:
        content = path.read_bytes()
        manifest = json.loads(content)
        files = [folder / MANIFEST, *(folder / Path(name).name for name in manifest["files"])]
        return BuiltSet(
            folder=folder,
            name=str(manifest["name"]),
            built_at=datetime.fromtimestamp(path.stat().st_mtime, UTC).replace(tzinfo=None),
            rows=int(manifest["rows"]),
            size=sum(file.stat().st_size for file in files if file.is_file()),
            manifest_sha256=hashlib.sha256(content).hexdigest(),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def zip_set(folder: Path) -> bytes:
    """All files of a set as one ZIP archive; the same set gives the same bytes."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
        for path in sorted(item for item in folder.iterdir() if item.is_file()):
            entry = zipfile.ZipInfo(f"{folder.name}/{path.name}", _ZIP_DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            with path.open("rb") as source, target.open(entry, "w", force_zip64=True) as sink:
                while chunk := source.read(1 << 20):
                    sink.write(chunk)
    return archive.getvalue()


def describe_verification(report: VerifyReport) -> str:
    """What a verification found, as a sentence."""
    if not report.is_intact:
        changed = ", ".join(report.changed_files + report.missing_files + report.unexpected_files)
        return f"Files differ from the manifest: {changed}."
    if not report.has_drifted:
        return f"Intact: all {report.rows:,} rows are what the store would give today."
    parts = {
        "would not be given today": report.withdrawn_rows,
        "would be new": report.new_rows,
        "would be in another part": report.moved_rows,
    }
    drift = "; ".join(f"{count:,} rows {what}" for what, count in parts.items() if count)
    return f"Files intact; since then verdicts or data changed: {drift}."


def describe_entry(entry: LedgerEntry | None) -> str:
    """What the ledger says of a set, as a phrase; "" without an entry."""
    if entry is None:
        return ""
    since = f" · new since set {entry.new_since}" if entry.new_since else ""
    return f"set {entry.number} · by {inert(entry.actor, limit=40)}{since} · "


def render_elsewhere(entries: list[LedgerEntry], *, zone: ZoneInfo, title: Callable[[str], str]) -> None:
    """Sets of the ledger that are not in the folder of exports: built by a command, moved or deleted."""
    if not entries:
        return
    with st.expander(f"{len(entries):,} more in the ledger, written elsewhere", key="feedback_elsewhere"):
        for entry in entries[:LISTED]:
            st.markdown(
                f"**{inert(title(entry.name), limit=60)}** :gray[{describe_entry(entry)}{format_time(entry.at, zone)} · "
                f"{format_count(entry.rows)} rows]"
            )
            st.text(plain(str(entry.folder), limit=200))


def render_holdings(holdings: list[Holding], *, zone: ZoneInfo, title: Callable[[str], str]) -> None:
    """Which sets hold somebody's rows."""
    if not holdings:
        st.caption("No set holds rows of it.")
    for holding in holdings:
        rows = ", ".join(f"{count:,} in {split}" for split, count in holding.rows.items())
        st.markdown(
            f"**{inert(title(holding.entry.name), limit=60)}** :gray[{describe_entry(holding.entry)}"
            f"{format_time(holding.entry.at, zone)} · rows: {rows}]"
        )


def render(
    sets: list[BuiltSet],
    *,
    entries: Mapping[str, LedgerEntry],
    zone: ZoneInfo,
    title: Callable[[str], str],
    findings: dict[str, str],
    on_verify: Callable[[Path], None],
) -> None:
    """Shows the sets.

    Args:
        sets: Newest first.
        entries: What the ledger says of them, by the hash of the manifest.
        zone: The reader's time zone.
        title: Format key to words.
        findings: Folder name to what its last verification found.
        on_verify: Verifies a folder.
    """
    for number, item in enumerate(sets[:LISTED]):
        with st.container(key=f"feedback_set_{number}"):
            about, verify, download = st.columns([6, 1, 1], vertical_alignment="center")
        about.markdown(
            f"**{inert(title(item.name), limit=60)}** :gray[{describe_entry(entries.get(item.manifest_sha256))}{format_time(item.built_at, zone)} · "
            f"{format_count(item.rows)} rows · {format_bytes(item.size)} · folder {inert(item.folder.name)}]"
        )
        verify.button(
            "Verify",
            key=f"feedback_verify_{number}",
            icon=":material/rule:",
            type="tertiary",
            on_click=on_verify,
            args=(item.folder,),
        )
        download.download_button(
            "Download",
            data=partial(zip_set, item.folder),
            file_name=f"{item.folder.name}.zip",
            mime="application/zip",
            key=f"feedback_download_{number}",
            icon=":material/download:",
            on_click="ignore",
        )
        if item.folder.name in findings:
            st.caption(inert(findings[item.folder.name], limit=400))
    if len(sets) > LISTED:
        st.caption(f"The newest {LISTED} of {len(sets):,}; all are in the folder of exports.")
