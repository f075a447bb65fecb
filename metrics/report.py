"""What a report is, and what one run of it yields."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

import polars as pl
from ibis.backends import BaseBackend

from core.clock import isoformat
from metrics.query import Query


def no_notes(_backend: BaseBackend, _query: Query) -> list[str]:
    """For reports whose rows need no remark."""
    return []


@dataclass(frozen=True, slots=True)
class Report:
    """One report's declaration.

    Attributes:
        key: Name on the command line; equals the module's name.
        title: What it shows, for a page.
        unit: What one counted thing is, e.g. "turn".
        better: Which direction is good, for colouring changes.
        description: What it means and how it is computed, in a sentence or two.
        source: Where the formula comes from.
        columns: Result columns besides the `by` columns, each with its meaning.
        dimensions: What `by` may name.
        compute: Events and query to rows; `by` columns first, rates as structs (`metrics.estimate.RATE`).
        remark: Sentences that a reader of these rows must know.
    """

    key: str
    title: str
    unit: str
    better: Literal["lower", "higher", "neither"]
    description: str
    source: str
    columns: dict[str, str]
    dimensions: tuple[str, ...]
    compute: Callable[[BaseBackend, Query], pl.DataFrame]
    remark: Callable[[BaseBackend, Query], list[str]] = no_notes


@dataclass(frozen=True, slots=True)
class ReportResult:
    """One run of a report.

    Attributes:
        report: The report's key.
        generated_at: When it ran, naive UTC.
        window: Start and end asked for; None = open.
        rows: The `by` columns, then the report's.
        coverage: How complete the window's data is (`metrics.coverage`).
        notes: Sentences that a reader of these rows must know.
    """

    report: str
    generated_at: datetime
    window: tuple[datetime | None, datetime | None]
    rows: pl.DataFrame
    coverage: dict[str, int | float | None]
    notes: list[str]

    def to_json(self) -> dict[str, object]:
        """The document of contract section 6: plain JSON values, times in ISO 8601, no NaN."""
        since, until = self.window
        return {
            "report": self.report,
            "generated_at": isoformat(self.generated_at),
            "window": {"since": plain(since), "until": plain(until)},
            "rows": [plain(row) for row in self.rows.to_dicts()],
            "coverage": plain(self.coverage),
            "notes": list(self.notes),
        }


def plain(value: object) -> object:
    """`value` as something that JSON can hold: times as text, NaN and infinities as null."""
    match value:
        case dict():
            return {str(key): plain(item) for key, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
        case datetime():
            return isoformat(value)
        case date():
            return value.isoformat()
        case float():
            return value if math.isfinite(value) else None
        case None | bool() | int() | str():
            return value
        case _:
            raise TypeError(f"no JSON for {type(value).__name__}")
