"""What an incident did, as far as logs and verdicts tell: turns, users, wrong blocks or misses, with intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from core.events import EventStore
from core.settings import Settings
from incidents.response.enums import LinkKind
from incidents.response.life import Life
from metrics import errors
from metrics.events import checks, fetch
from metrics.query import Query

_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Impact:
    """Figures of the incident's window, over its filters and rules, or all filters when none is linked.

    Attributes:
        since: Start of the window: the minute in which the incident began, naive UTC.
        until: Its end: mitigated, else closed, else now.
        triggered: Turns that they triggered on, shadow runs included.
        stopped: Turns on which a trigger took effect.
        users: Users of those turns, as far as logs name them.
        wrong_block_share: Rate record of enforced triggers; benign / triggered.
        wrong_blocks: Estimated number of stopped turns that were benign: share x stopped, with interval.
        missed_harm_rate: Rate record; None where single rules are linked, which answer for no misses.
    """

    since: datetime
    until: datetime
    triggered: int
    stopped: int
    users: int
    wrong_block_share: Mapping[str, Any]
    wrong_blocks: Mapping[str, float | None]
    missed_harm_rate: Mapping[str, Any] | None


def measure_impact(events: EventStore, life: Life, *, settings: Settings, at: datetime) -> Impact:
    """The figures of an incident as of now: late logs and new verdicts change them."""
    return measure_window(events, build_query(life, settings=settings, at=at))


def build_query(life: Life, *, settings: Settings, at: datetime) -> Query:
    """The incident's window in whole minutes, up to `at` while it lasts, with the filters and rules that are linked."""
    since = life.started_at.replace(second=0, microsecond=0)
    end = life.mitigated_at or life.closed_at or at
    until = max(end, since).replace(second=0, microsecond=0) + _MINUTE
    filters = [("filter_name", name) for name in life.linked(LinkKind.FILTER)]
    rules = [("rule_id", name) for name in life.linked(LinkKind.RULE)]
    return Query(
        since=since,
        until=until,
        filters=(*filters, *rules),
        min_sample=settings.statistics.min_sample,
        confidence=settings.statistics.confidence,
    )


def measure_window(events: EventStore, query: Query) -> Impact:
    """The figures of the window and filters of `build_query`; the same until new data comes.

    Raises:
        ValueError: The window is open.
    """
    if query.since is None or query.until is None:
        raise ValueError("an incident has a window")
    backend = events.backend()
    table = checks(backend, query)
    table = table.filter(table.status == "ok", table.triggered)
    turns = backend.table("turns").select("request_id", "user_id")
    hit = table.group_by("request_id").agg(stopped=table.enforced.fill_null(False).any())
    rows = fetch(backend, hit.left_join(turns, "request_id").select("request_id", "stopped", "user_id"))
    enforced = replace(query, filters=(*query.filters, ("mode", "enforce")))
    judged = errors.compute(backend, enforced).row(0, named=True)
    share = judged["wrong_block_share"]
    stopped = rows.filter("stopped").select(pl.col("request_id").n_unique()).item()
    is_known = share["estimate"] is not None
    scaled = {name: share[name] * stopped if is_known else None for name in ("estimate", "low", "high")}
    return Impact(
        since=query.since,
        until=query.until,
        triggered=rows["request_id"].n_unique(),
        stopped=stopped,
        users=rows["user_id"].drop_nulls().n_unique(),
        wrong_block_share=share,
        wrong_blocks=scaled,
        missed_harm_rate=None if query.of("rule_id") else judged["missed_harm_rate"],
    )
