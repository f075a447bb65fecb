"""Everything that the Overview's tiles show, in few queries over the window and the one before it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import polars as pl
from ibis.backends import BaseBackend

from core.events import EventStore
from metrics import errors, escalations, outcomes
from metrics.additive import check_counts, total, turn_counts
from metrics.compare import Counts, compare_shares
from metrics.estimate import wilson
from metrics.events import fetch
from metrics.movers import close_window
from metrics.query import Query, previous_window

Rate = dict[str, Any]
"""One RATE record: estimate, low, high, numerator, denominator, method, n."""


@dataclass(frozen=True, slots=True)
class Change:
    """A trigger rate now minus before, with its interval; null where either window evaluated nothing."""

    change: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Overview:
    """The figures of one window; `_before` ones are of the window before, None when there is none.

    Attributes:
        turns: Turns.
        turns_before: Turns before.
        trigger_rate: Triggered / evaluated checks.
        trigger_rate_before: The same before.
        trigger_change: Now minus before.
        wrong_block_share: Benign share of the turns that enforced checks triggered on, from reviews.
        missed_harm_rate: Share of harmful turns that no enforced check triggered on, from reviews.
        reviewed: Reviews behind the last two.
        escalated: Turns handed to a person.
        escalated_before: The same before.
        escalation_rate: Escalated / turns.
        outcomes: Rows of the report `outcomes`.
    """

    turns: int
    turns_before: int | None
    trigger_rate: Rate
    trigger_rate_before: Rate | None
    trigger_change: Change | None
    wrong_block_share: Rate
    missed_harm_rate: Rate
    reviewed: int
    escalated: int
    escalated_before: int | None
    escalation_rate: Rate
    outcomes: pl.DataFrame


def compute_overview(events: EventStore, query: Query) -> Overview:
    """The tiles of one window; the query's `by` is not used."""
    backend = events.backend()
    now = replace(query, by=())
    closed = close_window(backend, now)
    window = None if closed is None else previous_window(closed)
    before = None if window is None else replace(now, since=window[0], until=window[1])
    rate = _trigger_rate(backend, now)
    rate_before = None if before is None else _trigger_rate(backend, before)
    escalation = escalations.compute(backend, now).row(0, named=True)
    judged = errors.judge(backend, now)
    ended = outcomes.compute(backend, now)
    return Overview(
        turns=int(ended["turns"].sum()),
        turns_before=None if before is None else _count_turns(backend, before),
        trigger_rate=rate,
        trigger_rate_before=rate_before,
        trigger_change=None if rate_before is None else _change(rate, rate_before, now.confidence),
        wrong_block_share=judged["wrong_block_share"],
        missed_harm_rate=judged["missed_harm_rate"],
        reviewed=judged["reviewed"],
        escalated=escalation["escalated"],
        escalated_before=None
        if before is None
        else escalations.compute(backend, before).row(0, named=True)["escalated"],
        escalation_rate=escalation["escalation_rate"],
        outcomes=ended,
    )


def _count_turns(backend: BaseBackend, query: Query) -> int:
    table = turn_counts(backend, query)
    return int(fetch(backend, table.aggregate(turns=total(table, "turns"))).item())


def _trigger_rate(backend: BaseBackend, query: Query) -> Rate:
    table = check_counts(backend, query)
    sums = fetch(
        backend,
        table.aggregate(triggered=total(table, "triggered"), evaluated=total(table, "evaluated")),
    )
    rate: Rate = wilson(
        sums,
        numerator="triggered",
        denominator="evaluated",
        min_sample=query.min_sample,
        confidence=query.confidence,
    ).item()
    return rate


def _change(now: Rate, before: Rate, confidence: float) -> Change:
    sides = [
        Counts(*(pl.Series([rate[name]]).to_numpy() for name in ("numerator", "denominator"))) for rate in (now, before)
    ]
    row = compare_shares(*sides, confidence=confidence).row(0, named=True)
    return Change(row["change"], row["low"], row["high"])
