"""Backtest: what the rules would have done over stored history. Nothing is kept and nobody is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from core.events import EventStore
from core.records import RecordStore
from core.settings import AlertRule
from incidents.alerts.judgement import fill_windows
from incidents.alerts.kinds import judge_rule, say
from incidents.alerts.states import ALARMED, Alert, advance
from incidents.enums import AlertState
from metrics.alarms.grid import list_ends


@dataclass(frozen=True, slots=True)
class Replayed:
    """One alarm that would have been raised.

    Attributes:
        rule: Name of the rule.
        filter_name: The filter; None = all.
        rule_id: The filter's rule; None = the whole filter.
        source: The source, of an alarm about one.
        breached_at: End of the first window that breached.
        fired_at: End of the window in which it would have fired.
        ended_at: End of the window in which it would have been over; None = not by the end.
        sentence: What it would have said.
    """

    rule: str
    filter_name: str | None
    rule_id: str | None
    source: str | None
    breached_at: datetime
    fired_at: datetime
    ended_at: datetime | None
    sentence: str


def replay_alerts(
    events: EventStore,
    records: RecordStore,
    *,
    rules: Sequence[AlertRule],
    since: datetime,
    until: datetime,
    on_progress: Callable[[str, float], None] = lambda _step, _share: None,
) -> list[Replayed]:
    """Runs every rule that is on over the windows that closed in (since, until]; alarms in order of firing."""
    found: list[Replayed] = []
    rules = [rule for rule in rules if rule.is_on]
    for number, rule in enumerate(rules):
        on_progress(rule.name, number / len(rules))
        ends = list_ends(since, until, window_s=rule.window_min * 60)
        if not ends:
            continue
        judged = judge_rule(events, records, rule, ends)
        for subject, sequence in fill_windows(judged, ends).items():
            alert, open_at = Alert(), -1
            breached_at: datetime | None = None
            for item in sequence:
                before = alert
                alert = advance(alert, end=item.end, is_breached=item.is_breached, rule=rule)
                if before.state is AlertState.OK and item.is_breached:
                    breached_at = item.end
                has_fired = alert.state is AlertState.FIRING and before.state not in ALARMED
                if has_fired and breached_at is not None:
                    sentence = say(rule, item)
                    open_at = len(found)
                    found.append(Replayed(rule.name, *subject, breached_at, item.end, None, sentence))
                if alert.state is AlertState.OK and open_at >= 0:
                    found[open_at] = replace(found[open_at], ended_at=item.end)
                    open_at = -1
    return sorted(
        found,
        key=lambda item: (item.fired_at, item.rule, item.filter_name or "", item.rule_id or "", item.source or ""),
    )
