"""What an alert rule can watch. Adding a kind is an entry in `KINDS` and its name in `core.settings.AlertRule`."""

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
from core.registry import Registry
from core.settings import AlertRule
from incidents.alerts import sentences
from incidents.alerts.judgement import Judgement
from incidents.enums import OpenedBy
from incidents.models import Case
from metrics.alarms import queries, rates, shares
from metrics.alarms.grid import SCHEMA, Grid, build_grid, build_turn_grid
from metrics.query import DIMENSIONS, Query

_WEEK_MIN = 7 * 1440


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


@dataclass(frozen=True, slots=True)
class AlertKind:
    """One thing that a rule can watch.

    Attributes:
        key: Name in `weir.toml`.
        title: For pages.
        description: When it breaches.
        limit: The limit's default.
        limit_means: What the limit is, with its unit.
        page: Page that shows what is behind it.
        lookback_min: Minutes before the end of the breaching window that the page should show; None = the window.
        has_false_alarm_rate: It keeps to the rule's `false_alarms_per_week`.
        judge: Judgements (`metrics.alarms.grid.SCHEMA`) of the windows.
        say: Sentence about one judgement under a limit, after the subject's name.
    """

    key: str
    title: str
    description: str
    limit: float
    limit_means: str
    page: str
    lookback_min: int | None
    has_false_alarm_rate: bool
    judge: Callable[[Context], pl.DataFrame]
    say: Callable[[Judgement, float], str]


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


def get_limit(rule: AlertRule) -> float:
    """Where the rule breaches: its own limit, or its kind's."""
    return KINDS[rule.kind].limit if rule.limit is None else rule.limit


def say(rule: AlertRule, found: Judgement) -> str:
    """What an alert of this rule says about one judgement, after the subject's name."""
    return KINDS[rule.kind].say(found, get_limit(rule))


def judge_rule(events: EventStore, records: RecordStore, rule: AlertRule, ends: Sequence[datetime]) -> list[Judgement]:
    """What the rule says about every subject in every window, in order of subject and time."""
    rows = KINDS[rule.kind].judge(Context(events, records, rule, ends, get_limit(rule)))
    keys = ("filter_name", "rule_id", "end")
    return [Judgement(**row) for row in rows.sort(keys, nulls_last=False).iter_rows(named=True)]


def _chance(rule: AlertRule) -> float:
    """Chance of a false breach per window, so that `windows` in a row are as rare as the rule asks."""
    per_window: float = (rule.false_alarms_per_week * rule.window_min / _WEEK_MIN) ** (1 / rule.windows)
    return min(per_window, 0.1)


def _judge_rate(context: Context) -> pl.DataFrame:
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
        chance=_chance(context.rule),
        in_a_row=context.rule.windows,
        find_conversations=lambda: queries.count_conversations(
            context.events, context.query, context.ends, window_s=context.window_s
        ),
    )


def _judge_silence(context: Context) -> pl.DataFrame:
    grid, chance = _grid_of_filters(context, in_force_only=True)
    return rates.judge_silence(grid, chance=min(chance, context.limit))


def _judge_no_data(context: Context) -> pl.DataFrame:
    grid, chance = _grid_of_filters(context)
    return shares.judge_no_data(grid, least=context.limit, chance=chance)


def _judge_no_turns(context: Context) -> pl.DataFrame:
    grid = build_turn_grid(context.events, context.query, context.ends, window_s=context.window_s)
    return shares.judge_no_turns(grid, least=context.limit, chance=_chance(context.rule))


def _judge_errors(context: Context) -> pl.DataFrame:
    grid, chance = _grid_of_filters(context)
    return shares.judge_error_share(grid, limit=context.limit, chance=chance)


def _judge_coverage(context: Context) -> pl.DataFrame:
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
    return grid, _chance(context.rule) / max(1, grid.subjects.height)


def _judge_each(
    judge: Callable[[Context, datetime, timedelta], pl.DataFrame],
) -> Callable[[Context], pl.DataFrame]:
    """One question to the store per window."""

    def run(context: Context) -> pl.DataFrame:
        window = timedelta(seconds=context.window_s)
        return pl.concat([judge(context, end, window) for end in context.ends])

    return run


def _judge_backlog(context: Context) -> pl.DataFrame:
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


