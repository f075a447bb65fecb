"""Messages of OpenTelemetry's protocol as JSON lines, a span or a log record each, as its JSON encoding writes them.

Protobuf's own JSON writer takes three times as long as all the rest of an export, and leaves one line for hundreds of spans.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import orjson
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

_HEXADECIMAL = frozenset(("trace_id", "span_id", "parent_span_id"))
_LARGE = frozenset(
    (
        FieldDescriptor.TYPE_INT64,
        FieldDescriptor.TYPE_UINT64,
        FieldDescriptor.TYPE_SINT64,
        FieldDescriptor.TYPE_FIXED64,
        FieldDescriptor.TYPE_SFIXED64,
    )
)
# What a line repeats of its resource and scope is at most this many times its own text, which bounds what a message grows to.
_MOST_FRAME = 4

Convert = Callable[[Any], Any]


class Levels(NamedTuple):
    """The names of a message's repeated fields: what it holds for each resource, for each scope, and the records."""

    resources: str
    scopes: str
    records: str


def write_lines(message: Message, levels: Levels) -> Iterator[bytes]:
    """The JSON lines of an export, each a whole message of its own; records share one where a resource outweighs them."""
    resources, scopes, records = (camel(name) for name in levels)
    for resource in getattr(message, levels.resources):
        of_resource = _members(resource, but=levels.scopes)
        for scope in getattr(resource, levels.scopes):
            of_scope = _members(scope, but=levels.records)
            opening = f'{{"{resources}":[{{'.encode() + of_resource + f'"{scopes}":[{{'.encode() + of_scope
            opening += f'"{records}":['.encode()
            least = len(of_resource + of_scope) // _MOST_FRAME
            waiting: list[bytes] = []
            size = 0
            for record in getattr(scope, levels.records):
                text = orjson.dumps(_object(record))
                waiting.append(text)
                size += len(text)
                if size >= least:
                    yield opening + b",".join(waiting) + b"]}]}]}"
                    waiting, size = [], 0
            if waiting:
                yield opening + b",".join(waiting) + b"]}]}]}"


def _members(message: Message, *, but: str) -> bytes:
    """The members of a message as JSON, each with a comma behind it; the field `but` is left out."""
    text = orjson.dumps(_object(message, but))[1:-1]
    return text + b"," if text else b""


def _object(message: Message, but: str = "") -> dict[str, Any]:
    known = _CONVERTERS
    found = {}
    for field, value in message.ListFields():
        entry = known.get(field)
        if entry is None:
            entry = known[field] = (field.json_name, _converter(field))
        if field.name != but:
            found[entry[0]] = entry[1](value)
    return found


_CONVERTERS: dict[FieldDescriptor, tuple[str, Convert]] = {}


def _converter(field: FieldDescriptor) -> Convert:
    convert = _single(field)
    return (lambda values: [convert(value) for value in values]) if field.is_repeated else convert


def _single(field: FieldDescriptor) -> Convert:
    if field.message_type is not None:
        return {"KeyValue": _key_value, "AnyValue": _any_value}.get(field.message_type.name, _object)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return bytes.hex if field.name in _HEXADECIMAL else _base64
    if field.type in _LARGE:
        return str
    return _double if field.type in (FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT) else _same


def _key_value(message: Any) -> dict[str, Any]:
    # Most of a message is attributes, most of them text: they do not go the general way.
    return {"key": message.key, "value": _any_value(message.value)}


def _any_value(message: Any) -> dict[str, Any]:
    if message.WhichOneof("value") == "string_value":
        return {"stringValue": message.string_value}
    return _object(message)


def _same(value: Any) -> Any:
    return value


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _double(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def camel(name: str) -> str:
    """A field's name as JSON writes it."""
    first, *rest = name.split("_")
    return first + "".join(part.title() for part in rest)
