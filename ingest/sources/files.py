"""Files as streams of chunks: plain or compressed, text or columnar, told by content and never by name."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO, Any, cast

import msgspec
import polars as pl
import pyarrow.parquet as pq

from core.errors import FormatError
from ingest.batch import REJECT_SCHEMA
from ingest.sources import inspect_log
from ingest.sources.lines import (
    Records,
    frame_records,
    json_lines,
    last_csv_row_end,
    split_array,
    split_csv,
    split_lines,
    to_rejects,
    too_long,
)
from ingest.sources.packed import get_fault, open_gzip, open_zstd, tell_packed

MAX_LINE_BYTES = 64 << 20
MAX_DOCUMENT_BYTES = 1 << 30
_HEAD_BYTES = 1 << 16
_SNIFFED_LINES = 50
_PARQUET_ROWS = 1 << 16
_RECOGNISED_BYTES = 1 << 16


class Compression(StrEnum):
    """How the bytes are packed."""

    NONE = "none"
    GZIP = "gzip"
    ZSTD = "zstd"


class Container(StrEnum):
    """How records lie in the text."""

    JSONL = "JSON lines"
    ARRAY = "JSON document"
    CSV = "CSV"
    PARQUET = "Parquet"
    INSPECT = "Inspect archive"


@dataclass(frozen=True, slots=True)
class Kind:
    """What a file's first bytes say it is."""

    compression: Compression
    container: Container

    @property
    def is_text(self) -> bool:
        """Whether it holds one record a line."""
        return self.container in (Container.JSONL, Container.CSV)

    @property
    def can_grow(self) -> bool:
        """Whether lines appended later can be read without the rest."""
        return self.compression is Compression.NONE and self.is_text


@dataclass(frozen=True, slots=True)
class Chunk:
    """A run of records and where it ends.

    Attributes:
        records: The records.
        end_offset: Bytes of the file read so far; where the next chunk starts in what can grow.
        end_line: Lines read so far.
        fault: Why the file ended early, e.g. a truncated gzip stream; "" when it did not.
        digest: SHA-256 of a chunk of text worth recognising, else "".
        is_last: Whether the file ends with it: what cannot grow is done with only then.
    """

    records: Records
    end_offset: int
    end_line: int
    fault: str = ""
    digest: str = ""
    is_last: bool = True


def sniff_kind(path: Path) -> Kind | None:
    """What the file is; None while it holds too little to tell.

    Raises:
        FormatError: The text is UTF-16 or the bytes are binary.
    """
    compression = sniff_compression(path)
    head = read_head(path, compression)
    if compression is Compression.NONE and head[:4] == inspect_log.MAGIC:
        return Kind(Compression.NONE, Container.INSPECT) if inspect_log.holds_samples(path) else None
    if compression is Compression.NONE and head[:4] == b"PAR1":
        return Kind(Compression.NONE, Container.PARQUET)
    if _are_objects(head):
        return Kind(compression, Container.JSONL)
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise FormatError("The file is UTF-16", path.name, "Convert it to UTF-8.")
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not text:
        return None
    if text[:1] == b"[":
        return Kind(compression, Container.ARRAY)
    if text[:1] == b"{":
        first, newline, _ = text.partition(b"\n")
        is_line = newline == b"" or first.rstrip().endswith(b"}") or not _is_pretty(text)
        return Kind(compression, Container.JSONL if is_line else Container.ARRAY)
    if b"\n" not in text:
        return None if len(text) < _HEAD_BYTES else Kind(compression, Container.JSONL)
    return Kind(compression, Container.CSV if b"," in text.split(b"\n", 1)[0] else Container.JSONL)


def _are_objects(head: bytes) -> bool:
    """Whether most lines look like JSON objects, whatever the first one, which may be broken, looks like."""
    lines = [line.strip() for line in head.split(b"\n")[:_SNIFFED_LINES]]
    objects = sum(line[:1] == b"{" and line[-1:] == b"}" for line in lines)
    return objects > 1 and 2 * objects > sum(1 for line in lines if line)


def sniff_compression(path: Path) -> Compression:
    """How the file is packed, by its first bytes."""
    with path.open("rb") as file:
        magic = file.read(4)
    if magic[:2] == b"\x1f\x8b":
        return Compression.GZIP
    return Compression.ZSTD if magic == b"\x28\xb5\x2f\xfd" else Compression.NONE


def _is_pretty(text: bytes) -> bool:
    """A document over several lines opens with a brace, or a brace and a key, that its line does not close."""
    first = text.split(b"\n", 1)[0].strip()
    return first == b"{" or first.endswith((b",", b"[", b"{"))


