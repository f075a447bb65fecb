"""Erasing lines from the log files of the inbox."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import zstandard

from core.errors import FormatError
from core.events import Connection, EventStore
from ingest.inbox import Inbox, hash_head
from ingest.mentions import Mentions
from ingest.sources.files import Compression, Container, Kind, open_text, read_chunks, sniff_kind
from ingest.sources.lines import last_csv_row_end

_BLOCK = 16 << 20


@dataclass(frozen=True, slots=True)
class LogFile:
    """A log file that speaks of a subject.

    Attributes:
        path: The file.
        lines: Lines that do.
        is_text: Whether they can be blanked; a JSON document or a Parquet file has to be written anew by whoever wrote it.
    """

    path: Path
    lines: int
    is_text: bool


def find_lines(inbox: Path, mentions: Mentions) -> list[LogFile]:
    """The log files of the inbox that mention a subject; those that nobody can read mention nothing."""
    found = []
    for path in Inbox(inbox).list_files():
        try:
            kind = sniff_kind(path)
            count = _count(path, kind, mentions) if kind else 0
        except (FormatError, FileNotFoundError):
            continue
        if kind and count:
            found.append(LogFile(path, count, kind.is_text))
    return found


def blank_lines(events: EventStore, files: Sequence[LogFile], mentions: Mentions) -> None:
    """Blanks the lines in place, so that whoever still writes the file goes on; a packed file is packed anew."""
    for file in files:
        kind = sniff_kind(file.path)
        if kind is None or not kind.is_text:
            continue
        if kind.compression is Compression.NONE:
            _blank_in_place(file.path, kind, mentions)
        else:
            _pack_anew(file.path, kind, mentions)
        events.write(partial(_note_head, path=file.path))


def _count(path: Path, kind: Kind, mentions: Mentions) -> int:
    if kind.is_text:
        return sum(
            len(mentions.find([text.decode(errors="replace") for _, text in part])) for part in _read_lines(path, kind)
        )
    chunks = read_chunks(path, kind, chunk_bytes=_BLOCK, is_final=True)
    return sum(len(mentions.find(chunk.records.lines["line"].to_pylist())) for chunk in chunks)


def _read_lines(path: Path, kind: Kind) -> Iterator[list[tuple[int, bytes]]]:
    """Runs of lines, or rows of CSV, each with its place in the text."""
    with open_text(path, kind.compression) as file:
        start, carry = 0, b""
        while data := file.read(_BLOCK):
            data = carry + data
            end = last_csv_row_end(data) if kind.container is Container.CSV else data.rfind(b"\n") + 1
            yield list(_split(data[:end], start))
            start, carry = start + end, data[end:]
        if carry:
            yield list(_split(carry, start))


def _split(data: bytes, start: int) -> Iterator[tuple[int, bytes]]:
    for line in data.splitlines(keepends=True):
        yield start, line
        start += len(line)


def _blank_in_place(path: Path, kind: Kind, mentions: Mentions) -> None:
    with path.open("r+b") as file:
        for part in _read_lines(path, kind):
            for position in mentions.find([text.decode(errors="replace") for _, text in part]):
                place, text = part[position]
                file.seek(place)
                file.write(b"\n" * len(text))


def _pack_anew(path: Path, kind: Kind, mentions: Mentions) -> None:
    temporary = path.with_name(f".{path.name}.erasing")
    pack = gzip.compress if kind.compression is Compression.GZIP else zstandard.compress
    with temporary.open("wb") as file:
        for part in _read_lines(path, kind):
            gone = set(mentions.find([text.decode(errors="replace") for _, text in part]))
            kept = (b"\n" * len(text) if place in gone else text for place, (_, text) in enumerate(part))
            file.write(pack(b"".join(kept)))
    temporary.replace(path)


def _note_head(connection: Connection, path: Path) -> None:
    """The file is still the same one, with another head."""
    for length, is_complete in connection.execute(
        "SELECT head_length, is_complete FROM checkpoints WHERE path = ?", [str(path)]
    ).fetchall():
        size = path.stat().st_size
        head_length, digest = hash_head(path, min(length, size))
        connection.execute(
            "UPDATE checkpoints SET head_length = ?, head_hash = ?, byte_offset = CASE WHEN ? THEN ? ELSE byte_offset END "
            "WHERE path = ?",
            [head_length, digest, is_complete, size, str(path)],
        )
