"""Whose turn it is, in words."""

from __future__ import annotations

from datetime import datetime, timedelta

from dashboard.components.escalation import describe_turn, summarize_turns
from dashboard.theme import get_zone
from incidents.response.escalation import Turn

AT = datetime.fromisoformat("2026-03-02T09:00:00")
BERLIN = get_zone("Europe/Berlin")


def test_turns_say_who_was_told_and_who_is_next_in_the_reader_s_zone() -> None:
    turns = [
        Turn("on call", AT - timedelta(minutes=5), "told"),
        Turn("[lead](x)", AT + timedelta(minutes=10), "next"),
        Turn("director", AT + timedelta(hours=1), "later"),
    ]
    assert summarize_turns(turns, zone=BERLIN, at=AT) == (
        ":material/stairs: escalation · told: on call; next: \\[lead\\]\\(x\\) in 10 min, 10:10:00"
    )
    assert describe_turn(turns[2], zone=BERLIN, at=AT) == "then, 11:00:00"


def test_a_clock_that_stopped_says_so() -> None:
    turns = [Turn("on call", AT, "stopped")]
    assert "somebody took it up" in summarize_turns(turns, zone=BERLIN, at=AT)
