"""What the columns of a training file are made of, told to each of those who must know: cards, Croissant, text search."""

from __future__ import annotations

from typing import Any

import polars as pl

_NAMES = {pl.String(): "string", pl.Boolean(): "bool", pl.Float64(): "float64", pl.Int64(): "int64"}


def describe_feature(name: str, dtype: pl.DataType) -> dict[str, Any]:
    """A column in the notation of a dataset card's front matter."""
    if isinstance(dtype, pl.List):
        inner = as_dtype(dtype.inner)
        part = describe_feature("", inner)
        return {"name": name, "list": part.get("struct") or part["dtype"]}
    if isinstance(dtype, pl.Struct):
        return {
            "name": name,
            "struct": [describe_feature(field.name, as_dtype(field.dtype)) for field in dtype.fields],
        }
    return {"name": name, "dtype": _NAMES[dtype]}


def join_texts(column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """All texts of a column as one, a line each; null where it holds none."""
    if dtype == pl.String():
        return column
    if isinstance(dtype, pl.List):
        return column.list.eval(join_texts(pl.element(), as_dtype(dtype.inner))).list.join("\n", ignore_nulls=True)
    if isinstance(dtype, pl.Struct):
        parts = [join_texts(column.struct.field(field.name), as_dtype(field.dtype)) for field in dtype.fields]
        return pl.concat_str(parts, separator="\n", ignore_nulls=True)
    return pl.lit(None, pl.String)


def as_dtype(dtype: Any) -> pl.DataType:
    """A type as an instance; Polars keeps inner types either way."""
    found: pl.DataType = dtype if isinstance(dtype, pl.DataType) else dtype()
    return found
