"""The body of an intake request as records of one named format: JSON lines or a JSON array, plain or gzip."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import pyarrow as pa

from core.errors import AppError, FormatError
from ingest.formats import LogFormat
from ingest.sources.lines import Records, split_array, split_lines

_GZIP_MAGIC = b"\x1f\x8b"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_MAX_MEMBERS = 100
# Bounds the memory that a body of nothing but tiny elements takes: each becomes an object of its own.
_MAX_ELEMENTS = 4_000_000


class BodyTooLargeError(AppError):
    """The body, packed or unpacked, is over its limit."""


@dataclass(frozen=True, slots=True)
class Post:
    """What one request asks to store.

    Attributes:
        log_format: How the records are read.
        source: Name of the source.
        records: The records; `line_no` is the line of the body, or the place in the array, 1 first.
        is_partial: Store the good records although others are refused.
        size: Bytes of text.
    """

    log_format: LogFormat
    source: str
    records: Records
    is_partial: bool
    size: int

    @property
    def read(self) -> int:
        """Records, readable or not."""
        count: int = self.records.lines.num_rows + self.records.rejects.num_rows
        return count


def unpack(body: bytes, *, limit: int) -> bytes:
    """The text of a body, which is gzip if it begins like gzip; no more than `limit` bytes are ever unpacked.

    Raises:
        BodyTooLargeError: The text is longer than `limit`.
        FormatError: The gzip data is damaged or cut off.
    """
    if not body.startswith(_GZIP_MAGIC):
        return _within(body, limit)
    parts: list[bytes] = []
    room, data = limit + 1, body
    for _ in range(_MAX_MEMBERS):
        member = zlib.decompressobj(wbits=31)
        while not member.eof:
            try:
                part = member.decompress(data, room)
            except zlib.error as error:
                raise FormatError("The gzip data is damaged", str(error)) from error
            parts.append(part)
            room, data = room - len(part), member.unconsumed_tail
            if not room:
                raise _too_large(limit)
            if not part and not data and not member.eof:
                raise FormatError("The gzip data is cut off.", "", "Send the batch again.")
        data = member.unused_data
        if not data:
            return b"".join(parts)
    raise FormatError("The gzip data has too many members", f"over {_MAX_MEMBERS}.", "Pack the body as one member.")


def read_records(text: bytes) -> Records:
    """The records of a body: the elements of a JSON array, else one a line.

    Raises:
        BodyTooLargeError: There are too many of them.
        FormatError: It begins like a JSON array and is none.
    """
    text = text.removeprefix(_BYTE_ORDER_MARK)
    is_array = text.lstrip()[:1] == b"["
    if text.count(b"," if is_array else b"\n") > _MAX_ELEMENTS:
        raise BodyTooLargeError(
            "The batch is too large", f"over {_MAX_ELEMENTS} records or fields.", "Send smaller ones."
        )
    if not is_array:
        return split_lines(text, first_line=1)
    records = split_array(text)
    numbers = pa.array(range(1, records.lines.num_rows + 1), pa.int64())
    return Records(records.lines.set_column(0, "line_no", numbers), records.rejects, records.line_count)


def _within(text: bytes, limit: int) -> bytes:
    if len(text) > limit:
        raise _too_large(limit)
    return text


def _too_large(limit: int) -> BodyTooLargeError:
    return BodyTooLargeError(
        "The body is too large",
        f"over {limit} bytes of text.",
        "Send smaller batches, or raise intake.max_unpacked_mb.",
    )
