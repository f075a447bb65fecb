"""The inbox: files that may still be written are followed; only whole lines are taken.

Position and rows commit together. A file is known by its head, so that a renamed one is followed, a truncated or replaced one
is read from its start; reading twice costs time and changes nothing, since known records are not stored again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import structlog

from core.clock import now
from core.errors import FormatError, StoreFullError
from core.events import Connection, EventStore
from core.settings import Settings
from ingest.batch import IngestSummary
from ingest.files import choose_format, to_batch
from ingest.formats import LogFormat
from ingest.loads import Loads
from ingest.salvage import store_batch
from ingest.sources.files import (
    Chunk,
    Compression,
    Kind,
    read_ahead,
    read_chunks,
    read_head,
    sniff_compression,
    sniff_kind,
)

log = structlog.get_logger()
_HEAD_BYTES = 4096
_Mark = tuple[int, int, int]
_IGNORED_SUFFIXES = (".tmp", ".part", ".swp", "~")


@dataclass(frozen=True, slots=True)
class _Position:
    path: str
    format_key: str | None
    byte_offset: int
    line_no: int
    head_length: int
    head_hash: str
    is_complete: bool

    def has_head(self, head: bytes) -> bool:
        """Whether a file that begins with `head` may be the one that was read."""
        return _hash(head[: self.head_length]) == self.head_hash


@dataclass(slots=True)
class Inbox:
    """Follows the files below one folder; a file in a subfolder has that folder's name as its source.

    Attributes:
        folder: What is watched.
        seen: Size, time and inode of each file when it was last read, so that a quiet inbox costs one `stat` a file.
        loads: How far the long files are.
    """

    folder: Path
    seen: dict[Path, _Mark] = field(default_factory=dict)
    loads: Loads = field(default_factory=Loads)

    def ingest_new(self, events: EventStore, *, settings: Settings) -> IngestSummary:
        """Ingests what was added since the last call.

        A file that cannot be stored is tried again by the next call; the others are read all the same, then the first failure
        is raised.

        Raises:
            StoreFullError: The disk has no room, at once.
        """
        summary = IngestSummary()
        changed = {path: mark for path, mark in self._list_marks() if self.seen.get(path) != mark}
        if not changed:
            return summary
        positions = _read_positions(events)
        # Every file is matched before any is read: a rotated file's old position must not be overwritten by its successor's.
        starts = {path: _match(path, positions) for path in changed}
        failure: Exception | None = None
        for path, start in starts.items():
            try:
                summary.add(self._follow(events, path, start, settings))
            except FormatError as error:
                _note_error(events, path, self._source(path), error.sentence())
            except FileNotFoundError:
                continue
            except StoreFullError:
                raise
            except Exception as error:
                log.exception("file could not be stored", path=str(path))
                failure = failure or error
                continue
            finally:
                self.loads.end(path)
            self.seen[path] = changed[path]
        if failure is not None:
            raise failure
        return summary

    def _list_marks(self) -> Iterator[tuple[Path, _Mark]]:
        for path in self.list_files():
            try:
                status = path.stat()
            except FileNotFoundError:
                continue
            yield path, (status.st_size, status.st_mtime_ns, status.st_ino)

    def list_files(self) -> list[Path]:
        """The log files, by path."""
        return sorted(
            path
            for path in self.folder.rglob("*")
            if path.is_file() and not path.name.startswith(".") and not path.name.endswith(_IGNORED_SUFFIXES)
        )

    def _source(self, path: Path) -> str | None:
        parts = path.relative_to(self.folder).parts
        return parts[0] if len(parts) > 1 else None

    def _follow(self, events: EventStore, path: Path, start: _Position | None, settings: Settings) -> IngestSummary:
        summary = IngestSummary()
        kind = sniff_kind(path)
        if kind is None:
            return summary
        if start and start.path != str(path):
            # Under its old name another file may be read next, whose position would take the place of this one's.
            moved = replace(start, path=str(path))
            events.write(lambda connection: _write_position(connection, moved, self._source(path)))
        if start and start.is_complete and start.byte_offset == path.stat().st_size:
            return summary
        log_format = choose_format(path, kind, start.format_key if start else None, settings=settings)
        is_resumed = start is not None and not start.is_complete and kind.is_text
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
            self.loads.note(path, chunk.end_offset, path.stat().st_size)
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
    head_length, head_hash = hash_head(path, min(_HEAD_BYTES, chunk.end_offset))
    # What cannot be read on from a place in the middle is read from its start until all of it was stored.
    is_complete = not kind.can_grow and chunk.is_last and not chunk.fault
    position = _Position(
        str(path),
        log_format.key,
        chunk.end_offset if is_complete or kind.can_grow else 0,
        chunk.end_line,
        head_length,
        head_hash,
        is_complete=is_complete,
    )
    error = f"The file is cut off: {chunk.fault}" if chunk.fault else None
    return store_batch(
        events,
        log_format,
        to_batch(chunk, source, path),
        settings=settings,
        then=lambda connection: _write_position(connection, position, source, error),
    )


def _note_error(events: EventStore, path: Path, source: str | None, error: str) -> None:
    unread = _Position(str(path), None, 0, 0, 0, "", is_complete=False)
    events.write(lambda connection: _write_position(connection, unread, source, error))


def _write_position(connection: Connection, position: _Position, source: str | None, error: str | None = None) -> None:
    connection.execute("DELETE FROM checkpoints WHERE path = ?", [position.path])
    connection.execute(
        "INSERT INTO checkpoints VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            position.path,
            source,
            position.format_key,
            position.byte_offset,
            position.line_no,
            position.head_length,
            position.head_hash,
            position.is_complete,
            error,
            now(),
        ],
    )


def _read_positions(events: EventStore) -> list[_Position]:
    rows = events.read(
        "SELECT path, format, byte_offset, line_no, head_length, head_hash, is_complete FROM checkpoints "
        "WHERE format IS NOT NULL AND byte_offset > 0"
    ).rows()
    return [_Position(*row) for row in rows]


def _match(path: Path, positions: list[_Position]) -> _Position | None:
    """Where reading `path` goes on: its own position, or that of a file that had the same head under another name.

    A packed file without a position goes on where the file with the text's head was left when it was packed.
    """
    try:
        size = path.stat().st_size
        compression = sniff_compression(path)
        raw, text = read_head(path, Compression.NONE), read_head(path, compression)
    except FileNotFoundError:
        return None
    is_packed = compression is not Compression.NONE
    fitting = [at for at in positions if at.byte_offset <= size and at.has_head(raw)]
    own = [position for position in fitting if position.path == str(path)]
    if is_packed and not fitting:
        fitting = [at for at in positions if not at.is_complete and at.has_head(text)]
    longest = sorted(fitting, key=lambda position: position.byte_offset, reverse=True)
    return next(iter(own or longest), None)


def hash_head(path: Path, length: int) -> tuple[int, str]:
    """Bytes of a file's head, at most `length` of them, and their hash."""
    head = read_head(path, Compression.NONE)[:length]
    return len(head), _hash(head)


def _hash(head: bytes) -> str:
    return hashlib.sha256(head).hexdigest()
