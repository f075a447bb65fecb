"""Base tables as Ibis expressions: the window and the filters applied, every dimension a column.

A filter on something that a table does not have (a filter's name, asked of turns) keeps the rows whose
turn has it: "turns that this filter checked".
"""

from __future__ import annotations

from datetime import datetime, timedelta

import ibis
import polars as pl
from ibis.backends import BaseBackend
from ibis.expr.types import BooleanColumn, StringColumn, Table

from metrics.judged import judged
from metrics.query import (
    CHECK_DIMENSIONS,
    LABEL_DIMENSIONS,
    TIME_DIMENSIONS,
    TURN_DIMENSIONS,
    Query,
    parse_period,
)

_CHECK_COLUMNS = (
    "ts",
    "request_id",
    *CHECK_DIMENSIONS,
    "model",
    "score",
    "score_kind",
    "threshold",
    "triggered",
    "decision",
    "enforced",
    "status",
    "latency_ms",
    "matched_text",
    "policy_id",
    "policy_version",
)
_TURN_COLUMNS = (
    "ts",
    "request_id",
    "conversation_id",
    *TURN_DIMENSIONS,
    "model_version",
    "is_logged",
    "filters",
    "is_stopped",
    "is_escalated",
)

# Logs of one turn lie within a day of each other (`ingest.turns.JOIN_WINDOW`), also after a model log's time took the place of a check's.
_APART = timedelta(days=2)


def fetch(backend: BaseBackend, expression: Table) -> pl.DataFrame:
    """The rows of an expression; times in microseconds, as the store keeps them."""
    rows: pl.DataFrame = backend.to_polars(expression)
    return rows.with_columns(pl.selectors.datetime().cast(pl.Datetime("us")))


def checks(backend: BaseBackend, query: Query, *, of_judged: bool = False) -> Table:
    """Checks of the window that pass the filters; `of_judged`: only of turns that have a label, and without texts.

    Turn dimensions come from the turn; `model` from the filter log where it says, else from the turn. The join is
    made only when the question names such a column.
    """
    table = judged(backend, "checks") if of_judged else backend.table("checks").select(*_CHECK_COLUMNS)
    table = within(table, "ts", query.since, query.until)
    if query.columns() & set(TURN_DIMENSIONS):
        known = judged(backend, "turns") if of_judged else backend.table("turns")
        facts = _near(known, query).select("request_id", *TURN_DIMENSIONS)
        facts = facts.rename(turn_model="model")
        table = table.left_join(facts, "request_id").drop("request_id_right")
        table = table.mutate(model=ibis.coalesce(table.model, table.turn_model)).drop("turn_model")
    table = _derive_periods(table, query)
    return _keep_labelled(backend, matching(table, query), query)


def turns(backend: BaseBackend, query: Query, *, of_judged: bool = False) -> Table:
    """Turns of the window that pass the filters, those known only from their checks included; `of_judged`: only those that have a label."""
    table = (judged(backend, "turns") if of_judged else backend.table("turns")).select(*_TURN_COLUMNS)
    table = _derive_periods(within(table, "ts", query.since, query.until), query)
    table = matching(table, query)
    of_checks = tuple(pair for pair in query.filters if pair[0] in CHECK_DIMENSIONS)
    if of_checks:
        known = judged(backend, "checks") if of_judged else backend.table("checks")
        seen = matching(_near(known, query).select("request_id", *CHECK_DIMENSIONS), Query(filters=of_checks))
        table = table.semi_join(seen, "request_id")
    return _keep_labelled(backend, table, query)


def within(table: Table, column: str, since: datetime | None, until: datetime | None) -> Table:
    """Rows whose time lies in the half-open window."""
    if since is not None:
        table = table.filter(table[column] >= since)
    if until is not None:
        table = table.filter(table[column] < until)
    return table


def _near(table: Table, query: Query) -> Table:
    """Rows that may tell of the same turns as rows of the window, so that what is asked of a day does not read all that is stored."""
    since = None if query.since is None else query.since - _APART
    until = None if query.until is None else query.until + _APART
    return within(table, "ts", since, until)


def matching(table: Table, query: Query) -> Table:
    """Rows that pass the filters on columns that `table` has."""
    for name, values in query.alternatives().items():
        if name in table.columns:
            table = table.filter(_is_any(table, name, values))
    return table


def add_periods(table: Table, column: str) -> Table:
    """`table` with `hour` and `day` of a time column."""
    return table.mutate(hour=table[column].truncate("h"), day=table[column].date())


def _derive_periods(table: Table, query: Query) -> Table:
    return add_periods(table, "ts") if query.columns() & set(TIME_DIMENSIONS) else table


def _is_any(table: Table, name: str, values: tuple[str, ...]) -> BooleanColumn:
    column = table[name]
    if name in TIME_DIMENSIONS:
        starts = [parse_period(name, value) for value in values]
        return column.isin([start.date() for start in starts] if name == "day" else starts)
    text: StringColumn = column
    stated = [value for value in values if value]
    condition = text.isin(stated) if stated else ibis.literal(value=False)
    return condition | text.isnull() if "" in values else condition


def _keep_labelled(backend: BaseBackend, table: Table, query: Query) -> Table:
    """Rows whose turn has a vote of the reviewer or principle that the filters name."""
    pairs = tuple(pair for pair in query.filters if pair[0] in LABEL_DIMENSIONS)
    if not pairs:
        return table
    votes = matching(backend.table("labels").select("request_id", *LABEL_DIMENSIONS), Query(filters=pairs))
    return table.semi_join(votes, "request_id")
