"""SQL of Ibis expressions, made once for every shape: to make it costs more than most queries take to run.

Two expressions have one shape if they differ in moments only, as the same report over another window does.
"""

from __future__ import annotations

import re
import secrets
from datetime import datetime, timedelta
from functools import lru_cache

import ibis
from ibis.expr import operations as ops

# Stand for a shape's moments; no logged text can guess them and be taken for one.
_MARKS = datetime.fromisoformat("0001-01-01") + timedelta(
    days=secrets.randbelow(300_000), microseconds=secrets.randbelow(10**9)
)


def to_sql(expression: ops.Relation) -> str:
    """DuckDB's SQL of the expression, whatever store its tables are in."""
    moments = dict.fromkeys(literal for literal in expression.find(ops.Literal) if isinstance(literal.value, datetime))
    if not moments:
        return _compile(expression)
    marks = {
        moment: ops.Literal(_MARKS + timedelta(seconds=number), moment.dtype) for number, moment in enumerate(moments)
    }
    written = {_write(mark): _write(moment) for moment, mark in marks.items()}
    sql = _compile(expression.replace(marks))
    return re.sub("|".join(map(re.escape, written)), lambda found: written[found[0]], sql)


@lru_cache(maxsize=4096)
def _compile(expression: ops.Node) -> str:
    return str(ibis.to_sql(expression.to_expr(), dialect="duckdb", pretty=False))


@lru_cache(maxsize=4096)
def _write(moment: ops.Literal) -> str:
    sql = _compile(moment)
    return sql.removeprefix("SELECT ").rpartition(" AS ")[0]
