"""What each layer of the cascade saw, caught and stopped."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import ibis
import polars as pl
from ibis.backends import BaseBackend
from ibis.expr.types import BooleanValue, IntegerColumn, Table

from metrics.events import checks, fetch, within
from metrics.query import CHECK_DIMENSIONS, TURN_DIMENSIONS, Query
from metrics.report import Report

STOPPING = ("block", "escalate", "modify")
_COUNTS = ("reached", "triggered", "stopped", "unique_catches")
# A turn's layers are bits of a signed 64-bit integer; layers beyond that are counted as one.
_MOST_LAYERS = 60
_REST = "other"


def compute(backend: BaseBackend, query: Query) -> pl.DataFrame:
    """Distinct turns by layer in cascade order, a row per group and layer that was reached."""
    enforced = enforced_only(query)
    layers = _layers(backend, enforced)
    seen = _layer_sets(checks(backend, enforced), layers, query.by)
    narrowing = {name for name, _ in query.filters if name != "mode"} | set(query.by)
    if narrowing & set(CHECK_DIMENSIONS):
        # A catch is unique among all layers, also those that filters or groups leave out.
        kept = tuple(pair for pair in enforced.filters if pair[0] not in narrowing & set(CHECK_DIMENSIONS))
        whole = replace(enforced, by=(), filters=kept)
        everywhere = _layer_sets(checks(backend, whole), layers, ())
        everywhere = everywhere.select("request_id", all_triggered=everywhere.triggered_set)
        seen = seen.left_join(everywhere, "request_id").drop("request_id_right")
    else:
        seen = seen.mutate(all_triggered=seen.triggered_set)
    return _count(backend, seen, layers, query)


def enforced_only(query: Query) -> Query:
    """The same question about enforced checks, unless it names a mode: what only watches is no part of the cascade."""
    if "mode" in query.alternatives():
        return query
    return replace(query, filters=(*query.filters, ("mode", "enforce")))


def _layers(backend: BaseBackend, query: Query) -> list[str | None]:
    """Layers that checks of the window name: configured ones in cascade order, then others by name, null last."""
    rollup = within(backend.table("check_rollup"), "minute", _floor(query.since), query.until)
    found = set(fetch(backend, rollup.select("layer").distinct())["layer"].to_list())
    ordered: list[str | None] = [layer for layer in query.layers if layer in found]
    ordered += sorted(layer for layer in found if layer is not None and layer not in query.layers)
    if len(ordered) > _MOST_LAYERS:
        ordered = [layer for layer in ordered[:_MOST_LAYERS] if layer != _REST] + [_REST]
    return [*ordered, None]


def _floor(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(second=0, microsecond=0)


def _layer_sets(table: Table, layers: list[str | None], by: tuple[str, ...]) -> Table:
    """One row per turn (and group) with the sets of layers that it reached, that triggered, that stopped it."""
    bits = {layer: 1 << position for position, layer in enumerate(layers)}
    bit = ibis.cases(
        *((table.layer == layer, ibis.literal(value, "int64")) for layer, value in bits.items() if layer is not None),
        (table.layer.isnull(), ibis.literal(bits[None], "int64")),
        else_=ibis.literal(bits.get(_REST, 0), "int64"),
    )
    is_ok = table.status == "ok"
    fired = is_ok & table.triggered
    stopped = fired & table.enforced & table.decision.isin(STOPPING)
    return table.group_by("request_id", *by).agg(
        reached_set=union_of_bits(bit, table.status.isin(("ok", "undecided", "error"))),
        triggered_set=union_of_bits(bit, fired),
        stopped_set=union_of_bits(bit, stopped),
    )


def union_of_bits(bit: IntegerColumn, condition: BooleanValue) -> IntegerColumn:
    """The bits of a group's rows for which the condition holds, as one number."""
    nothing = ibis.literal(0, "int64")
    return ibis.ifelse(condition.fill_null(False), bit, nothing).bit_or().cast("int64")


def _count(backend: BaseBackend, seen: Table, layers: list[str | None], query: Query) -> pl.DataFrame:
    """Sums the bits of every layer in one pass and turns the wide row into one per layer."""
    one_layer = (seen.all_triggered & (seen.all_triggered - 1)) == 0
    sums = {}
    for position in range(len(layers)):
        bit = ibis.literal(1 << position, "int64")
        caught = (seen.triggered_set & bit) != 0
        sums[f"reached_{position}"] = (seen.reached_set & bit) != 0
        sums[f"triggered_{position}"] = caught
        sums[f"stopped_{position}"] = (seen.stopped_set & bit) != 0
        sums[f"unique_catches_{position}"] = caught & one_layer
    wide = fetch(
        backend,
        seen.aggregate(
            by=list(query.by),
            **{name: flag.cast("int64").sum().fill_null(0).cast("int64") for name, flag in sums.items()},
        ),
    )
    if query.by:
        wide = wide.sort(query.by, nulls_last=True)
    parts = [
        wide.select(
            *query.by,
            pl.lit(layer, dtype=pl.String).alias("layer"),
            *(pl.col(f"{name}_{position}").alias(name) for name in _COUNTS),
            pl.lit(position).alias("position"),
        )
        for position, layer in enumerate(layers)
    ]
    rows = pl.concat(parts).filter(pl.col("reached") > 0)
    return rows.sort(*query.by, "position", nulls_last=True).drop("position")


REPORT = Report(
    key="funnel",
    title="Cascade",
    unit="turn",
    better="neither",
    description="Distinct turns that each layer saw, triggered on and stopped, in cascade order. Only checks in mode "
    "enforce count, unless the filters name a mode.",
    source="Counts.",
    columns={
        "layer": "kind of filter; null = not logged",
        "reached": "turns that a check of the layer ran on, failed checks included",
        "triggered": "turns that a check of the layer triggered on",
        "stopped": "turns that a trigger of the layer blocked, modified or escalated in effect",
        "unique_catches": "turns that no other layer triggered on",
    },
    dimensions=("stage", *TURN_DIMENSIONS, "hour", "day"),
    compute=compute,
)
