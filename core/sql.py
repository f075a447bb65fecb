"""SQL of Ibis expressions, made once for every shape: to make it costs more than most queries take to run.

Two expressions have one shape if they differ in moments only, as the same report over another window does.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import ibis
from ibis.backends import BaseBackend
from ibis.expr import operations as ops

# Stand for a shape's moments; no logged text can guess them and be taken for one.
_MARKS = datetime.fromisoformat("0001-01-01") + timedelta(
    days=secrets.randbelow(300_000), microseconds=secrets.randbelow(10**9)
)


@dataclass(frozen=True, slots=True)
class _Shape:
    """What two expressions that differ in moments only have in common; the first of them stands for all."""

    nodes: tuple[Hashable, ...]
    expression: ops.Relation = field(compare=False)


def to_sql(expression: ops.Relation) -> str:
    """DuckDB's SQL of the expression, whatever store its tables are in."""
    shape, moments = _describe(expression)
    sql = _compile_shape(shape)
    if not moments:
        return sql
    written = {
        _write(ops.Literal(_mark(number), moment.dtype)): _write(moment) for number, moment in enumerate(moments)
    }
    return re.sub("|".join(map(re.escape, written)), lambda found: written[found[0]], sql)


def _describe(expression: ops.Relation) -> tuple[_Shape, list[ops.Literal]]:
    """The expression's shape, and its moments in order. Ibis would build every node anew to compare expressions without their moments."""
    places: dict[int, int] = {}
    nodes: list[Hashable] = []
    moments: dict[ops.Literal, int] = {}

    def describe(value: Any) -> Hashable:
        if isinstance(value, ops.Node):
            place = places.get(id(value))
            if place is None:
                if isinstance(value, ops.Literal) and isinstance(value.value, datetime):
                    nodes.append((ops.Literal, moments.setdefault(value, len(moments)), value.dtype))
                else:
                    nodes.append((type(value), *map(describe, value.__args__)))
                place = places[id(value)] = len(nodes)
            return (ops.Node, place)
        if isinstance(value, tuple):
            return tuple(map(describe, value))
        if isinstance(value, Mapping):
            return tuple((describe(key), describe(item)) for key, item in value.items())
        # One store's tables are written like another's.
        return None if isinstance(value, BaseBackend) else value

    describe(expression)
    return _Shape(tuple(nodes), expression), list(moments)


@lru_cache(maxsize=4096)
def _compile_shape(shape: _Shape) -> str:
    _, moments = _describe(shape.expression)
    marks = {moment: ops.Literal(_mark(number), moment.dtype) for number, moment in enumerate(moments)}
    return _compile(shape.expression.replace(marks) if marks else shape.expression)


def _mark(number: int) -> datetime:
    return _MARKS + timedelta(seconds=number)


def _compile(expression: ops.Node) -> str:
    return str(ibis.to_sql(expression.to_expr(), dialect="duckdb", pretty=False))


@lru_cache(maxsize=4096)
def _write(moment: ops.Literal) -> str:
    sql = _compile(moment)
    return sql.removeprefix("SELECT ").rpartition(" AS ")[0]
