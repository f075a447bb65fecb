"""What a feedback set would hold now: read through the cache, and bound by the sets built earlier."""

from __future__ import annotations

from core.events import EventStore
from dashboard import data
from incidents.exports.build import ExportPreview, preview_export
from incidents.exports.feedback import Recipe
from incidents.exports.ledger import read_bindings
from incidents.exports.variants import choose_exporter
from incidents.ranking.exported import read_ranked
from metrics.query import Query


def preview_set(
    events: EventStore,
    name: str,
    *,
    ledger: int | None,  # noqa: ARG001 - part of the cache key
    rankings: int,
    query: Query,
    split: dict[str, float],
    seed: int,
    include_contested: bool,
) -> ExportPreview:
    """`preview_export` under the decision store: number of the last set there, and how many rankings were cast."""
    records = data.home().records
    recipe = Recipe(choose_exporter(name), query, split, seed, include_contested)
    ranked = read_ranked(records) if rankings else None
    return preview_export(events, recipe, bindings=read_bindings(records, name=name), ranked=ranked)
