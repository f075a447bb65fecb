"""Everything that the Overview's tiles show, in few queries over the window and the one before it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import polars as pl
from ibis.backends import BaseBackend
from ibis.expr.types import Table

from core.events import EventStore
from metrics import errors
from metrics.additive import check_counts, part, total, turn_counts
from metrics.compare import Counts, compare_shares
from metrics.estimate import wilson
from metrics.events import fetch
from metrics.movers import close_window
from metrics.outcomes import share_outcomes
from metrics.query import Query, previous_window

_CHECKS = ("triggered", "evaluated")
_TURNS = ("turns", "escalated")
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
    """The tiles of one window; the query's `by` is not used, and a category in it is the filter's."""
    backend = events.backend()
    now = replace(query, by=())
    closed = close_window(backend, now)
    window = None if closed is None else previous_window(closed)
    checks = _sum(backend, now, window, check_counts, _CHECKS).row(0, named=True)
    rate = _rate(checks, *_CHECKS, query=query)
    rate_before = _rate(checks, *_before(_CHECKS), query=query) if window else None
    by_outcome = _sum(backend, now, window, turn_counts, _TURNS, by=("outcome",))
    turns = by_outcome.select(pl.exclude("outcome").sum()).row(0, named=True)
    judged = errors.judge(backend, now)
    return Overview(
        turns=turns["turns"],
        turns_before=turns.get("turns_before"),
        trigger_rate=rate,
        trigger_rate_before=rate_before,
        trigger_change=None if rate_before is None else _change(rate, rate_before, now.confidence),
        wrong_block_share=judged["wrong_block_share"],
        missed_harm_rate=judged["missed_harm_rate"],
        reviewed=judged["reviewed"],
        escalated=turns["escalated"],
        escalated_before=turns.get("escalated_before"),
        escalation_rate=_rate(turns, "escalated", "turns", query=query),
        outcomes=share_outcomes(by_outcome.select("outcome", "turns"), now),
    )


def _sum(
    backend: BaseBackend,
    query: Query,
    window: tuple[datetime, datetime] | None,
    count: Callable[..., Table],
    names: tuple[str, ...],
    *,
    by: tuple[str, ...] = (),
) -> pl.DataFrame:
    """Sums of the addends of the query's window, and of the one before it, if there is one, in one pass (`metrics.additive.part`)."""
    if window is None:
        table = count(backend, replace(query, by=by))
    else:
        start, cut = window
        table = part(count(backend, replace(query, by=by, since=start), cut=cut), names, cut)
        names = (*names, *_before(names))
    return fetch(backend, table.aggregate(by=list(by), **{name: total(table, name) for name in names}))


def _before(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{name}_before" for name in names)


def _rate(sums: dict[str, int], numerator: str, denominator: str, *, query: Query) -> Rate:
    rate: Rate = wilson(
        pl.DataFrame({name: [sums[name]] for name in (numerator, denominator)}),
        numerator=numerator,
        denominator=denominator,
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
