"""How a file would be read, field by field, without storing anything.

Formats are declared in SQL, so no list says which field becomes which column. It is found out instead: a record is read once
as it is, and once without each of its fields; what differs is what the field is for.
"""

from __future__ import annotations

import copy
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from core.clock import from_epoch
from core.errors import FormatError
from core.events import Connection, EventStore
from core.settings import Settings
from ingest.batch import REJECT_SCHEMA
from ingest.detect import score_formats
from ingest.files import choose_format
from ingest.formats import LogFormat
from ingest.formats.base import Selects
from ingest.load import parse_lines, prepare_selects
from ingest.sources.files import Kind, read_chunks, read_sample, sniff_kind
from ingest.sources.lines import json_lines

_RECORDS, _FIELDS, _ITEMS = 3, 200, 3
_BATCH_BYTES = 16 << 20
_HEAD_BYTES, _HEAD_RECORDS = 1 << 20, 1000
# A window over other lines: streams, neighbours that lend a time, events told twice.
_NEIGHBOURS = re.compile(r"OVER (?!\(PARTITION BY line_no\b)")
_UNREAD = ("line_no", "item", "taxonomy", "native_id", "extra")


@dataclass(frozen=True, slots=True)
class FieldReading:
    """What one field of a record is for.

    Attributes:
        field: Path of the field.
        value: Its value, as JSON.
        read_as: Columns that change without it, as table.column; empty when it is only kept.
        is_required: Without it the record is refused.
        is_kept: It is not read, and kept with the record as an unknown key.
    """

    field: str
    value: str
    read_as: tuple[str, ...]
    is_required: bool
    is_kept: bool


@dataclass(frozen=True, slots=True)
class RecordReading:
    """How one record would be read.

    Attributes:
        line: Its place in the sample, 1 first.
        refusal: Why it would be refused: reason, field, detail; None when it would be stored.
        yields: Rows by table.
        fields: Its fields, in order.
    """

    line: int
    refusal: dict[str, str | None] | None
    yields: dict[str, int]
    fields: tuple[FieldReading, ...]


@dataclass(frozen=True, slots=True)
class HeadReading:
    """What the first records of a file, up to a thousand, would yield.

    Attributes:
        read: Records.
        is_whole: The file holds no others.
        yields: Rows by table.
        refusals: Records that would be refused, by reason.
    """

    read: int
    is_whole: bool
    yields: dict[str, int]
    refusals: dict[str, int]


@dataclass(frozen=True, slots=True)
class Explanation:
    """How a file would be read.

    Attributes:
        file: Its name.
        format: Key of the format.
        scores: How much it looks like each format, those above 0.
        records: Its first records.
        head: Some more of them, in numbers.
    """

    file: str
    format: str
    scores: dict[str, float]
    records: tuple[RecordReading, ...]
    head: HeadReading


def explain_file(events: EventStore, path: Path, *, settings: Settings, format_key: str | None = None) -> Explanation:
    """Says how the first records of a file are read.

    Raises:
        FormatError: The file has no record, or no format fits.
    """
    kind = sniff_kind(path)
    sample = read_sample(path, kind) if kind else []
    if kind is None or not sample:
        raise FormatError("No record can be read", path.name, "The first lines are not JSON objects or CSV rows.")
    log_format = choose_format(path, kind, format_key, settings=settings)
    # A cursor of its own: what parsing leaves behind on it goes with it.
    with closing(events.cursor().cursor()) as connection:
        connection.execute("SET VARIABLE received_at = ?::TIMESTAMP", [from_epoch(path.stat().st_mtime)])
        records = tuple(
            _explain(connection, log_format, record, number, settings)
            for number, record in enumerate(sample[:_RECORDS], start=1)
        )
        head = _read_head(connection, log_format, path, kind, settings)
    scores = {key: score for key, score in score_formats(sample, settings=settings).items() if score > 0}
    return Explanation(path.name, log_format.key, scores, records, head)


def list_fields(found: Sequence[Explanation]) -> list[dict[str, str | int]]:
    """The readings as one table, a row per field."""
    rows: list[dict[str, str | int]] = []
    for item in found:
        for record in item.records:
            yields = ", ".join(f"{count} {name}" for name, count in record.yields.items()) or "nothing"
            if record.refusal:
                yields = f"refused: {record.refusal['reason']} {record.refusal['field'] or ''}".rstrip()
            for field in record.fields:
                use = ", ".join(field.read_as) or ("kept" if field.is_kept else "not read")
                rows.append(
                    {
                        "file": item.file,
                        "format": item.format,
                        "record": record.line,
                        "yields": yields,
                        "field": field.field,
                        "value": field.value,
                        "read_as": "required" if field.is_required else use,
                    }
                )
    return rows


def _read_head(
    connection: Connection, log_format: LogFormat, path: Path, kind: Kind, settings: Settings
) -> HeadReading:
    chunk = next(read_chunks(path, kind, chunk_bytes=_HEAD_BYTES, is_final=True))
    lines = chunk.records.lines.slice(0, _HEAD_RECORDS)
    rejects = chunk.records.rejects
    if is_cut := lines.num_rows < chunk.records.lines.num_rows:
        last = lines["line_no"][-1].as_py()
        rejects = rejects.filter(pa.compute.less_equal(rejects["line_no"], last))
    _parse(connection, log_format, lines)
    refused = connection.execute("SELECT refusal.reason FROM parsed WHERE refusal IS NOT NULL").fetchall()
    refusals = Counter([*(reason for (reason,) in refused), *rejects["reason"].to_pylist()])
    counts = {
        name: connection.execute(f"SELECT count(*) FROM ({query})").fetchall()[0][0]
        for name, query in _list_queries(prepare_selects(connection, log_format, settings)).items()
    }
    yields = {name: count for name, count in counts.items() if count}
    read = lines.num_rows + rejects.num_rows
    return HeadReading(read, chunk.is_last and not is_cut, yields, dict(refusals.most_common()))


