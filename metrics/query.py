"""What a report is asked: a window, filters, and the columns to group by."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from core.errors import UsageError
from core.settings import Settings

CHECK_DIMENSIONS = ("filter_name", "filter_version", "layer", "stage", "mode", "rule_id", "category")
TURN_DIMENSIONS = ("model", "app", "language", "outcome", "suite", "arm")
LABEL_DIMENSIONS = ("reviewer", "principle_id")
TIME_DIMENSIONS = ("hour", "day")
DIMENSIONS = (
    *CHECK_DIMENSIONS,
    "model",
    "app",
    "language",
    "outcome",
    *LABEL_DIMENSIONS,
    *TIME_DIMENSIONS,
    "suite",
    "arm",
)
DEFAULT_LAYERS: tuple[str, ...] = Settings.model_fields["layers"].default


@dataclass(frozen=True, slots=True)
class Query:
    """One question to a report. Hashable, so that it can key a cache.

    Attributes:
        by: Columns to group by, out of `DIMENSIONS`.
        since: Start of the window (inclusive), naive UTC; None = from the first event.
        until: End of the window (exclusive), naive UTC; None = to the last event.
        filters: Pairs (dimension, value); pairs of one dimension are alternatives, dimensions all apply.
            The empty value stands for "not logged".
        min_sample: Reviews below which a rate's estimate is null.
        confidence: Level of the intervals.
        layers: Layers in cascade order.
        field: What of a vote `agreement` compares.
        groups: Groups of reviewers, each a name and its members, within each of which `agreement` is measured; none = among
            everybody. Members are for computing, never for showing.
        pair: Reference and candidate of `shadow`, each `filter_name@version` or a filter's name; None = what runs in
            shadow against what is enforced.
        budget: Largest benign-blocked rate (0..1) that `thresholds` may recommend; None = it recommends none.
    """

    by: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    filters: tuple[tuple[str, str], ...] = ()
    min_sample: int = 5
    confidence: float = 0.95
    layers: tuple[str, ...] = DEFAULT_LAYERS
    field: str = "harmful"
    groups: tuple[tuple[str, tuple[str, ...]], ...] = ()
    pair: tuple[str, str] | None = None
    budget: float | None = None

    def columns(self) -> frozenset[str]:
        """Every dimension that the question names."""
        return frozenset(self.by) | {name for name, _ in self.filters}

    def alternatives(self) -> dict[str, tuple[str, ...]]:
        """Filter values by dimension, in the order given."""
        grouped: dict[str, tuple[str, ...]] = {}
        for name, value in self.filters:
            grouped[name] = (*grouped.get(name, ()), value)
        return grouped

    def of(self, *names: str) -> tuple[tuple[str, str], ...]:
        """Its filters on these dimensions."""
        return tuple(pair for pair in self.filters if pair[0] in names)

    def without(self, *names: str) -> tuple[tuple[str, str], ...]:
        """Its filters on all other dimensions."""
        return tuple(pair for pair in self.filters if pair[0] not in names)


def validate(query: Query, *, dimensions: tuple[str, ...], report: str) -> None:
    """Checks every name and value of a question.

    Raises:
        UsageError: A `by` column is unknown, repeated or not in `dimensions`; a filter is unknown or its
            value is not a time; the window is empty.
    """
    for name in query.by:
        if name not in dimensions:
            raise UsageError(f"{report} cannot be grouped by this", repr(name), f"Valid: {', '.join(dimensions)}.")
    if len(set(query.by)) != len(query.by):
        raise UsageError("A column is named twice", ", ".join(query.by), "Name each column once.")
    for name, value in query.filters:
        if name not in DIMENSIONS:
            raise UsageError("Unknown filter", repr(name), f"Valid: {', '.join(DIMENSIONS)}.")
        if name in TIME_DIMENSIONS:
            parse_period(name, value)
    if query.budget is not None and not 0 <= query.budget <= 1:
        raise UsageError("Not a budget", f"{query.budget:g}", "It is a share from 0 to 1, e.g. 0.01 for 1 %.")
    if query.since is not None and query.until is not None and query.since >= query.until:
        raise UsageError("The window is empty", f"{query.since} to {query.until}", "Let it end after it starts.")


def parse_period(name: str, value: str) -> datetime:
    """The start of the hour or day that a filter value names.

    Raises:
        UsageError: The value is not a time, or not the start of an hour or day.
    """
    try:
        start = datetime.fromisoformat(value.removesuffix("Z"))
    except ValueError as error:
        raise UsageError(f"Not a {name}", repr(value), "Use ISO 8601, e.g. 2026-03-02T09:00.") from error
    period = start.replace(minute=0, second=0, microsecond=0, tzinfo=None)
    period = period.replace(hour=0) if name == "day" else period
    if period != start:
        raise UsageError(f"Not the start of a {name}", repr(value), f"Use {period.isoformat()}.")
    return start


def previous_window(query: Query) -> tuple[datetime, datetime] | None:
    """The window of equal length just before the query's; None when the query's is open."""
    if query.since is None or query.until is None:
        return None
    length: timedelta = query.until - query.since
    return query.since - length, query.since


def is_whole_minutes(*moments: datetime | None) -> bool:
    """Whether per-minute rollups can answer exactly for what lies between these moments; None = open."""
    return all(moment is None or (moment.second == 0 and moment.microsecond == 0) for moment in moments)
