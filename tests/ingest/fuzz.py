"""Log lines as broken software, broken disks and attackers write them: seeded, so that every line can be had again."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

Mutation = Callable[[bytes, random.Random], bytes]

_NUMBERS = ("NaN", "Infinity", "-Infinity", "1e999", "-0", "9" * 400, "-" + "9" * 40, "1" + "0" * 18, "0.1e-400", "007")
_TEXTS = (
    "\\ud800",
    "\\udfff\\ud800",
    "\\u0000",
    "a\\u0000b",
    "\\ufeff",
    "\\u202e",
    "\\u001b[2J",
    "'; DROP TABLE checks; --",
    "{{x}}",
    "=1+1",
)
_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 2**63, -(2**63) - 1, 2**200, 1.5, "", " ", "x" * 3000, [], {}, [[]], [None], {"": {}}, [{}, {}],
    "2026-13-45T99:99:99Z", "0000-00-00", "99999-01-01T00:00:00Z", "1e5", "true", "\u2028", "\x7f", "\U0001f600" * 9,
)  # fmt: skip


def flip_bits(line: bytes, chance: random.Random) -> bytes:
    """A few bits turned over."""
    changed = bytearray(line)
    for _ in range(chance.randrange(1, 6)):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def nest(line: bytes, chance: random.Random) -> bytes:
    """The record, or a value of it, hundreds to thousands of levels deep."""
    depth = chance.choice([64, 500, 1500, 5000])
    opening, closing = chance.choice([(b"[", b"]"), (b'{"a":', b"}")])
    deep = opening * depth + b"1" + closing * depth
    return deep if chance.random() < 0.3 else _replace_value(line, deep, chance)


def put_number(line: bytes, chance: random.Random) -> bytes:
    """A number that JSON does not have, or no machine."""
    return _replace_value(line, chance.choice(_NUMBERS).encode(), chance)


def put_text(line: bytes, chance: random.Random) -> bytes:
    """A lone surrogate, NUL, or what some reader takes for a command."""
    return _replace_value(line, b'"' + chance.choice(_TEXTS).encode() + b'"', chance)


def put_value(line: bytes, chance: random.Random) -> bytes:
    """A value of another type, or out of range."""
    return _replace_value(line, json.dumps(chance.choice(_VALUES), ensure_ascii=chance.random() < 0.5).encode(), chance)


def drop_key(line: bytes, chance: random.Random) -> bytes:
    """The record without one of its keys, or with one twice."""
    record = json.loads(line)
    name = chance.choice(list(record))
    value = record.pop(name)
    text = json.dumps(record).encode()
    twice = json.dumps({name: value}).encode()[1:-1]
    return text if chance.random() < 0.6 or len(text) < 3 else text[:-1] + b", " + twice + b", " + twice + b"}"


def put_raw(line: bytes, chance: random.Random) -> bytes:
    """NUL, control characters, a byte order mark or a carriage return anywhere."""
    raw = chance.choice([b"\0", b"\x01", b"\x1b", b"\xef\xbb\xbf", b"\r", b"\r\n", b"\x85", b"\xe2\x80\xa8", b"\x7f"])
    at = chance.choice([0, len(line), chance.randrange(len(line))])
    return line[:at] + raw + line[at:]


def encode_otherwise(line: bytes, chance: random.Random) -> bytes:
    """The line, or its tail, in another encoding than UTF-8."""
    text = line.decode() + chance.choice(["", "\u00e9", "\u6f22", "\u20ac"])
    encoding = chance.choice(["latin-1", "utf-16-le", "utf-16", "cp1252", "shift-jis", "utf-7"])
    other = text.encode(encoding, "replace").replace(b"\n", b" ")
    at = chance.choice([0, len(line) // 2])
    return line[:at] + (other[at:] or other)


def cut(line: bytes, chance: random.Random) -> bytes:
    """A part of the line, or two lines run together."""
    if chance.random() < 0.5:
        return line[: chance.randrange(1, len(line))]
    return line + line[chance.randrange(len(line)) :]


def leave(line: bytes, _chance: random.Random) -> bytes:
    """The line as it was: a good one among bad ones, and a copy of others."""
    return line


MUTATIONS: tuple[Mutation, ...] = (
    flip_bits, nest, put_number, put_text, put_value, put_value, drop_key, put_raw, encode_otherwise, cut, leave,
)  # fmt: skip


def write_lines(sample: list[bytes], count: int, chance: random.Random) -> Iterator[bytes]:
    """`count` mutated lines of a sample, each with its newline; a mutation may have put more of them inside."""
    for _ in range(count):
        line = chance.choice(sample)
        for _ in range(1 if chance.random() < 0.8 else 2):
            try:
                line = chance.choice(MUTATIONS)(line, chance) or line
            except (
                ValueError,
                TypeError,
                LookupError,
                AttributeError,
                RecursionError,
            ):  # what is no record any more is mutated as it is
                line = flip_bits(line, chance)
        yield line + (b"\r\n" if chance.random() < 0.05 else b"\n")


def _replace_value(line: bytes, value: bytes, chance: random.Random) -> bytes:
    """Puts raw JSON in the place of some value at some depth of the record."""
    record = json.loads(line)
    mark = "\u2603mark\u2603"
    at: Any = record
    while True:
        keys = list(at) if isinstance(at, dict) else list(range(len(at)))
        key = chance.choice(keys)
        inner = at[key]
        if isinstance(inner, dict | list) and inner and chance.random() < 0.7:
            at = inner
            continue
        at[key] = mark
        return json.dumps(record).encode().replace(json.dumps(mark).encode(), value)
