"""How a file would be read, field by field, without storing anything.

Formats are declared in SQL, so no list says which field becomes which column. It is found out instead: a record is read once
as it is, and once without each of its fields; what differs is what the field is for.
"""

from __future__ import annotations

import copy
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
from ingest.load import parse_lines, prepare_selects
from ingest.sources.files import read_sample, sniff_kind

_RECORDS, _FIELDS, _ITEMS = 3, 200, 3
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
class Explanation:
    """How a file would be read.

    Attributes:
        file: Its name.
        format: Key of the format.
        scores: How much it looks like each format, those above 0.
        records: Its first records.
    """

    file: str
    format: str
    scores: dict[str, float]
    records: tuple[RecordReading, ...]


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
    scores = {key: score for key, score in score_formats(sample, settings=settings).items() if score > 0}
    return Explanation(path.name, log_format.key, scores, records)


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


def _explain(
    connection: Connection, log_format: LogFormat, record: Mapping[str, Any], number: int, settings: Settings
) -> RecordReading:
    whole, refusal, extra = _read(connection, log_format, record, settings)
    fields = []
    for path in list(_leaves(record))[:_FIELDS]:
        rest, refused, rest_extra = _read(connection, log_format, _without(record, path), settings)
        changed = [] if refused else sorted(_differences(whole, rest))
        value = orjson.dumps(_get(record, path)).decode()
        fields.append(
            FieldReading(
                _name(path),
                value if len(value) <= 80 else value[:79] + "…",
                tuple(changed),
                is_required=bool(refused) and not refusal,
                is_kept=not changed and rest_extra != extra,
            )
        )
    return RecordReading(number, refusal, {name: len(rows) for name, rows in whole.items() if rows}, tuple(fields))


def _read(
    connection: Connection, log_format: LogFormat, record: Mapping[str, Any], settings: Settings
) -> tuple[dict[str, list[dict[str, Any]]], dict[str, str | None] | None, str | None]:
    line = pa.table({"line_no": pa.array([1], pa.int64()), "line": pa.array([orjson.dumps(record).decode()])})
    connection.register("lines", line)
    connection.register("unreadable", REJECT_SCHEMA.empty_table())
    parse_lines(connection, log_format)
    refusal, extra = connection.execute("SELECT refusal, extra FROM parsed").fetchall()[0]
    selects = prepare_selects(connection, log_format, settings)
    queries = {
        "turns": selects.turns,
        "checks": selects.checks,
        "check_scores": selects.scores,
        "labels": selects.labels,
    }
    rows = {
        name: connection.sql(query).pl().drop(_UNREAD, strict=False).to_dicts()
        for name, query in queries.items()
        if query
    }
    return rows, refusal, extra


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
