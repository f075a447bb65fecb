"""How things look: colours that colour-blind people can tell apart, and one format per kind of number and time.

Colours are Okabe and Ito's (2008), fixed per layer and per verdict in both themes. Related layers share a hue and
differ by dash, so that colour never carries meaning alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import polars as pl

ORANGE, SKY, GREEN, YELLOW = "#E69F00", "#56B4E9", "#009E73", "#F0E442"
BLUE, VERMILION, PURPLE, GREY = "#0072B2", "#D55E00", "#CC79A7", "#8C8C8C"
# For marks that stand for no layer or verdict: between blue and sky, readable on either background.
ACCENT = "#2F8DC2"
INK: Mapping[str, tuple[str, str]] = {"light": ("#18212B", "#5B6773"), "dark": ("#E3E8ED", "#A9B4BF")}

LAYER_COLOURS: Mapping[str, str] = {
    "keyword": ORANGE,
    "regex": ORANGE,
    "rule_engine": VERMILION,
    "classifier": SKY,
    "managed_api": SKY,
    "guard_llm": BLUE,
    "llm_judge": BLUE,
    "refinement": GREEN,
    "human": PURPLE,
    "other": GREY,
}
LAYER_DASHES: Mapping[str, tuple[int, ...]] = {"regex": (4, 3), "managed_api": (4, 3), "llm_judge": (4, 3)}
VERDICT_COLOURS: Mapping[str, str] = {
    "harmful": VERMILION,
    "benign": GREEN,
    "unsure": YELLOW,
    "not judged": GREY,
}
OUTCOME_COLOURS: Mapping[str, str] = {
    "pass": GREEN,
    "safe_completion": SKY,
    "refusal": ORANGE,
    "modified": BLUE,
    "human_escalation": PURPLE,
    "error": VERMILION,
    "not logged": GREY,
}
LAYER_TITLES: Mapping[str, str] = {
    "rule_engine": "rule engine",
    "managed_api": "managed API",
    "guard_llm": "guard LLM",
    "llm_judge": "LLM judge",
}
OUTCOME_TITLES: Mapping[str, str] = {
    "pass": "passed",
    "safe_completion": "safe completion",
    "human_escalation": "handed to a person",
}
BadgeColour = Literal["red", "orange", "green", "blue", "violet", "gray"]

MISSING = "–"


def get_ink(theme_type: str | None) -> tuple[str, str]:
    """Colours of text and of secondary text in charts, for the theme "light" or "dark"."""
    return INK.get(theme_type or "light", INK["light"])


def get_layer_colour(layer: str) -> str:
    """The layer's colour; grey for one that is not known."""
    return LAYER_COLOURS.get(layer, GREY)


def format_count(value: float | None) -> str:
    """`48,210`."""
    return MISSING if value is None else f"{value:,.0f}"


def format_percent(value: float | None) -> str:
    """A share (0..1) as a percentage with two significant digits below ten: `22 %`, `5.1 %`, `0.063 %`."""
    if value is None or math.isnan(value):
        return MISSING
    percent = value * 100
    if 99 <= percent < 100:
        # Never rounded up to everything.
        return f"{min(percent, 99.9):.1f} %"
    digits = 0 if percent == 0 or abs(percent) >= 9.95 else min(1 - math.floor(math.log10(abs(percent))), 4)
    return f"{percent:.{digits}f} %"


def format_rate(rate: Mapping[str, Any] | None) -> str:
    """A rate record as `22 % (17–28)`, or what is missing for one."""
    if rate is None or rate["estimate"] is None:
        return "not enough reviews"
    return f"{format_percent(rate['estimate'])} ({format_interval(rate)})"


def format_interval(rate: Mapping[str, Any]) -> str:
    """A rate record's interval in percent without the sign: `17–28`."""
    low, high = rate["low"], rate["high"]
    if low is None or high is None:
        return MISSING
    return f"{format_percent(low)[:-2]}–{format_percent(high)[:-2]}"


def format_points(value: float | None) -> str:
    """A difference of shares as percentage points: `+0.8 pp`."""
    if value is None or math.isnan(value):
        return MISSING
    points = value * 100
    digits = 1 if abs(points) >= 0.1 or points == 0 else 2
    return f"{points:+z.{digits}f} pp"


def format_duration(seconds: float | None) -> str:
    """A length of time in its largest sensible unit: `2 s`, `18 min`, `2 h 40 min`, `3 d 4 h`."""
    if seconds is None:
        return MISSING
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    if whole < 86_400:
        minutes = whole % 3600 // 60
        return f"{whole // 3600} h" + (f" {minutes} min" if minutes else "")
    hours = whole % 86_400 // 3600
    return f"{whole // 86_400} d" + (f" {hours} h" if hours and whole < 10 * 86_400 else "")


def format_ms(value: float) -> str:
    """Milliseconds, with two significant digits below ten: `0.62 ms`, `49 ms`, `1,240 ms`."""
    return f"{value:,.0f} ms" if value >= 9.95 else f"{value:.2g} ms"


def format_bytes(count: float) -> str:
    """`18.6 MB`."""
    for unit in ("B", "KB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def get_zone(name: str | None) -> ZoneInfo:
    """The reader's zone by name; UTC when the browser did not say or the name is unknown."""
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")


def to_local(value: datetime, zone: ZoneInfo) -> datetime:
    """A naive UTC time as the wall clock in `zone`, naive."""
    return value.replace(tzinfo=UTC).astimezone(zone).replace(tzinfo=None)


def localise(frame: pl.DataFrame, zone: ZoneInfo) -> pl.DataFrame:
    """`frame` with every naive UTC time column turned into the wall clock in `zone`, still naive."""
    times = [name for name, dtype in frame.schema.items() if isinstance(dtype, pl.Datetime)]
    return frame.with_columns(
        pl.col(name).dt.replace_time_zone("UTC").dt.convert_time_zone(zone.key).dt.replace_time_zone(None)
        for name in times
    )


def format_time(value: datetime | None, zone: ZoneInfo, *, relative_to: datetime | None = None) -> str:
    """A naive UTC time for the reader: `14:03:07` on the same local day as `relative_to`, else with its date."""
    if value is None:
        return MISSING
    local = to_local(value, zone)
    if relative_to is not None and to_local(relative_to, zone).date() == local.date():
        return f"{local:%H:%M:%S}"
    return f"{local:%Y-%m-%d %H:%M}"


def format_window(length: timedelta | None) -> str:
    """The length of a window: `24 h`, `7 d`."""
    if length is None:
        return "everything"
    hours = length.total_seconds() / 3600
    return f"{hours:g} h" if hours <= 48 else f"{hours / 24:.3g} d"
