"""What rules about rates can see at today's volume: of each filter, the smallest rise that they find in time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import polars as pl

from core.events import EventStore
from core.records import RecordStore
from core.settings import AlertRule
from incidents.alerts.kinds import judge_rule
from metrics.alarms.grid import list_ends

SCHEMA = {
    "rule": pl.String(),
    "window_min": pl.Int64(),
    "filter_name": pl.String(),
    "expected": pl.Float64(),
    "detectable": pl.Float64(),
}
"""Alert rule, minutes of its window, filter, triggers expected in a window, and the smallest factor by which the rate
would have to rise to be seen within two windows with 90 % (`metrics.alarms.power`); null where none up to 50 would."""
_DAY = timedelta(days=1)


def list_reach(records: RecordStore, events: EventStore, *, rules: Sequence[AlertRule], at: datetime) -> pl.DataFrame:
    """What each rule of kind `rate_change` that is on can see of each filter.

    Args:
        records: The decisions.
        events: The events.
        rules: The rules in force.
        at: The windows of the day before it are looked at, or the last one where windows are longer.

    Returns:
        Rows of `SCHEMA`, by filter, then in order of the rules; medians over the windows, so that no hour of the night
        speaks for the day. Filters with too short a history have none.
    """
    found = [pl.DataFrame(schema=SCHEMA)]
    for rule in rules:
        if rule.kind != "rate_change" or not rule.is_on:
            continue
        window = timedelta(minutes=rule.window_min)
        ends = list_ends(at - max(window, _DAY), at, window_s=rule.window_min * 60)
        judged = [
            {"filter_name": item.filter_name, "expected": item.expected, "detectable": item.detectable or float("inf")}
            for item in judge_rule(events, records, rule, ends)
            if item.rule_id is None and item.is_breached is not None
        ]
        rows = pl.DataFrame(judged, schema={name: SCHEMA[name] for name in ("filter_name", "expected", "detectable")})
        medians = rows.group_by("filter_name").agg(pl.col("expected", "detectable").median())
        found.append(
            medians.with_columns(
                rule=pl.lit(rule.name),
                window_min=pl.lit(rule.window_min, dtype=pl.Int64),
                detectable=pl.when(pl.col("detectable").is_finite()).then("detectable"),
            ).select(list(SCHEMA))
        )
    return pl.concat(found).sort("filter_name", maintain_order=True)
