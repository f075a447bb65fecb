"""What changed about filters, policies and models, and the trigger rate before and after."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
from ibis.backends import BaseBackend

from core.events import EventStore
from metrics.additive import check_counts, total
from metrics.estimate import MEASURE, difference_bounds, divide, wilson
from metrics.events import fetch
from metrics.first_seen import SCHEMA, WHATS, find_first_seen, find_seen_anywhere
from metrics.query import TURN_DIMENSIONS, Query
from metrics.report import Report

SPAN = timedelta(days=7)
"""Rates are compared over this time before and after, or as far as the store reaches."""
MOST = 100
"""The newest changes that are compared."""
REGISTERED = "registered"


@dataclass(frozen=True, slots=True)
class Noted:
    """A change that no log tells: when (naive UTC), the filter (None = all), what was done."""

    at: datetime
    filter_name: str | None
    note: str


def compute(backend: BaseBackend, query: Query) -> pl.DataFrame:
    """One row per change of the window, newest first, at most `MOST`."""
    return compare(backend, query, find_first_seen(backend, query))


def list_changes(events: EventStore, query: Query, *, noted: tuple[Noted, ...]) -> pl.DataFrame:
    """Rows of the report, the noted changes of the window among them."""
    backend = events.backend()
    return compare(backend, query, _add_noted(find_first_seen(backend, query), noted, query))


def list_moments(events: EventStore, query: Query, *, noted: tuple[Noted, ...]) -> pl.DataFrame:
    """`first_seen.SCHEMA` of the changes of the window, as `find_seen_anywhere` finds them, and the noted ones, newest first."""
    return _add_noted(find_seen_anywhere(events.backend(), query), noted, query)


def _add_noted(found: pl.DataFrame, noted: Iterable[Noted], query: Query) -> pl.DataFrame:
    names = query.alternatives().get("filter_name")
    rows = [
        {"at": item.at, "what": REGISTERED, "filter_name": item.filter_name, "name": item.note}
        for item in noted
        if (query.since is None or item.at >= query.since)
        and (query.until is None or item.at < query.until)
        and (names is None or item.filter_name is None or item.filter_name in names)
    ]
    extra = pl.DataFrame(rows, schema=SCHEMA)
    return pl.concat([found, extra]).sort("at", "what", "name", descending=[True, False, False])


def compare(backend: BaseBackend, query: Query, found: pl.DataFrame) -> pl.DataFrame:
    """The changes with trigger rates before and after; `by` columns first."""
    found = found.head(MOST)
    counts = [_count(backend, query, row) for row in found.iter_rows(named=True)]
    sides = {
        side: pl.DataFrame(
            {
                "triggered": [pair[place][0] for pair in counts],
                "evaluated": [pair[place][1] for pair in counts],
            },
            schema={"triggered": pl.Int64, "evaluated": pl.Int64},
        )
        for place, side in enumerate(("before", "after"))
    }
    rates = {
        side: wilson(
            frame,
            numerator="triggered",
            denominator="evaluated",
            min_sample=query.min_sample,
            confidence=query.confidence,
        )
        for side, frame in sides.items()
    }
    return found.with_columns(
        sides["after"]["evaluated"].alias("evaluated"),
        rates["before"].alias("rate_before"),
        rates["after"].alias("rate_after"),
        _differences(sides["after"], sides["before"], query).alias("difference"),
    )


def _count(backend: BaseBackend, query: Query, row: dict[str, Any]) -> tuple[tuple[int, int], tuple[int, int]]:
    """(triggered, evaluated) before and after one change."""
    given = [(name, str(row[name] or "")) for name in query.by if name not in ("hour", "day")]
    of_filter = [("filter_name", row["filter_name"])] if row["filter_name"] else []
    periods = (row["at"] - SPAN, row["at"]), (row["at"], row["at"] + SPAN)
    sides = []
    for (since, until), version in zip(periods, (row["from"], row["to"]), strict=True):
        narrowed = [*of_filter, *given]
        if row["what"] == "filter version":
            narrowed.append(("filter_version", version or ""))
        elif row["what"] in ("model", "model version"):
            narrowed.append(("model", row["name"]))
        kept = query.without(*(name for name, _ in narrowed))
        asked = replace(query, by=(), since=since, until=until, filters=(*kept, *narrowed))
        triggered, evaluated = _sum(backend, asked)
        if row["what"] == "rule":
            hits = replace(asked, filters=(*asked.without("rule_id"), ("rule_id", row["name"])))
            triggered, tried = _sum(backend, hits)
            # A rule that logs only its hits is tried as often as its filter.
            evaluated = tried if tried > triggered else evaluated
        sides.append((triggered, evaluated))
    return sides[0], sides[1]


def _sum(backend: BaseBackend, query: Query) -> tuple[int, int]:
    table = check_counts(backend, query)
    sums = table.aggregate(triggered=total(table, "triggered"), evaluated=total(table, "evaluated"))
    triggered, evaluated = fetch(backend, sums).row(0)
    return int(triggered), int(evaluated)


def _differences(now: pl.DataFrame, before: pl.DataFrame, query: Query) -> pl.Series:
    first, second = (
        (frame["triggered"].cast(pl.Float64).to_numpy(), frame["evaluated"].cast(pl.Float64).to_numpy())
        for frame in (now, before)
    )
    low, high = difference_bounds(first, second, confidence=query.confidence)
    estimate = divide(*first) - divide(*second)
    least = np.minimum(first[1], second[1])
    is_enough = least >= max(query.min_sample, 1)
    frame = pl.DataFrame(
        {
            **{
                name: np.where(is_enough, values, np.nan)
                for name, values in (("estimate", estimate), ("low", low), ("high", high))
            },
            "method": ["newcombe"] * now.height,
            "n": least.astype(np.int64),
        },
        schema={"estimate": pl.Float64, "low": pl.Float64, "high": pl.Float64, "method": pl.String, "n": pl.Int64},
    ).with_columns(pl.col("estimate", "low", "high").fill_nan(None))
    return frame.select(pl.struct(frame.columns).cast(MEASURE)).to_series()


REPORT = Report(
    key="changes",
    title="Changes",
    unit="change",
    better="neither",
    description="Filters, rules, and versions of filters, policies and models that the data shows for the first time, newest first, "
    f"with the trigger rate over up to {SPAN.days} days before and after. A rule counts as new where it would have fired "
    "before, had it been there. `weir changes list` adds changes that people registered.",
    source="Rates: Wilson (1927). Difference: Newcombe (1998), method 10. New rules: beta-binomial prediction of no hit.",
    columns={
        "at": "when it was first seen, to the minute",
        "what": f"one of: {', '.join(WHATS)}; or {REGISTERED}",
        "filter_name": "filter; null for models",
        "name": "filter, rule, policy or model",
        "from": "version seen before; null for what is new as a whole",
        "to": "version from then on",
        "evaluated": "checks evaluated afterwards",
        "rate_before": "triggered / evaluated before: of the earlier version, the rule, or the filter",
        "rate_after": "the same afterwards: of the later version, the rule, or the filter",
        "difference": "after minus before, with its interval",
    },
    dimensions=(*TURN_DIMENSIONS, "layer", "stage", "mode"),
    compute=compute,
)