KINDS: Registry[AlertKind] = Registry(
    "alert kind",
    AlertKind(
        key="rate_change",
        title="Trigger rate moved",
        description="The trigger rate of a filter or rule is surprising, either way, under the four weeks before: beta-binomial "
        "prediction against the same hour of the week (of the day, or all hours, where that has too few triggers), "
        "and a change by the limit or more fits the data. False discoveries among filters and rules are held down.",
        limit=rates.MINIMUM_EFFECT,
        limit_means="least ratio to the expected rate that matters",
        page="filters",
        lookback_min=None,
        has_false_alarm_rate=True,
        judge=_judge_rate,
        say=sentences.say_rate,
    ),
    AlertKind(
        key="silence",
        title="Filter silent",
        description="A filter goes on checking and triggers on nothing, which under the four weeks before is improbable.",
        limit=1e-3,
        limit_means="largest probability of such a silence",
        page="filters",
        lookback_min=1440,
        has_false_alarm_rate=True,
        judge=_judge_silence,
        say=sentences.say_silence,
    ),
    AlertKind(
        key="no_data",
        title="No data",
        description="A filter ran no check, though others did and it should have, or no filter did, though at this hour of the last seven days they did.",
        limit=10,
        limit_means="checks that must be expected in the window",
        page="sources",
        lookback_min=None,
        has_false_alarm_rate=True,
        judge=_judge_no_data,
        say=sentences.say_no_data,
    ),
    AlertKind(
        key="no_turns",
        title="No model log",
        description="No turn came from a model log, though at this hour of the last seven days some did: checks without their turns, or nothing at all.",
        limit=10,
        limit_means="turns that must be expected in the window",
        page="sources",
        lookback_min=None,
        has_false_alarm_rate=True,
        judge=_judge_no_turns,
        say=sentences.say_no_turns,
    ),
    AlertKind(
        key="error_share",
        title="Checks fail",
        description="More checks ended in an error than chance explains under a share at the limit (exact binomial tail).",
        limit=0.02,
        limit_means="share of checks",
        page="filters",
        lookback_min=None,
        has_false_alarm_rate=True,
        judge=_judge_errors,
        say=sentences.say_share("failed in"),
    ),
    AlertKind(
        key="fail_open",
        title="Failing open",
        description="Enforced checks failed and the answer went out all the same, more often than chance explains under a share at the limit (exact binomial tail).",
        limit=0.02,
        limit_means="share of enforced checks",
        page="filters",
        lookback_min=None,
        has_false_alarm_rate=True,
        judge=lambda context: queries.judge_fail_open(
            context.events,
            context.query,
            context.ends,
            window_s=context.window_s,
            limit=context.limit,
            chance=_chance(context.rule),
        ),
        say=sentences.say_share("failed while the answer went out in"),
    ),
    AlertKind(
        key="latency",
        title="Slow",
        description="The 95th percentile of a filter's latency is the limit times its median of the week before, or more.",
        limit=2.0,
        limit_means="ratio to the week before",
        page="filters",
        lookback_min=None,
        has_false_alarm_rate=False,
        judge=lambda context: queries.judge_latency(
            context.events, context.query, context.ends, window_s=context.window_s, limit=context.limit
        ),
        say=sentences.say_latency,
    ),
    AlertKind(
        key="coverage",
        title="Coverage hole",
        description="Fewer checks reached a decision than chance explains under a share at the limit (exact binomial tail).",
        limit=0.95,
        limit_means="share of checks that decided",
        page="sources",
        lookback_min=None,
        has_false_alarm_rate=True,
        judge=_judge_coverage,
        say=sentences.say_share("decided in"),
    ),
    AlertKind(
        key="score_drift",
        title="Scores drifted",
        description="A version's scores are distributed unlike its own of the four weeks before.",
        limit=0.25,
        limit_means="population stability index",
        page="filters",
        lookback_min=None,
        has_false_alarm_rate=False,
        judge=_judge_each(
            lambda context, end, window: queries.judge_score_drift(
                context.events, context.query, end, window=window, limit=context.limit
            )
        ),
        say=sentences.say_drift,
    ),
    AlertKind(
        key="wrong_blocks",
        title="Blocks too much",
        description="The estimated wrong-block share of an enforced rule over the last week lies above the limit with 95 % confidence.",
        limit=0.5,
        limit_means="share of what the rule stops that is benign",
        page="quality",
        lookback_min=_WEEK_MIN,
        has_false_alarm_rate=False,
        judge=_judge_each(
            lambda context, end, _window: queries.judge_wrong_blocks(
                context.events, context.query, end, limit=context.limit
            )
        ),
        say=sentences.say_share("wrong blocks are"),
    ),
    AlertKind(
        key="escalation_backlog",
        title="Escalations wait",
        description="An escalation has waited for a person longer than the limit.",
        limit=60,
        limit_means="minutes that the oldest one waits",
        page="triage",
        lookback_min=None,
        has_false_alarm_rate=False,
        judge=_judge_backlog,
        say=sentences.say_backlog,
    ),
)
