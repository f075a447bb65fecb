"""How each kind of alert rule judges windows: what it asks of the stores, and how surprising is surprising."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl
import sqlalchemy as sa
from sqlmodel import col, select

from core.errors import ConfigError
from core.events import EventStore
from core.records import RecordStore
from core.settings import AlertRule
from incidents.enums import OpenedBy
from incidents.models import Case
from incidents.opening import MIRROR_SOURCE
from metrics.alarms import queries, rates, shares
from metrics.alarms.grid import SCHEMA, Grid, build_grid, build_source_grid, build_turn_grid
from metrics.query import DIMENSIONS, Query

WEEK_MIN = 7 * 1440


@dataclass(frozen=True, slots=True)
class Context:
    """What a rule is judged on: the stores, the rule, and the ends of consecutive windows, ascending."""

    events: EventStore
    records: RecordStore
    rule: AlertRule
    ends: Sequence[datetime]
    limit: float

    @property
    def query(self) -> Query:
        """The rule's filters as a question."""
        return Query(filters=parse_filters(self.rule))

    @property
    def window_s(self) -> int:
        """Length of a window, seconds."""
        return self.rule.window_min * 60


def parse_filters(rule: AlertRule) -> tuple[tuple[str, str], ...]:
    """A rule's filters as pairs.

    Raises:
        ConfigError: One is not dimension=value.
    """
    pairs = []
    for text in rule.filters:
        name, equals, value = text.partition("=")
        if not equals or name not in DIMENSIONS:
            raise ConfigError(
                "An alert's filter cannot be read",
                f"alerts: {rule.name}: {text!r}",
                f"Write dimension=value; dimensions: {', '.join(DIMENSIONS)}.",
            )
        pairs.append((name, value))
    return tuple(pairs)


def find_chance(rule: AlertRule) -> float:
    """Chance of a false breach per window, so that `windows` in a row are as rare as the rule asks."""
    per_window: float = (rule.false_alarms_per_week * rule.window_min / WEEK_MIN) ** (1 / rule.windows)
    return min(per_window, 0.1)


def judge_rate(context: Context) -> pl.DataFrame:
    """Trigger rates of filters and rules that moved."""
    grid = build_grid(
        context.events.backend(),
        context.query,
        context.ends,
        window_s=context.window_s,
        rules=True,
        in_force_only=True,
    )
    return rates.judge_rate_change(
        grid,
        effect=context.limit,
        chance=find_chance(context.rule),
        in_a_row=context.rule.windows,
        find_conversations=lambda: queries.count_conversations(
            context.events, context.query, context.ends, window_s=context.window_s
        ),
    )


def judge_silence(context: Context) -> pl.DataFrame:
    """Filters that check and trigger on nothing."""
    grid, chance = _grid_of_filters(context, in_force_only=True)
    return rates.judge_silence(grid, chance=min(chance, context.limit))


def judge_no_data(context: Context) -> pl.DataFrame:
    """Filters that ran no check, and all of them together."""
    grid, chance = _grid_of_filters(context)
    return shares.judge_no_data(grid, least=context.limit, chance=chance)


def judge_no_turns(context: Context) -> pl.DataFrame:
    """Model logs that told of no turn."""
    grid = build_turn_grid(context.events, context.query, context.ends, window_s=context.window_s)
    return shares.judge_no_turns(grid, least=context.limit, chance=find_chance(context.rule))


def judge_source_stopped(context: Context) -> pl.DataFrame:
    """Sources that brought nothing."""
    grid = build_source_grid(context.events.backend(), context.ends, window_s=context.window_s, leave_out=MIRROR_SOURCE)
    return shares.judge_source_stopped(grid, least=context.limit, chance=find_chance(context.rule))


def judge_errors(context: Context) -> pl.DataFrame:
    """Filters whose checks failed."""
    grid, chance = _grid_of_filters(context)
    return shares.judge_error_share(grid, limit=context.limit, chance=chance)


def judge_coverage(context: Context) -> pl.DataFrame:
    """Filters whose checks did not decide."""
    grid, chance = _grid_of_filters(context)
    return shares.judge_coverage(grid, limit=context.limit, chance=chance)


def _grid_of_filters(context: Context, *, in_force_only: bool = False) -> tuple[Grid, float]:
    """Counts by filter, and the chance of a false breach that each of them may have in a window."""
    grid = build_grid(
        context.events.backend(),
        context.query,
        context.ends,
        window_s=context.window_s,
        rules=False,
        in_force_only=in_force_only,
    )
    return grid, find_chance(context.rule) / max(1, grid.subjects.height)


def judge_each(
    judge: Callable[[Context, datetime, timedelta], pl.DataFrame],
) -> Callable[[Context], pl.DataFrame]:
    """A judge that asks the stores once per window."""

    def run(context: Context) -> pl.DataFrame:
        window = timedelta(seconds=context.window_s)
        return pl.concat([judge(context, end, window) for end in context.ends])

    return run


def judge_backlog(context: Context) -> pl.DataFrame:
    """How long the oldest escalation had waited for a person at the end of each window; of all filters."""
    handed_on_at = sa.func.coalesce(col(Case.escalated_at), col(Case.opened_at))
    is_escalation = sa.or_(col(Case.opened_by) == OpenedBy.ESCALATION.value, col(Case.escalated_at).is_not(None))
    with context.records.session() as session:
        spans = session.exec(select(handed_on_at, Case.acked_at).where(is_escalation)).all()
    rows: list[dict[str, object]] = []
    for end in context.ends:
        waits = [(end - start).total_seconds() / 60 for start, acked in _open_at(spans, end)]
        oldest = max(waits, default=0.0)
        rows.append(
            {
                "end": end,
                "is_breached": oldest > context.limit,
                "observed": oldest,
                "expected": context.limit,
                "trials": float(len(waits)),
            }
        )
    return pl.DataFrame(rows, schema=SCHEMA)


def _open_at(
    spans: Iterable[tuple[datetime, datetime | None]], end: datetime
) -> list[tuple[datetime, datetime | None]]:
    return [(start, acked) for start, acked in spans if start <= end and (acked is None or acked > end)]
