"""Logged text as a person may safely read it: inert, capped, with nothing hidden."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

DISPLAY_LIMIT = 20_000
_KEPT = frozenset("\n\t")
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
_JOINERS = frozenset("\u200c\u200d")


@dataclass(frozen=True, slots=True)
class Excerpt:
    """The part of a text that a page shows.

    Attributes:
        text: What to show, every character visible and inert.
        shown: Characters of the original that are shown.
        total: Characters of the original.
    """

    text: str
    shown: int
    total: int

    @property
    def is_whole(self) -> bool:
        """Nothing was left out."""
        return self.shown == self.total

    def note(self) -> str:
        """A sentence on what was left out; "" when nothing was."""
        return "" if self.is_whole else f"Shown: the first {self.shown:,} of {self.total:,} characters."


def reveal_hidden(text: str) -> str:
    """`text` with each control, bidirectional, zero-width or unpaired character written out.

    Line breaks and tabs stay, and so do joiners inside scripts and emoji that need them; any other becomes its
    code point in brackets. Text cannot be reordered or hidden on screen, and a reviewer sees an attempt
    (Unicode TR 36, section 2.5; Boucher and Anderson 2021, "Trojan Source").
    """
    unbroken = text.replace("\r\n", "\n")
    if unbroken.isascii() and unbroken.isprintable():
        return unbroken
    return "".join(_written_out(character, before) for before, character in zip(" " + unbroken, unbroken, strict=False))


def _written_out(character: str, before: str) -> str:
    if character in _KEPT or unicodedata.category(character) not in _INVISIBLE:
        return character
    if character in _JOINERS and not before.isascii():
        return character
    return f"[U+{ord(character):04X}]"


def excerpt(text: str, *, total: int | None = None, limit: int = DISPLAY_LIMIT) -> Excerpt:
    """The first `limit` characters of `text`, made visible; a browser stays quick whatever was logged.

    Args:
        text: What is at hand.
        total: Characters of the original, where `text` is only its beginning.
        limit: Most characters to show.
    """
    return Excerpt(reveal_hidden(text[:limit]), min(len(text), limit), len(text) if total is None else total)


def describe_masked(text: str, *, total: int) -> str:
    """What a masked text of `total` characters is like without a word of it."""
    lines = text.count("\n") + 1
    size = f"{total:,} character{'' if total == 1 else 's'}"
    return size if lines == 1 else f"{size}, {lines:,} lines"
