"""One-shot ingest of files and folders: every record counted, whatever was ingested before."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from core.clock import from_epoch
from core.errors import FormatError, NotFoundError
from core.events import EventStore
from core.settings import Settings
from ingest.batch import Batch, IngestSummary
from ingest.detect import detect_format
from ingest.formats import LogFormat
from ingest.mapping import find_formats
from ingest.salvage import store_batch
from ingest.sources.files import Chunk, Kind, read_ahead, read_chunks, read_sample, sniff_kind

Progress = Callable[[Path, int, int], None]


def ingest_paths(
    events: EventStore,
    paths: Sequence[Path],
    *,
    settings: Settings,
    format_key: str | None = None,
    source: str | None = None,
    on_progress: Progress | None = None,
) -> IngestSummary:
    """Ingests files, and the files of folders, whole.

    A file that cannot be read at all counts as one rejected record with reason `unreadable_file`; the others go on.

    Args:
        events: The store.
        paths: Files and folders.
        settings: Chunk size, thresholds, crosswalk.
        format_key: The format; None detects it for each file from its content.
        source: Name of the source; None takes the format's key.
        on_progress: Called with (file, bytes read, bytes in all) after each chunk.

    Raises:
        NotFoundError: A path does not exist.
        FormatError: The only file named cannot be read.
    """
    summary = IngestSummary()
    files = list(_walk(paths))
    for path in files:
        try:
            summary.add(
                ingest_file(
                    events,
                    path,
                    settings=settings,
                    format_key=format_key,
                    source=source,
                    on_progress=on_progress,
                )
            )
        except FormatError:
            if len(files) == 1:
                raise
            summary.add(IngestSummary(files=1, read=1, rejected=1, rejections={"unreadable_file": 1}))
    return summary


def ingest_file(
    events: EventStore,
    path: Path,
    *,
    settings: Settings,
    format_key: str | None = None,
    source: str | None = None,
    on_progress: Progress | None = None,
) -> IngestSummary:
    """Ingests one file, whole, in one transaction per chunk.

    Raises:
        FormatError: It is empty of records, of no known format, or cut off before the first record.
    """
    summary = IngestSummary(files=1)
    kind = sniff_kind(path)
    if kind is None:
        return summary
    log_format = choose_format(path, kind, format_key, settings=settings)
    size = path.stat().st_size
    fault = ""
    chunks = read_chunks(path, kind, chunk_bytes=settings.ingest.chunk_mb << 20, is_final=True)
    for chunk in read_ahead(chunks):
        batch = to_batch(chunk, source or log_format.key, path)
        summary.add(store_batch(events, log_format, batch, settings=settings))
        fault = chunk.fault
        if on_progress:
            on_progress(path, min(chunk.end_offset, size), size)
    if fault:
        summary.add(IngestSummary(read=1, rejected=1, rejections={"cut_off_file": 1}))
    return summary


def choose_format(path: Path, kind: Kind, format_key: str | None, *, settings: Settings) -> LogFormat:
    """The format named, or the one that the file's first records are in.

    Raises:
        FormatError: It has no whole record, or none or several formats fit.
        UsageError: The named format does not exist.
    """
    if format_key:
        return find_formats(settings)[format_key]
    sample = read_sample(path, kind)
    if not sample:
        raise FormatError("No record can be read", path.name, "The first lines are not JSON objects or CSV rows.")
    return detect_format(sample, name=path.name, settings=settings)


def to_batch(chunk: Chunk, source: str, path: Path) -> Batch:
    """A chunk of a file, as the loader takes it."""
    written_at = from_epoch(path.stat().st_mtime)
    return Batch(chunk.records.lines, chunk.records.rejects, source, path.name, chunk.digest, written_at)


def _walk(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(
                child
                for child in path.rglob("*")
                if child.is_file() and not child.name.startswith(".") and child.suffix.lower() != ".md"
            )
        elif path.exists():
            yield path
        else:
            raise NotFoundError("No such file", str(path))
