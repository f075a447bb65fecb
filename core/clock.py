"""Time: the only place that asks what time it is. All times are naive UTC `datetime`."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from core.errors import UsageError

EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  naive UTC, as all times here
MONDAY_S = 4 * 86_400
"""Seconds from `EPOCH` to the start of the first week after it: windows are counted from there."""
_RELATIVE = re.compile(r"^(\d+)\s*([smhdw])$")
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def now() -> datetime:
    """The present moment as naive UTC."""
    return datetime.now(UTC).replace(tzinfo=None)


def from_epoch(seconds: float) -> datetime:
    """Seconds since 1970 as naive UTC."""
    return EPOCH + timedelta(seconds=seconds)


def to_utc(value: datetime) -> datetime:
    """`value` as naive UTC; a naive value is taken as UTC already."""
    return value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value


def parse_when(text: str, *, relative_to: datetime | None = None) -> datetime:
    """A point in time from ISO 8601 (`2026-03-02T09:14Z`, `2026-03-02`) or an age (`24h`, `7d`).

    Args:
        text: What the user typed.
        relative_to: The moment that an age counts back from; the present one when None.

    Returns:
        Naive UTC.

    Raises:
        UsageError: The text is neither.
    """
    match = _RELATIVE.match(text.strip())
    if match:
        seconds = int(match.group(1)) * _UNIT_S[match.group(2)]
        return (relative_to or now()) - timedelta(seconds=seconds)
    try:
        return to_utc(datetime.fromisoformat(text.strip()))
    except ValueError as error:
        raise UsageError("Not a time", repr(text), "Use ISO 8601 (2026-03-02T09:14Z) or an age (24h, 7d).") from error


def isoformat(value: datetime) -> str:
    """`value` as ISO 8601 with `Z`."""
    return value.isoformat() + "Z"
