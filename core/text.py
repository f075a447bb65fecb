"""Logged text is hostile: these functions make it harmless wherever something would interpret it: a page, a document, a spreadsheet.

`inert` is for every place that reads Markdown (labels, buttons, metrics, badges, captions, help). `plain` is for
places that show text as it is (`st.text`, table cells, chart labels), where only invisible characters deceive.
"""

from __future__ import annotations

import re
import unicodedata

_ESCAPED = re.compile(r"([!-/:-@\[-`{-~])")
# Addresses and emoji names are found in the parsed text, after escapes are gone: an invisible character
# between their parts keeps them text.
_LINKED = re.compile(r"(?<=[:@])|(?<=www)(?=\.)", re.IGNORECASE)
_JOINER = "\u2060"
_HIDDEN = frozenset({"Cc", "Cf", "Co", "Cn", "Cs", "Zl", "Zp"})


def inert(text: object, *, limit: int = 80) -> str:
    """`text` as Markdown that renders as exactly its visible characters, on one line, at most `limit` of them.

    Args:
        text: Anything logged; None becomes an empty string.
        limit: Characters kept; a longer text ends in an ellipsis.
    """
    visible = " ".join(_drop_hidden("" if text is None else str(text)[: 4 * limit]).split())
    return _ESCAPED.sub(r"\\\1", _LINKED.sub(_JOINER, _shorten(visible, limit)))


def plain(text: object, *, limit: int = 200) -> str:
    """`text` for a table cell or chart label: one line, control and direction characters written out as `⟨202E⟩`.

    A table can be downloaded as CSV, and a spreadsheet takes `=`, `+`, `-` and `@` for the start of a formula: a quote
    before them makes the cell text.

    Args:
        text: Anything logged; None becomes an empty string.
        limit: Characters kept; a longer text ends in an ellipsis.
    """
    shown = "" if text is None else str(text)[: 4 * limit]
    shown = " ".join(shown.replace("\r", " ").replace("\n", " ").replace("\t", " ").split(" "))
    guard = "'" if len(shown) > 1 and shown[0] in "=+-@" else ""
    return _shorten(guard + "".join(_write_out(character) for character in shown), limit)


def write_out(text: str) -> str:
    """`text` for `st.code`: lines and tabs stay, other control and direction characters are written out."""
    return "".join(character if character in "\n\t" else _write_out(character) for character in text)


def _drop_hidden(text: str) -> str:
    return "".join(
        " " if character in "\r\n\t" else character
        for character in text
        if character in "\r\n\t" or unicodedata.category(character) not in _HIDDEN
    )


def _write_out(character: str) -> str:
    return f"⟨{ord(character):04X}⟩" if unicodedata.category(character) in _HIDDEN else character


def _shorten(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