def read_sample(path: Path, kind: Kind, *, limit: int = 50) -> list[dict[str, Any]]:
    """Some of the file's first records, parsed; empty when none is whole."""
    if kind.container is Container.PARQUET:
        records = frame_records(pl.read_parquet(path, n_rows=limit), first_line=1)
    elif kind.container is Container.INSPECT:
        records = next(_read_archive(path, path.stat().st_size, 1)).records
    else:
        head = read_head(path, kind.compression).removeprefix(b"\xef\xbb\xbf")
        if kind.container is Container.ARRAY:
            records = _sample_array(path, kind)
        elif kind.container is Container.CSV:
            header, _, rest = head.partition(b"\n")
            records = split_csv(header, rest[: last_csv_row_end(rest)] or rest, first_line=2)
        else:
            records = split_lines(head, first_line=1)
    sample = []
    for line in records.lines.column("line").slice(0, limit).to_pylist():
        try:
            record = msgspec.json.decode(line)
        except (msgspec.DecodeError, RecursionError):
            continue
        if isinstance(record, dict):
            sample.append(record)
    return sample


def read_chunks(
    path: Path, kind: Kind, *, offset: int = 0, line_no: int = 0, chunk_bytes: int, is_final: bool
) -> Iterator[Chunk]:
    """The file's records from `offset` on.

    Args:
        path: The file.
        kind: What `sniff_kind` said.
        offset: Byte of the text to start at; 0 for what is no text.
        line_no: Lines before `offset`.
        chunk_bytes: Text per chunk.
        is_final: Take a last line without newline as whole; otherwise only if it is a whole JSON object.

    Raises:
        FormatError: The file as a whole cannot be read.
    """
    size = path.stat().st_size
    if kind.container is Container.PARQUET:
        yield from _read_parquet(path, size)
    elif kind.container is Container.INSPECT:
        yield from _read_archive(path, size, chunk_bytes)
    elif kind.container is Container.ARRAY:
        records = split_array(_read_document(path, kind))
        yield Chunk(records, size, records.line_count)
    else:
        yield from _read_text(path, kind, offset, line_no, chunk_bytes, is_final)


def read_ahead(chunks: Iterator[Chunk]) -> Iterator[Chunk]:
    """The same chunks; the next one is read while the last one is being stored."""
    with ThreadPoolExecutor(1, thread_name_prefix="read-ahead") as pool:
        ahead = pool.submit(next, chunks, None)
        while (chunk := ahead.result()) is not None:
            ahead = pool.submit(next, chunks, None)
            yield chunk


def _read_text(path: Path, kind: Kind, offset: int, line_no: int, chunk_bytes: int, is_final: bool) -> Iterator[Chunk]:
    is_csv = kind.container is Container.CSV
    header = b""
    with open_text(path, kind.compression) as file:
        if is_csv:
            header = file.readline()
            if offset == 0:
                offset, line_no = len(header), 1
        if kind.compression is Compression.NONE:
            file.seek(offset)
        else:
            _skip(file, offset - len(header))
        carry, skipped = b"", b""
        while True:
            data, body = bytearray(), bytearray()  # lets go of the last chunk before the next one is read
            data, fault, is_end = _read_on(file, carry, chunk_bytes)
            if offset == 0 and data.startswith(b"\xef\xbb\xbf"):
                offset += 3
                del data[:3]
            # Where compressed data is cut off, its last line is, too: no record to reject, for the whole file is still to come.
            if is_end and ((is_final and not fault) or _is_whole(data, is_csv)):
                cut = len(data)
            else:
                cut = last_csv_row_end(data) if is_csv else data.rfind(b"\n") + 1
            # Cut in place: a copy would double what a chunk takes.
            carry = bytes(data[cut:])
            del data[cut:]
            body = data
            if skipped and body:
                end = body.find(b"\n") + 1 or len(body)
                offset, line_no, body = offset + end, line_no + 1, body[end:]
                skip = Records(json_lines([], []), too_long(line_no, skipped), 1)
                yield Chunk(skip, offset if kind.can_grow else tell_packed(file), line_no, is_last=False)
                skipped = b""
            if body:
                first_line = line_no + 1
                records = (
                    split_csv(header, body, first_line=first_line)
                    if is_csv
                    else split_lines(body, first_line=first_line)
                )
                offset += len(body)
                line_no += records.line_count
                digest = _digest(header, body) if len(body) >= _RECOGNISED_BYTES else ""
                end = offset if kind.can_grow else path.stat().st_size if is_end else tell_packed(file)
                yield Chunk(records, end, line_no, fault, digest, is_last=is_end)
            if len(carry) > MAX_LINE_BYTES:
                skipped, offset, carry = skipped or carry[:1000], offset + len(carry), b""
            if is_end:
                # What is cut off says so even without a record, and what was read before it was packed is never read again.
                if not body and not kind.can_grow:
                    nothing = Records(json_lines([], []), REJECT_SCHEMA.empty_table(), 0)
                    yield Chunk(nothing, path.stat().st_size, line_no, fault)
                return


