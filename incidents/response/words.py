"""How incidents speak: durations, moments and rates in sentences that leave the dashboard."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

NOT_YET = "not yet"


def say_duration(seconds: float | None) -> str:
    """`42 s`, `18 min`, `2 h 40 min`, `3 d 4 h`."""
    if seconds is None:
        return NOT_YET
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, hours, days = whole // 60 % 60, whole // 3600 % 24, whole // 86_400
    parts = [(days, "d"), (hours, "h"), (minutes if not days else 0, "min")]
    return " ".join(f"{number} {unit}" for number, unit in parts if number)


def say_moment(moment: datetime | None) -> str:
    """`2026-03-02 09:14 UTC`."""
    return NOT_YET if moment is None else f"{moment:%Y-%m-%d %H:%M} UTC"


def describe_clock(deadline: datetime, *, at: datetime) -> str:
    """`1 d 4 h left`, or `2 h late`."""
    left = (deadline - at).total_seconds()
    return f"{say_duration(left)} left" if left >= 0 else f"{say_duration(-left)} late"


def say_rate(rate: Mapping[str, Any] | None) -> str:
    """A rate record with interval and basis: `22.0 % (17.1 to 28.4 %), n 212`."""
    if rate is None or rate["estimate"] is None:
        return f"not enough reviews (n {rate['n'] if rate else 0:,})"
    low, high = rate["low"], rate["high"]
    return f"{rate['estimate']:.1%} ({low:.1%} to {high:.1%}), n {rate['n']:,}"


def say_number(count: Mapping[str, Any] | None) -> str:
    """An estimated number with its interval: `120 (90 to 150)`."""
    if count is None or count["estimate"] is None:
        return "not estimated: not enough reviews"
    return f"{count['estimate']:,.0f} ({count['low']:,.0f} to {count['high']:,.0f})"
