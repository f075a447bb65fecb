"""Logged text stays text, wherever it is shown."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from dashboard.text import inert, plain, write_out

MARKDOWN = MarkdownIt("gfm-like", {"html": True, "linkify": False})
JOINER = "\u2060"
DECEIVING = {"Cc", "Cf", "Co", "Cn", "Cs", "Zl", "Zp"}


def visible(text: str) -> str:
    """What a reader may see of `text`: no control or direction characters, single spaces."""
    kept = (
        " " if character in "\r\n\t" else character
        for character in text
        if character in "\r\n\t" or unicodedata.category(character) not in DECEIVING
    )
    return " ".join("".join(kept).split())


@given(st.text(max_size=70))
@example("![a](http://foreign.example/a.png)")
@example("<script>alert(1)</script>")
@example("# title\n- item\n> quote")
@example("**bold** _it_ `code` ~~no~~ $x^2$ | a | b |")
@example(":material/delete: :red[text] :smile:")
@example("1. one")
@example("&lt;b&gt; &amp;")
@example("\u202eevil\u202c \x00\x1b[31m")
def test_inert_renders_as_its_visible_characters(text: str) -> None:
    tokens = MARKDOWN.parse(f"before {inert(text)} after")
    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"]
    children = tokens[1].children or []
    assert {child.type for child in children} <= {"text", "text_special"}
    shown = "".join(child.content for child in children).replace(JOINER, "")
    assert shown == f"before {visible(text)} after"


@given(st.text(max_size=300), st.integers(min_value=1, max_value=100))
def test_inert_is_one_line_without_deceiving_characters(text: str, limit: int) -> None:
    shown = inert(text, limit=limit).replace(JOINER, "")
    assert not {unicodedata.category(character) for character in shown} & DECEIVING
    assert len(re.sub(r"\\(.)", r"\1", shown)) <= limit


@pytest.mark.parametrize("text", ["https://foreign.example", "www.foreign.example", "a@foreign.example", ":smile:"])
def test_addresses_and_emoji_names_are_broken_up(text: str) -> None:
    assert JOINER in inert(text)


@given(st.text(max_size=300))
def test_plain_writes_out_what_deceives(text: str) -> None:
    shown = plain(text)
    assert not {unicodedata.category(character) for character in shown} & DECEIVING
    assert len(shown) <= 200


@pytest.mark.parametrize("formula", ["=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1)"])
def test_plain_is_no_formula_in_a_spreadsheet(formula: str) -> None:
    assert plain(formula) == "'" + formula
    assert plain("-") == "-"


def test_plain_names_the_character() -> None:
    assert plain("a\u202eb") == "a⟨202E⟩b"
    assert plain(None) == ""
    assert write_out("a\n\x1bb") == "a\n⟨001B⟩b"