def _skip(file: IO[bytes], size: int) -> None:
    """Reads over `size` bytes of a stream that cannot seek."""
    while size > 0 and (data := file.read(min(size, _HEAD_BYTES))):
        size -= len(data)


def _is_whole(data: bytearray, is_csv: bool) -> bool:
    """Whether text at the end of a growing file is whole: ended by a newline, or a closed JSON object."""
    last = data[data.rfind(b"\n") + 1 :]
    if is_csv or not last.rstrip().endswith(b"}"):
        return False
    try:
        return isinstance(msgspec.json.decode(last), dict)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return False


def _read_parquet(path: Path, size: int) -> Iterator[Chunk]:
    try:
        file = pq.ParquetFile(path)
        row = 0
        for batch in file.iter_batches(batch_size=_PARQUET_ROWS):
            frame = cast(pl.DataFrame, pl.from_arrow(batch))
            records = frame_records(frame, first_line=row + 1)
            row += records.line_count
            is_last = row >= file.metadata.num_rows
            yield Chunk(records, size * row // file.metadata.num_rows, row, is_last=is_last)
    except (OSError, ValueError) as error:
        raise FormatError("Not a readable Parquet file", f"{path.name}: {error}", "The file may be cut off.") from error


def _read_archive(path: Path, size: int, chunk_bytes: int) -> Iterator[Chunk]:
    """The samples of an archive, each counted as a line; chunks end after the sample that fills them."""
    lines: list[tuple[int, str]] = []
    rejects: list[tuple[int, str, str, bytes]] = []
    number, held, fault = 0, 0, ""

    def cut(end: int, *, is_last: bool) -> Chunk:
        text = [line for _, line in lines]
        records = Records(json_lines([at for at, _ in lines], text), to_rejects(rejects), len(lines) + len(rejects))
        is_worth_it = held >= _RECOGNISED_BYTES and not rejects
        digest = hashlib.sha256("\n".join(text).encode()).hexdigest() if is_worth_it else ""
        lines.clear()
        rejects.clear()
        return Chunk(records, end, number, fault, digest, is_last=is_last)

    for sample in inspect_log.read_samples(path):
        if isinstance(sample, str):
            fault = sample
            break
        number += 1
        if len(sample.line) > MAX_LINE_BYTES:
            detail = f"Sample {number} is longer than a record may be."
            rejects.append((number, "line_too_long", detail, sample.line[:1000].encode()))
        elif sample.line:
            lines.append((number, sample.line))
            held += len(sample.line)
        else:
            rejects.append((number, sample.reason, sample.detail, sample.start[:1000]))
        if held >= chunk_bytes:
            yield cut(min(sample.end_offset, size), is_last=False)
            held = 0
    yield cut(size, is_last=True)


def _read_document(path: Path, kind: Kind) -> bytes:
    with open_text(path, kind.compression) as file:
        data, fault = _read(file, MAX_DOCUMENT_BYTES + 1)
    if fault:
        raise FormatError("The file is cut off", f"{path.name}: {fault}")
    if len(data) > MAX_DOCUMENT_BYTES:
        raise FormatError("The JSON document is too large", path.name, "Write one record per line (JSONL) instead.")
    return data.removeprefix(b"\xef\xbb\xbf")


def _sample_array(path: Path, kind: Kind) -> Records:
    try:
        return split_array(_read_document(path, kind))
    except FormatError:
        return Records(json_lines([], []), REJECT_SCHEMA.empty_table(), 0)


def read_head(path: Path, compression: Compression) -> bytes:
    """The first bytes of the file's text; of the file itself, if `compression` is said to be none."""
    with open_text(path, compression) as file:
        return _read(file, _HEAD_BYTES)[0]


def open_text(path: Path, compression: Compression) -> IO[bytes]:
    """The file's text, unpacked while it is read."""
    file = path.open("rb")
    if compression is Compression.GZIP:
        return open_gzip(file)
    return open_zstd(file) if compression is Compression.ZSTD else file


def _read_on(file: IO[bytes], carry: bytes, size: int) -> tuple[bytearray, str, bool]:
    """`carry` and up to `size` bytes behind it; what broke the stream, or ""; and whether the stream has ended."""
    data = bytearray(len(carry) + size)
    data[: len(carry)] = carry
    end = len(carry)
    with memoryview(data) as view:
        while end < len(view) and (count := cast(io.RawIOBase, file).readinto(view[end:])):
            end += count
    is_end = end < len(data)
    del data[end:]
    return data, get_fault(file) if is_end else "", is_end


def _digest(header: bytes, body: bytearray) -> str:
    found = hashlib.sha256(header)
    found.update(body)
    return found.hexdigest()


def _read(file: IO[bytes], size: int) -> tuple[bytes, str]:
    """Up to `size` bytes, fewer only at the end; and what broke the stream, or ""."""
    data = file.read(size)
    return data, get_fault(file) if len(data) < size else ""
