"""Text into records: whole lines of JSONL, elements of a JSON array, rows of CSV. No format is known here."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass

import msgspec
import numpy as np
import polars as pl
import pyarrow as pa

from core.errors import FormatError
from ingest.batch import REJECT_SCHEMA

# Arrow batches of this many rows are what DuckDB spreads over its threads.
_ROWS_PER_BATCH = 8192
_SHOWN = 1000
_PIECE = 1 << 20
Text = bytes | bytearray


@dataclass(frozen=True, slots=True)
class Records:
    """Records of one chunk of text.

    Attributes:
        lines: (line_no, line), the JSON text of each record.
        rejects: Text that is no record.
        line_count: Lines of text consumed.
    """

    lines: pa.Table
    rejects: pa.Table
    line_count: int


def split_lines(data: Text, *, first_line: int) -> Records:
    """The non-blank lines of `data` as records.

    Args:
        data: Whole lines; the last one may lack its newline.
        first_line: Number of the first line, 1 first.
    """
    ends = _line_ends(data)
    numbers = np.arange(first_line, first_line + len(ends), dtype=np.int64)
    if data.isascii() or _is_utf8(data):
        offsets = np.concatenate(([0], ends)).astype(np.int64)
        array = pa.LargeStringArray.from_buffers(len(ends), pa.py_buffer(offsets), pa.py_buffer(data))
        table = pa.table({"line_no": numbers, "line": array})
        short = np.flatnonzero(np.diff(offsets) <= 3)
        blank = [index for index in short if not data[offsets[index] : offsets[index + 1]].strip()]
        if blank:
            keep = np.ones(len(ends), dtype=bool)
            keep[blank] = False
            table = table.filter(pa.array(keep))
        return Records(_batched(table), REJECT_SCHEMA.empty_table(), len(ends))
    good: list[tuple[int, str]] = []
    bad: list[tuple[int, bytes]] = []
    for number, line in zip(numbers.tolist(), _slices(data, ends), strict=True):
        try:
            if line.strip():
                good.append((number, line.decode()))
        except UnicodeDecodeError:
            bad.append((number, line))
    return Records(
        json_lines([number for number, _ in good], [line for _, line in good]),
        to_rejects([(number, "invalid_utf8", "The line is not UTF-8.", line) for number, line in bad]),
        len(ends),
    )


def split_array(data: bytes) -> Records:
    """The elements of a JSON array, or the one object of a document, as records; `line_no` is an element's position, 1 first.

    Raises:
        FormatError: The document is not valid JSON.
    """
    try:
        is_list = data.lstrip()[:1] == b"["
        document = msgspec.json.decode(data, type=list[msgspec.Raw]) if is_list else [msgspec.Raw(data.strip())]
        if not is_list:
            msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise FormatError("Not a JSON document", str(error), "The file may be cut off.") from error
    elements = [bytes(element) for element in document]
    try:
        return Records(
            json_lines(list(range(1, len(elements) + 1)), [element.decode() for element in elements]),
            REJECT_SCHEMA.empty_table(),
            len(elements),
        )
    except UnicodeDecodeError as error:
        raise FormatError("Not a JSON document", str(error), "JSON is written in UTF-8.") from error


def last_csv_row_end(data: Text) -> int:
    """Where the last whole CSV row of `data` ends; a newline inside quotes ends no row. 0 when there is none."""
    ends = _csv_row_ends(data)
    return int(ends[-1]) if len(ends) else 0


def split_csv(header: bytes, data: Text, *, first_line: int) -> Records:
    """The rows of `data` as JSON objects keyed by `header`; empty cells are null.

    Args:
        header: The file's first row.
        data: Whole rows, without the header.
        first_line: Line on which `data` starts.
    """
    names = next(csv.reader(io.StringIO(header.decode("utf-8-sig").rstrip("\r\n"))))
    if len(set(names)) != len(names):
        raise FormatError("A CSV header names a column twice", ", ".join(names), "Rename one of them.")
    buffer = np.frombuffer(data, np.uint8)
    ends = _csv_row_ends(data)
    if not len(ends) or ends[-1] != len(data):
        ends = np.append(ends, len(data))
    line_ends = np.flatnonzero(buffer == 10) + 1
    starts = np.concatenate(([0], ends[:-1]))
    numbers = first_line + np.searchsorted(line_ends, starts, side="right")
    outside = np.cumsum(buffer == 34) % 2 == 0
    commas = np.flatnonzero((buffer == 44) & outside)
    cells = np.bincount(np.searchsorted(ends, commas, side="right"), minlength=len(ends))[: len(ends)] + 1
    rows = _slices(data, ends)
    good: list[int] = []
    bad: list[tuple[int, str, str, bytes]] = []
    for index, row in enumerate(rows):
        if not row.strip():
            continue
        if cells[index] != len(names):
            detail = f"The row has {cells[index]} cells, the header {len(names)}."
            bad.append((int(numbers[index]), "csv_columns", detail, row))
        elif not _is_utf8(row):
            bad.append((int(numbers[index]), "invalid_utf8", "The row is not UTF-8.", row))
        else:
            good.append(index)
    lines: list[str] = []
    if good:
        text = b"".join(rows[index].rstrip(b"\r\n") + b"\n" for index in good)
        frame = pl.read_csv(text, has_header=False, new_columns=names, infer_schema=False)
        # A cell that holds a JSON object or list is that object or list.
        lines = frame.select(pl.struct(pl.all()).struct.json_encode()).to_series().to_list()
    return Records(
        json_lines(numbers[good].tolist(), [_open_json_cells(line) for line in lines]),
        to_rejects(bad),
        int(line_ends.size if len(data) and data[-1] == 10 else line_ends.size + 1),
    )


def frame_records(frame: pl.DataFrame, *, first_line: int) -> Records:
    """The rows of a columnar file as records; `line_no` is the row's number."""
    aware = [name for name, dtype in frame.schema.items() if isinstance(dtype, pl.Datetime) and dtype.time_zone]
    frame = frame.with_columns(pl.col(aware).dt.convert_time_zone("UTC").dt.replace_time_zone(None))
    lines = frame.select(pl.struct(pl.all()).struct.json_encode()).to_series().to_list()
    numbers = list(range(first_line, first_line + len(lines)))
    return Records(
        json_lines(numbers, [_open_json_cells(line) for line in lines]),
        REJECT_SCHEMA.empty_table(),
        len(lines),
    )


