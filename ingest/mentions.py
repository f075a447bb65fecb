"""Which lines of a log speak of a person, a conversation or a turn, or repeat their texts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import polars as pl

MIN_TEXT = 12
"""Characters from which on a text tells whose it is."""


class Mentions:
    """What to look for.

    Args:
        ids: Ids of people, conversations and turns.
        texts: Texts of theirs; short ones are left out, since "yes" is everybody's.
    """

    def __init__(self, ids: Sequence[str], texts: Sequence[str]) -> None:
        self._ids = frozenset(filter(None, ids))
        self._texts = tuple(dict.fromkeys(text for text in texts if len(text) >= MIN_TEXT))
        self.needles = sorted({form for text in (*self._ids, *self._texts) for form in written_forms(text)})

    def find(self, lines: Sequence[str]) -> list[int]:
        """Positions of the lines that mention any of it."""
        if not self.needles or not lines:
            return []
        # One pass over all of them first: most lines mention nothing.
        near = pl.Series(lines, dtype=pl.String).str.contains_any(self.needles)
        return [position for position in near.arg_true().to_list() if self._is_meant(lines[position])]

    def _is_meant(self, line: str) -> bool:
        try:
            leaves = list(_leaves(msgspec.json.decode(line)))
        except (msgspec.DecodeError, RecursionError):
            # A broken line, or a row of CSV: whole words only, so that u-1 is not found in u-17.
            words = (rf"(?<![\w-]){re.escape(form)}(?![\w-])" for key in self._ids for form in written_forms(key))
            return any(form in line for text in self._texts for form in written_forms(text)) or any(
                re.search(word, line) for word in words
            )
        return any(leaf in self._ids or any(text in leaf for text in self._texts) for leaf in leaves)


def written_forms(text: str) -> set[str]:
    """How a text may stand in a file: as it is, and as JSON writes it."""
    return {text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1], text.replace('"', '""')}


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield str(key)
            yield from _leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner)
    elif isinstance(value, str):
        yield value
        if value[:1] in ("{", "["):  # JSON within JSON, as some gateways log it
            try:
                yield from _leaves(msgspec.json.decode(value))
            except (msgspec.DecodeError, RecursionError):
                return
    elif value is not None:
        yield str(value)
