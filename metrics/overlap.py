"""Which filters trigger on the same turns: what one of them adds to another."""

from __future__ import annotations

from itertools import combinations_with_replacement

import ibis
import polars as pl
from ibis.backends import BaseBackend

from metrics.estimate import wilson
from metrics.events import checks, fetch
from metrics.funnel import enforced_only, union_of_bits
from metrics.query import TURN_DIMENSIONS, Query
from metrics.report import Report

# A turn's filters are bits of a signed 64-bit integer.
_MOST_FILTERS = 60
_COUNTS = ("evaluated", "first_triggered", "second_triggered", "both", "either")


def compute(backend: BaseBackend, query: Query) -> pl.DataFrame:
    """Turns by pair of filters in cascade order, a row per group and pair; a filter with itself is a pair, too."""
    enforced = enforced_only(query)
    names = _filters(backend, enforced)
    table = checks(backend, enforced)
    bit = ibis.cases(
        *((table.filter_name == name, ibis.literal(1 << place, "int64")) for place, name in enumerate(names)),
        (table.filter_name.isnull(), ibis.literal(0, "int64")),
        else_=ibis.literal(0, "int64"),
    )
    is_ok = table.status == "ok"
    sets = table.group_by("request_id", *query.by).agg(
        evaluated_set=union_of_bits(bit, is_ok), triggered_set=union_of_bits(bit, is_ok & table.triggered)
    )
    # Few combinations of filters occur, however many turns there are.
    kinds = fetch(
        backend, sets.group_by(*query.by, "evaluated_set", "triggered_set").agg(turns=sets.count().cast("int64"))
    )
    parts = [
        _count(kinds, query.by, 1 << first, 1 << second).select(
            *query.by, pl.lit(names[first]).alias("first"), pl.lit(names[second]).alias("second"), *_COUNTS
        )
        for first, second in combinations_with_replacement(range(len(names)), 2)
    ]
    schema = {name: kinds.schema[name] for name in query.by} | {"first": pl.String, "second": pl.String}
    rows = pl.concat([pl.DataFrame(schema=schema | dict.fromkeys(_COUNTS, pl.Int64)), *parts])
    rate = wilson(
        rows, numerator="both", denominator="either", min_sample=query.min_sample, confidence=query.confidence
    )
    rows = rows.with_columns(overlap=rate).drop("either")
    return rows.sort(query.by, nulls_last=True, maintain_order=True) if query.by else rows


def _filters(backend: BaseBackend, query: Query) -> list[str]:
    """Filters that decided in the window, by layer in cascade order, then by name; the busiest where there are too many."""
    table = checks(backend, query)
    decided = table.filter(table.status == "ok", table.filter_name.notnull())
    found = fetch(backend, decided.group_by("filter_name").agg(layer=decided.layer.min(), n=decided.count()))
    order = {layer: place for place, layer in enumerate(query.layers)}
    kept = found.sort(["n", "filter_name"], descending=[True, False]).head(_MOST_FILTERS)
    rank = pl.col("layer").replace_strict(order, default=len(order), return_dtype=pl.Int64)
    names: list[str] = kept.sort(rank, "filter_name")["filter_name"].to_list()
    return names


def _count(kinds: pl.DataFrame, by: tuple[str, ...], first: int, second: int) -> pl.DataFrame:
    """Turns that both filters decided on, by what each of them said."""
    seen = kinds.filter((pl.col("evaluated_set") & (first | second)) == (first | second))
    one, other = ((pl.col("triggered_set") & bit) != 0 for bit in (first, second))
    conditions = {"evaluated": pl.lit(value=True), "first_triggered": one, "second_triggered": other}
    conditions |= {"both": one & other, "either": one | other}
    counts = [(pl.col("turns") * condition).sum().cast(pl.Int64).alias(name) for name, condition in conditions.items()]
    if by:
        return seen.group_by(by).agg(counts)
    return seen.select(counts) if seen.height else seen.select(pl.lit(0, pl.Int64).alias(n) for n in _COUNTS).clear()


REPORT = Report(
    key="overlap",
    title="Overlap",
    unit="turn",
    better="neither",
    description="Pairs of filters, on turns that both decided on. A filter paired with itself tells its own triggers. Only checks in mode "
    "enforce count, unless the filters name a mode.",
    source="Counts; Jaccard index with Wilson's interval (1927).",
    columns={
        "first": "filter that comes first in the cascade",
        "second": "the other filter",
        "evaluated": "turns that both decided on",
        "first_triggered": "of them, turns that the first triggered on",
        "second_triggered": "of them, turns that the second triggered on",
        "both": "of them, turns that both triggered on",
        "overlap": "both / turns that either triggered on",
    },
    dimensions=("stage", *TURN_DIMENSIONS, "hour", "day"),
    compute=compute,
)
