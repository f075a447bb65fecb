"""What counts as obvious personal data."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from incidents.exports.personal_data import has_personal_data

FOUND = [
    "write to jo.smith+news@mail.corp.io today",
    "MAIL=Jo@Corp.DE",
    "call +49 170 1234567",
    "call +1 (415) 555-0134.",
    "call (415) 555-0134",
    "call 415-555-0134",
    "card 4111 1111 1111 1111",
    "card 5500-0000-0000-0004",
    "card 378282246310005",
    "host 8.8.8.8 answered",
    "host 2001:4860:4860::8888 answered",
]
NOT_FOUND = [
    "",
    None,
    "a plain sentence about 3 cats and 100 dogs",
    "write to user@example.com or root@host.invalid",
    "listens on 127.0.0.1, 0.0.0.0 and 192.168.1.1, and on ::1 and fe80::1",
    "the number 4111 1111 1111 1112 fails the check",
    "0000 0000 0000 0000",
    "call 1-800-273-8255, (888) 373-7888 or +1 866 331 9474",
    "version 1.2.3 of 2026-03-02 09:14:00",
    "at 12:30:45 std::vector a::b",
    "@someone, see 1,000,000 rows",
    "[EMAIL] and [PHONE] were masked",
]


@pytest.mark.parametrize("text", FOUND)
def test_found(text: str) -> None:
    assert has_personal_data(pl.Series([text])).to_list() == [True]


@pytest.mark.parametrize("text", NOT_FOUND)
def test_not_found(text: str | None) -> None:
    assert has_personal_data(pl.Series([text], dtype=pl.String)).to_list() == [False]


def test_each_text_is_judged_by_itself() -> None:
    texts = [*FOUND, *NOT_FOUND]
    assert has_personal_data(pl.Series(texts)).to_list() == [True] * len(FOUND) + [False] * len(NOT_FOUND)


@settings(deadline=None)
@given(st.integers(0, 10**15 - 1))
def test_a_card_number_is_found_and_its_neighbours_are_not(body: int) -> None:
    digits = f"4{body:015}"[:15]
    total = sum(int(digit) if index % 2 else sum(divmod(2 * int(digit), 10)) for index, digit in enumerate(digits))
    check = -total % 10
    texts = [f"{digits}{last}" for last in range(10)]
    found = has_personal_data(pl.Series(texts)).to_list()
    assert found == [last == check for last in range(10)]


@pytest.mark.parametrize(
    ("unit", "is_found"), [("a", False), ("1", False), ("1.", True), ("a:", False), ("+1", False), ("a@", False)]
)
def test_long_hostile_texts_are_judged(unit: str, is_found: bool) -> None:
    assert has_personal_data(pl.Series([unit * 50_000])).to_list() == [is_found]
