"""What an alert rule can watch. Adding a kind is an entry in `KINDS` and its name in `core.settings.AlertRule`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from core.errors import ConfigError
from core.events import EventStore
from core.records import RecordStore
from core.registry import Registry
from core.settings import AlertRule
from incidents.alerts import judges, sentences
from incidents.alerts.judgement import Judgement
from incidents.alerts.judges import Context
from metrics.alarms import queries, rates
from metrics.alarms.grid import SUBJECT


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
        has_filters: A rule may narrow what is looked at.
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
    has_filters: bool
    judge: Callable[[Context], pl.DataFrame]
    say: Callable[[Judgement, float], str]


def get_limit(rule: AlertRule) -> float:
    """Where the rule breaches: its own limit, or its kind's."""
    return KINDS[rule.kind].limit if rule.limit is None else rule.limit


def say(rule: AlertRule, found: Judgement) -> str:
    """What an alert of this rule says about one judgement, after the subject's name."""
    return KINDS[rule.kind].say(found, get_limit(rule))


def judge_rule(events: EventStore, records: RecordStore, rule: AlertRule, ends: Sequence[datetime]) -> list[Judgement]:
    """What the rule says about every subject in every window, in order of subject and time."""
    kind = KINDS[rule.kind]
    if rule.filters and not kind.has_filters:
        raise ConfigError(
            "An alert's filter does not apply",
            f"alerts: {rule.name}: {rule.kind} looks at no single checks or turns",
            "Remove its filters.",
        )
    rows = kind.judge(Context(events, records, rule, ends, get_limit(rule)))
    keys = (*SUBJECT, "end")
    return [Judgement(**row) for row in rows.sort(keys, nulls_last=False).iter_rows(named=True)]


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
        has_filters=True,
        judge=judges.judge_rate,
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
        has_filters=True,
        judge=judges.judge_silence,
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
        has_filters=True,
        judge=judges.judge_no_data,
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
        has_filters=True,
        judge=judges.judge_no_turns,
        say=sentences.say_no_turns,
    ),
    AlertKind(
        key="source_stopped",
        title="Source stopped",
        description="A source brought nothing though others did, and though at this hour of the last seven days it always did.",
        limit=10,
        limit_means="records that must be expected in the window",
        page="sources",
        lookback_min=None,
        has_false_alarm_rate=True,
        has_filters=False,
        judge=judges.judge_source_stopped,
        say=sentences.say_source_stopped,
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
        has_filters=True,
        judge=judges.judge_errors,
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
        has_filters=True,
        judge=lambda context: queries.judge_fail_open(
            context.events,
            context.query,
            context.ends,
            window_s=context.window_s,
            limit=context.limit,
            chance=judges.find_chance(context.rule),
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
        has_filters=True,
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
        has_filters=True,
        judge=judges.judge_coverage,
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
        has_filters=True,
        judge=judges.judge_each(
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
        lookback_min=judges.WEEK_MIN,
        has_false_alarm_rate=False,
        has_filters=True,
        judge=judges.judge_each(
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
        has_filters=False,
        judge=judges.judge_backlog,
        say=sentences.say_backlog,
    ),
)
