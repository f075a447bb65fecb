"""Counts that add up: from the per-minute rollups where they can answer, else from the rows themselves.

Both paths give the same numbers; the rollups only give them at the cost of the window.
"""

from __future__ import annotations

from datetime import datetime

import ibis
from ibis.backends import BaseBackend
from ibis.expr.types import BooleanValue, IntegerColumn, Table

from metrics.events import add_periods, checks, matching, turns, within
from metrics.query import CHECK_DIMENSIONS, TIME_DIMENSIONS, Query, is_whole_minutes

CHECK_COUNTS = ("evaluated", "triggered", "enforced", "errors", "not_run", "undecided", "hits")
TURN_COUNTS = ("turns", "orphans", "stopped", "escalated")
# The check rollup's model is the filter log's alone, whereas the dimension falls back to the turn's.
_IN_CHECK_ROLLUP = frozenset((*CHECK_DIMENSIONS, *TIME_DIMENSIONS))
_IN_TURN_ROLLUP = frozenset(("outcome", "model", "app", "language", *TIME_DIMENSIONS))


def check_counts(backend: BaseBackend, query: Query, *, cut: datetime | None = None) -> Table:
    """Addends of the check counts: time column `at`, the query's dimensions, and `CHECK_COUNTS` to sum.

    Args:
        backend: The store.
        query: Window, filters and groups.
        cut: A moment within the window at which the caller parts the addends.
    """
    if is_whole_minutes(query.since, query.until, cut) and query.columns() <= _IN_CHECK_ROLLUP:
        return _rollup(backend, "check_rollup", query)
    table = checks(backend, query)
    is_ok = table.status == "ok"
    fired = is_ok & table.triggered.fill_null(False)
    return table.mutate(
        at=table.ts,
        evaluated=_count(is_ok),
        triggered=_count(fired),
        enforced=_count(fired & table.enforced.fill_null(False)),
        errors=_count(table.status == "error"),
        not_run=_count(table.status == "not_run"),
        undecided=_count(table.status == "undecided"),
        hits=_count(table.status == "hit"),
    )


def turn_counts(backend: BaseBackend, query: Query, *, cut: datetime | None = None) -> Table:
    """Addends of the turn counts: time column `at`, the query's dimensions, and `TURN_COUNTS` to sum; `cut` as in `check_counts`."""
    if is_whole_minutes(query.since, query.until, cut) and query.columns() <= _IN_TURN_ROLLUP:
        return _rollup(backend, "turn_rollup", query)
    table = turns(backend, query)
    return table.mutate(
        at=table.ts,
        turns=ibis.literal(1, "int64"),
        orphans=_count(~table.is_logged),
        stopped=_count(table.is_stopped),
        escalated=_count(is_escalated(table)),
    )


def part(table: Table, names: tuple[str, ...], cut: datetime) -> Table:
    """`table` of addends with what counts from `cut` on in the columns `names`, and what counts before in `<name>_before`."""
    is_after = (table["at"] >= cut).cast("int64")
    before = {f"{name}_before": table[name] * (1 - is_after) for name in names}
    return table.mutate(**before, **{name: table[name] * is_after for name in names})


def is_escalated(table: Table) -> BooleanValue:
    """Whether a turn was handed to a person: its outcome says so, or an enforced check escalated it."""
    return (table.outcome == "human_escalation").fill_null(False) | table.is_escalated.fill_null(False)


def total(table: Table, column: str) -> IntegerColumn:
    """The sum of an addend as int64 (engines widen sums differently), 0 over no rows."""
    return table[column].sum().fill_null(0).cast("int64")


def _rollup(backend: BaseBackend, name: str, query: Query) -> Table:
    table = within(backend.table(name), "minute", query.since, query.until)
    if query.columns() & set(TIME_DIMENSIONS):
        table = add_periods(table, "minute")
    table = matching(table, query)
    return table.mutate(at=table.minute)


def _count(condition: BooleanValue) -> IntegerColumn:
    return condition.fill_null(False).cast("int64")
