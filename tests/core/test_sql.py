"""SQL that is kept for a shape says the same as SQL that is made for the expression."""

from __future__ import annotations

from datetime import datetime

import ibis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.sql import to_sql

CHECKS = ibis.table({"ts": "timestamp", "rule_id": "string", "score": "float64"}, "checks")
MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1))


def within(since: datetime, until: datetime, rule_id: str = "r") -> ibis.Table:
    """Several moments, one of them twice, beside other literals."""
    table = CHECKS.filter(CHECKS.ts >= since, CHECKS.ts < until, CHECKS.rule_id == rule_id)
    return table.group_by(is_late=table.ts > since).aggregate(n=table.count(), last=table.ts.max().coalesce(until))


def compiled_anew(expression: ibis.Table) -> str:
    return str(ibis.to_sql(expression, dialect="duckdb", pretty=False))


@given(MOMENTS, MOMENTS, st.text())
def test_same_sql_as_compiled_anew(since: datetime, until: datetime, rule_id: str) -> None:
    expression = within(since, until, rule_id)
    assert to_sql(expression.op()) == compiled_anew(expression)


def test_one_moment_in_two_places_and_two_moments_exchanged() -> None:
    early, late = datetime(2026, 1, 1), datetime(2026, 2, 1, 3, 4, 5, 678)
    for expression in (within(early, early), within(early, late), within(late, early)):
        assert to_sql(expression.op()) == compiled_anew(expression)


def test_another_window_is_not_compiled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    to_sql(within(datetime(2026, 3, 1), datetime(2026, 3, 2), "same").op())
    compiled = []
    original = ibis.to_sql
    monkeypatch.setattr(ibis, "to_sql", lambda expr, **options: compiled.append(expr.op()) or original(expr, **options))
    to_sql(within(datetime(2026, 3, 8, 1), datetime(2026, 3, 9, 1), "same").op())
    assert [type(node).__name__ for node in compiled] == ["Literal", "Literal"]


def test_logged_text_that_reads_like_a_moment_stays_text() -> None:
    expression = within(datetime(2026, 1, 1), datetime(2026, 1, 2), "MAKE_TIMESTAMP(1, 1, 1, 0, 0, 0.0)")
    assert to_sql(expression.op()) == compiled_anew(expression)