def _list_queries(of: Selects) -> dict[str, str]:
    """A format's SELECTs by table."""
    queries = {"turns": of.turns, "checks": of.checks, "check_scores": of.scores, "labels": of.labels}
    return {name: query for name, query in queries.items() if query}


def _parse(connection: Connection, log_format: LogFormat, lines: pa.Table) -> None:
    connection.register("lines", lines)
    connection.register("unreadable", REJECT_SCHEMA.empty_table())
    parse_lines(connection, log_format)


def _explain(
    connection: Connection, log_format: LogFormat, record: Mapping[str, Any], number: int, settings: Settings
) -> RecordReading:
    of = log_format.selects(settings)
    borrows = _NEIGHBOURS.search(" ".join([of.prepared, *_list_queries(of).values()]))
    paths = list(_leaves(record))[:_FIELDS]
    variants = [_without(record, path) for path in paths]
    whole = next(_read(connection, log_format, [record], settings))
    beside, *rests = _read(connection, log_format, [record, *variants], settings)
    fields = []
    for path, variant, rest in zip(paths, variants, rests, strict=True):
        # Some formats let a record's neighbours lend it a time, or continue it: only alone does it tell.
        if beside != whole or (rest == beside and borrows):
            rest = next(_read(connection, log_format, [variant], settings))
        changed = [] if rest.refusal else sorted(_differences(whole.rows, rest.rows))
        value = orjson.dumps(_get(record, path)).decode()
        fields.append(
            FieldReading(
                _name(path),
                value if len(value) <= 80 else value[:79] + "…",
                tuple(changed),
                is_required=bool(rest.refusal) and not whole.refusal,
                is_kept=not changed and rest.extra != whole.extra,
            )
        )
    yields = {name: len(rows) for name, rows in whole.rows.items() if rows}
    return RecordReading(number, whole.refusal, yields, tuple(fields))


@dataclass(frozen=True, slots=True)
class _Reading:
    """Rows by table, the refusal and the unknown keys of one record."""

    rows: dict[str, list[dict[str, Any]]]
    refusal: dict[str, str | None] | None
    extra: str | None


def _read(
    connection: Connection, log_format: LogFormat, records: Sequence[Mapping[str, Any]], settings: Settings
) -> Iterator[_Reading]:
    """Reads records as the lines of one log; what it costs hardly depends on their number."""
    size = max(1, _BATCH_BYTES // max(len(orjson.dumps(record)) for record in records))
    for start in range(0, len(records), size):
        batch = records[start : start + size]
        lines = [orjson.dumps(record).decode() for record in batch]
        _parse(connection, log_format, json_lines(list(range(1, len(lines) + 1)), lines))
        told = connection.execute("SELECT refusal, extra FROM parsed ORDER BY line_no").fetchall()
        queries = _list_queries(prepare_selects(connection, log_format, settings))
        rows = {name: _rows_by_line(connection, query) for name, query in queries.items()}
        for line, (refusal, extra) in enumerate(told, start=1):
            yield _Reading({name: lines.get(line, []) for name, lines in rows.items()}, refusal, extra)


def _rows_by_line(connection: Connection, query: str) -> dict[int, list[dict[str, Any]]]:
    frame = connection.sql(query).pl()
    order = [name for name in ("line_no", "item", "category_native") if name in frame.columns]
    lines: dict[int, list[dict[str, Any]]] = {}
    for line, row in zip(
        (ordered := frame.sort(order))["line_no"], ordered.drop(_UNREAD, strict=False).to_dicts(), strict=True
    ):
        lines.setdefault(line, []).append(row)
    return lines


def _differences(whole: dict[str, list[dict[str, Any]]], rest: dict[str, list[dict[str, Any]]]) -> Iterator[str]:
    for table, rows in whole.items():
        others = rest[table]
        if len(rows) != len(others):
            yield table
            continue
        yield from {
            f"{table}.{name}"
            for row, other in zip(rows, others, strict=True)
            for name in row
            if row[name] != other[name]
        }


def _leaves(node: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    items: list[tuple[str | int, Any]] = []
    if isinstance(node, Mapping):
        items = list(node.items())
    elif isinstance(node, list):
        items = list(enumerate(node[:_ITEMS]))
    if path and not items:
        yield path
    for key, child in items:
        yield from _leaves(child, (*path, key))


def _get(record: Any, path: tuple[str | int, ...]) -> Any:
    for key in path:
        record = record[key]
    return record


def _without(record: Mapping[str, Any], path: tuple[str | int, ...]) -> dict[str, Any]:
    """The record with the value at `path` taken out of its object, or null in its list."""
    changed = copy.deepcopy(dict(record))
    parent, key = _get(changed, path[:-1]), path[-1]
    if isinstance(key, int):
        parent[key] = None
    else:
        del parent[key]
    return changed


def _name(path: tuple[str | int, ...]) -> str:
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path).removeprefix(".")
