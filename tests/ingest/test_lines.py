"""Where lines end in a chunk of text, however large, and in what it is held."""

from __future__ import annotations

import random

import pytest

from ingest.sources.lines import split_lines


@pytest.mark.parametrize("hold", [bytes, bytearray])
def test_line_ends_of_a_large_chunk(hold: type[bytes | bytearray]) -> None:
    chance = random.Random(5)
    lines = [b'{"n": "%s"}' % (b"x" * chance.choice((1, 70_000))) for _ in range(60)]
    # A newline as the last byte of a piece, and one as the first of the next.
    lines[0] = b"y" * ((1 << 20) - 1)
    lines[1] = b""
    records = split_lines(hold(b"\n".join(lines) + b"\n"), first_line=3)
    assert records.line_count == 60
    found = zip(records.lines["line_no"].to_pylist(), records.lines["line"].to_pylist(), strict=True)
    assert [(number, line.rstrip("\n").encode()) for number, line in found] == [
        (number, line) for number, line in enumerate(lines, start=3) if line
    ]


@pytest.mark.parametrize("hold", [bytes, bytearray])
def test_a_line_that_is_not_utf8_is_rejected_alone(hold: type[bytes | bytearray]) -> None:
    records = split_lines(hold(b'{"a": 1}\n{"b": "\xff"}\n{"c": 3}'), first_line=1)
    assert records.lines["line"].to_pylist() == ['{"a": 1}\n', '{"c": 3}']
    assert records.rejects.to_pylist()[0]["line_no"] == 2