def json_lines(numbers: list[int], lines: list[str]) -> pa.Table:
    """Records as the table that `ingest.load.Batch` takes."""
    return _batched(pa.table({"line_no": pa.array(numbers, pa.int64()), "line": pa.array(lines, pa.large_string())}))


def _open_json_cells(line: str) -> str:
    """`line` with those strings opened that hold JSON of an object or a list: CSV and Parquet carry them as text."""
    if '"{' not in line and '"[' not in line:
        return line
    record = msgspec.json.decode(line)
    for name, value in record.items():
        if isinstance(value, str) and value[:1] in ("{", "["):
            try:
                record[name] = msgspec.json.decode(value)
            except msgspec.DecodeError:
                continue
    return msgspec.json.encode(record).decode()


def _line_ends(data: Text) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    buffer = np.frombuffer(data, np.uint8)
    # Piece by piece: a mask of the whole would take as much memory as the text.
    pieces = [
        np.flatnonzero(buffer[start : start + _PIECE] == 10) + (start + 1) for start in range(0, len(buffer), _PIECE)
    ]
    ends = np.concatenate(pieces) if pieces else np.empty(0, np.int64)
    return np.append(ends, len(data)) if data and data[-1] != 10 else ends


def _csv_row_ends(data: Text) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    buffer = np.frombuffer(data, np.uint8)
    newlines = buffer == 10
    if b'"' in data:
        newlines &= np.cumsum(buffer == 34) % 2 == 0
    return np.flatnonzero(newlines) + 1


def _slices(data: Text, ends: np.ndarray[tuple[int], np.dtype[np.int64]]) -> list[bytes]:
    starts = np.concatenate(([0], ends[:-1]))
    return [bytes(data[start:end]) for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]


def _is_utf8(data: Text) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _batched(table: pa.Table) -> pa.Table:
    return pa.Table.from_batches(table.combine_chunks().to_batches(max_chunksize=_ROWS_PER_BATCH), schema=table.schema)


def to_rejects(rows: list[tuple[int, str, str, bytes]]) -> pa.Table:
    """Text that is no record, as (line, reason, detail, text), as the table that `ingest.load.Batch` takes."""
    return pa.Table.from_pylist(
        [
            {
                "line_no": number,
                "reason": reason,
                "field": None,
                "detail": detail,
                "record": record.decode(errors="replace").rstrip("\r\n"),
            }
            for number, reason, detail, record in rows
        ],
        schema=REJECT_SCHEMA,
    )


def too_long(number: int, start: bytes) -> pa.Table:
    """The reject of a line that is too long to be held; only its start is kept."""
    detail = f"The line is longer than a record may be; its first {_SHOWN} bytes are kept."
    return to_rejects([(number, "line_too_long", detail, start[:_SHOWN])])
