"""What a feedback set would hold now: read through the cache, and bound by the sets built earlier."""

from __future__ import annotations

from core.events import EventStore
from dashboard import data
from dashboard.components.feedback_options import Options
from incidents.exports.build import ExportPreview, preview_export
from incidents.exports.feedback import Recipe
from incidents.exports.ledger import read_bindings
from incidents.ranking.exported import read_ranked
from metrics.query import Query


def preview_set(
    events: EventStore,
    options: Options,
    *,
    query: Query,
    ledger: int | None,  # noqa: ARG001 - part of the cache key
    rankings: int,
) -> ExportPreview:
    """`preview_export` under the decision store: number of the last set there, and how many rankings were cast."""
    records = data.home().records
    recipe = Recipe(
        options.exporter, query, options.split(), options.seed, options.include_contested, options.new_since
    )
    bindings = read_bindings(records, name=options.name, new_since=options.new_since)
    return preview_export(events, recipe, bindings=bindings, ranked=read_ranked(records) if rankings else None)
