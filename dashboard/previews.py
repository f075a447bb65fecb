"""What a feedback set would hold now: read through the cache, and bound by the sets built earlier."""

from __future__ import annotations

from core.events import EventStore
from dashboard import data
from incidents.exports.build import ExportPreview, preview_export
from incidents.exports.ledger import read_earlier
from incidents.ranking.exported import read_ranked
from metrics.query import Query


def preview_set(
    events: EventStore,
    name: str,
    *,
    ledger: int | None,
    rankings: int,
    query: Query,
    split: dict[str, float],
    seed: int,
    include_contested: bool,
) -> ExportPreview:
    """`preview_export` under the ledger; `ledger` is its last number, `rankings` how many were cast: parts of the cache key."""
    return preview_export(
        events,
        name,
        query=query,
        split=split,
        seed=seed,
        include_contested=include_contested,
        earlier=read_earlier(data.home().records) if ledger else None,
        ranked=read_ranked(data.home().records) if rankings else None,
    )
