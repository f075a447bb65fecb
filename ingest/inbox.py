"""The inbox: files that may still be written are followed; only whole lines are taken.

Position and rows commit together. A file is known by its head, so that a renamed one is followed, a truncated or replaced one
is read from its start; reading twice costs time and changes nothing, since known records are not stored again.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from core.clock import now
from core.errors import FormatError
from core.events import Connection, EventStore
from core.settings import Settings
from ingest.batch import IngestSummary
from ingest.files import choose_format, to_batch
from ingest.formats import LogFormat
from ingest.load import load_batch
from ingest.sources.files import Chunk, Kind, read_ahead, read_chunks, sniff_kind

_HEAD_BYTES = 4096
_IGNORED_SUFFIXES = (".tmp", ".part", ".swp", "~")


@dataclass(frozen=True, slots=True)
class _Position:
    path: str
    format_key: str
    byte_offset: int
    line_no: int
    head_length: int
    head_hash: str


@dataclass(slots=True)
class Inbox:
    """Follows the files below one folder; a file in a subfolder has that folder's name as its source.

    Attributes:
        folder: What is watched.
        seen: Size and time of each file when last looked at, so that a quiet inbox costs one `stat` a file.
    """

    folder: Path
    seen: dict[Path, tuple[int, int, int]] = field(default_factory=dict)

    def ingest_new(self, events: EventStore, *, settings: Settings) -> IngestSummary:
        """Ingests what was added since the last call."""
        summary = IngestSummary()
        changed = [path for path in self._list() if self._has_changed(path)]
        if not changed:
            return summary
        positions = _read_positions(events)
        # Every file is matched before any is read: a rotated file's old position must not be overwritten by its successor's.
        starts = {path: _match(path, positions) for path in changed}
        for path, start in starts.items():
            try:
                summary.add(self._follow(events, path, start, settings))
            except FormatError as error:
                _note_error(events, path, self._source(path), error.sentence())
            except FileNotFoundError:
                self.seen.pop(path, None)
        return summary

    def _list(self) -> list[Path]:
        return sorted(
            path
            for path in self.folder.rglob("*")
            if path.is_file() and not path.name.startswith(".") and not path.name.endswith(_IGNORED_SUFFIXES)
        )

    def _has_changed(self, path: Path) -> bool:
        try:
            status = path.stat()
        except FileNotFoundError:
            return False
        mark = (status.st_size, status.st_mtime_ns, status.st_ino)
        if self.seen.get(path) == mark:
            return False
        self.seen[path] = mark
        return True

    def _source(self, path: Path) -> str | None:
        parts = path.relative_to(self.folder).parts
        return parts[0] if len(parts) > 1 else None

    def _follow(self, events: EventStore, path: Path, start: _Position | None, settings: Settings) -> IngestSummary:
        summary = IngestSummary()
        kind = sniff_kind(path)
        if kind is None:
            return summary
        if start and not kind.can_grow and start.byte_offset == path.stat().st_size:
            return summary
        log_format = choose_format(path, kind, start.format_key if start else None, settings=settings)
        is_resumed = start is not None and kind.can_grow
        chunks = read_chunks(
            path,
            kind,
            offset=start.byte_offset if start and is_resumed else 0,
            line_no=start.line_no if start and is_resumed else 0,
            chunk_bytes=settings.ingest.chunk_mb << 20,
            is_final=not kind.can_grow,
        )
        for chunk in read_ahead(chunks):
            summary.add(_commit(events, path, kind, log_format, chunk, self._source(path) or log_format.key, settings))
        if summary.read:
            summary.files = 1
        return summary


def _commit(
    events: EventStore,
    path: Path,
    kind: Kind,
    log_format: LogFormat,
    chunk: Chunk,
    source: str,
    settings: Settings,
) -> IngestSummary:
    head_length, head_hash = _hash_head(path, min(_HEAD_BYTES, chunk.end_offset))

    def work(connection: Connection) -> IngestSummary:
        summary = load_batch(connection, log_format, to_batch(chunk, source, path), settings=settings)
        connection.execute("DELETE FROM checkpoints WHERE path = ?", [str(path)])
        connection.execute(
            "INSERT INTO checkpoints VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                str(path),
                source,
                log_format.key,
                0 if chunk.fault else chunk.end_offset,
                chunk.end_line,
                head_length,
                head_hash,
                not kind.can_grow and not chunk.fault,
                f"The file is cut off: {chunk.fault}" if chunk.fault else None,
                now(),
            ],
        )
        return summary

    return events.write(work)


def _note_error(events: EventStore, path: Path, source: str | None, error: str) -> None:
    def work(connection: Connection) -> None:
        connection.execute("DELETE FROM checkpoints WHERE path = ?", [str(path)])
        connection.execute(
            "INSERT INTO checkpoints VALUES (?, ?, NULL, 0, 0, 0, '', false, ?, ?)",
            [str(path), source, error, now()],
        )

    events.write(work)


def _read_positions(events: EventStore) -> list[_Position]:
    rows = events.read(
        "SELECT path, format, byte_offset, line_no, head_length, head_hash FROM checkpoints "
        "WHERE format IS NOT NULL AND byte_offset > 0"
    ).rows()
    return [_Position(*row) for row in rows]


def _match(path: Path, positions: list[_Position]) -> _Position | None:
    """Where reading `path` goes on: its own position, or that of a file that had the same head under another name."""
    try:
        size = path.stat().st_size
        fitting = [
            position
            for position in positions
            if position.byte_offset <= size and _hash_head(path, position.head_length)[1] == position.head_hash
        ]
    except FileNotFoundError:
        return None
    own = [position for position in fitting if position.path == str(path)]
    longest = sorted(fitting, key=lambda position: position.byte_offset, reverse=True)
    return next(iter(own or longest), None)


def _hash_head(path: Path, length: int) -> tuple[int, str]:
    with path.open("rb") as file:
        head = file.read(length)
    return len(head), hashlib.sha256(head).hexdigest()
