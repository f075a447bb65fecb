"""Bodies of logged text on the triage page: inert, visible, capped, honest about what is left out."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from dashboard.components.triage_text import DISPLAY_LIMIT, describe_masked, excerpt, reveal_hidden

INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
JOINERS = "\u200c\u200d"


@given(st.text(st.characters(codec=None), max_size=200))
def test_nothing_invisible_stays(text: str) -> None:
    shown = reveal_hidden(text)
    hidden = [c for c in shown if unicodedata.category(c) in INVISIBLE and c not in "\n\t" + JOINERS]
    assert hidden == []


@given(st.text(st.characters(categories=["L", "N", "P", "S", "Zs", "M"]), max_size=200))
def test_visible_text_is_unchanged(text: str) -> None:
    assert reveal_hidden(text) == text


def test_markup_is_left_to_the_widget_that_shows_it_as_text() -> None:
    hostile = "<img src=x onerror=alert(1)> ![x](http://evil.example/x.png) **bold**"
    assert reveal_hidden(hostile) == hostile


def test_each_kind_of_hidden_character_is_written_out() -> None:
    assert reveal_hidden("a\x00b\x1b[31mc\x7f") == "a[U+0000]b[U+001B][31mc[U+007F]"
    assert reveal_hidden("ab\u202egnp.exe") == "ab[U+202E]gnp.exe"
    assert reveal_hidden("k\u200dill, \ufeffstart, tag\U000e0041") == "k[U+200D]ill, [U+FEFF]start, tag[U+E0041]"
    assert reveal_hidden("lone \ud800") == "lone [U+D800]"
    assert reveal_hidden("one\r\ntwo\rthree") == "one\ntwo[U+000D]three"


def test_joiners_that_scripts_and_emoji_need_stay() -> None:
    family, persian = "\U0001f468\u200d\U0001f469", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"
    assert reveal_hidden(family) == family
    assert reveal_hidden(persian) == persian


def test_a_megabyte_is_cut_and_says_so() -> None:
    part = excerpt("x" * 1_048_576)
    assert (len(part.text), part.shown, part.total) == (DISPLAY_LIMIT, DISPLAY_LIMIT, 1_048_576)
    assert part.note() == "Shown: the first 20,000 of 1,048,576 characters."
    assert not part.is_whole


def test_a_text_of_which_only_the_beginning_is_at_hand_says_so() -> None:
    assert excerpt("abc", total=10).note() == "Shown: the first 3 of 10 characters."
    assert excerpt("abc").note() == ""


def test_a_masked_text_tells_its_size_only() -> None:
    assert describe_masked("secret", total=6) == "6 characters"
    assert describe_masked("s", total=1) == "1 character"
    assert describe_masked("two\nlines", total=1_048_576) == "1,048,576 characters, 2 lines"
