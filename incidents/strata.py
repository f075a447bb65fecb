"""The traffic that a review sample is drawn from, cut into strata: filter x action x score band.

A turn is spoken for by the first filter of the cascade that triggered on it, else it passed. Bands are ranks among checks of the
same filter version, so that they need no common scale: of what passed, the highest-scored twentieth is "near" the threshold; of what
triggered, the lower half is "low". Passed traffic always has strata of its own, else misses are invisible.

Every turn has a permanent random number, a hash of its name and the home's seed, and a draw takes the lowest of each stratum
(Ohlsson 1995). Draws of overlapping traffic therefore take overlapping turns, and add up to one sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from core.errors import UsageError
from core.events import EventStore
from metrics.query import Query

TURN_FILTERS = ("model", "app", "language", "outcome", "suite", "arm")
# What decides whether a check belongs to the question, and what decides whether it counts as a trigger: rule and
# category are logged when a filter fires, so that asking for them must not remove the traffic that passed.
CHECK_FILTERS = ("filter_name", "filter_version", "layer", "stage", "mode")
TRIGGER_FILTERS = ("rule_id", "category")
_NEAR, _LOW = 0.95, 0.5
# Fewest turns that make a band worth reviews of its own.
_LEAST_BAND = 10


def read_candidates(
    events: EventStore,
    query: Query,
    *,
    kept: Sequence[str],
    n: int,
    seed: int,
    layers: Sequence[str],
) -> pl.DataFrame:
    """The turns that a draw may take, and what is known of their strata.

    Args:
        events: The event store.
        query: Window and filters. Without a filter, layer, stage, mode or version: all turns, else those that some matching filter
            evaluated.
        kept: Turns to return whatever their place: those drawn or judged before.
        n: Turns of each stratum to return besides, lowest number first.
        seed: The home's seed.
        layers: Layers in cascade order.

    Returns:
        request_id, conversation_id, ts, is_triggered, parent (filter and action), band (null without score),
        number (the permanent random number, text that sorts), size (turns of parent and band).

    Raises:
        UsageError: A filter cannot be applied to turns.
    """
    values: dict[str, Any] = {"kept": list(kept), "n": n, "seed": str(seed), "layers": list(layers)}
    turn_conditions = ["turns.ts IS NOT NULL", *_window(query, values)]
    check_conditions, trigger_conditions = ["status = 'ok'"], ["triggered"]
    for name, chosen in query.alternatives().items():
        condition = f"{name} IN (SELECT unnest(${name}::VARCHAR[]))"
        if name in TURN_FILTERS:
            turn_conditions.append(f"turns.{condition}")
        elif name in CHECK_FILTERS:
            check_conditions.append(f"checks.{condition}")
        elif name in TRIGGER_FILTERS:
            trigger_conditions.append(f"checks.{condition}")
        else:
            valid = ", ".join((*CHECK_FILTERS, *TRIGGER_FILTERS, *TURN_FILTERS))
            raise UsageError("A sample cannot be filtered by this", repr(name), f"Valid: {valid}.")
        values[name] = list(chosen)
    is_asked = len(check_conditions) > 1
    statement = f"""
    WITH asked_turns AS (
        SELECT request_id, conversation_id, ts FROM turns WHERE {" AND ".join(turn_conditions)}
    ), asked AS (
        SELECT checks.request_id, filter_name, filter_version, layer, decision, score,
            coalesce({" AND ".join(trigger_conditions)}, false) AS is_fired
        FROM checks SEMI JOIN asked_turns USING (request_id) WHERE {" AND ".join(check_conditions)}
    ), ranked AS (
        -- Two filters of one layer are told apart by name, so that a plan is what the draw then does.
        SELECT *, row_number() OVER (PARTITION BY request_id ORDER BY is_fired DESC,
                coalesce(list_position($layers::VARCHAR[], layer), 99), filter_name, filter_version, decision, score) AS turn_order,
            CASE WHEN score IS NOT NULL THEN percent_rank() OVER (
            PARTITION BY filter_name, filter_version, is_fired, score IS NULL ORDER BY score) END AS rank
        FROM asked
    ), spoken AS (
        SELECT request_id, bool_or(is_fired) AS is_triggered,
            arg_min([filter_name, coalesce(decision, '')], turn_order) AS voice,
            max(rank) FILTER (NOT is_fired) AS passed_rank,
            arg_min(rank, turn_order) FILTER (is_fired) AS fired_rank
        FROM ranked GROUP BY request_id
    ), population AS (
        SELECT asked_turns.*, coalesce(is_triggered, false) AS is_triggered,
            CASE WHEN is_triggered THEN voice[1] || '/triggered' || coalesce('/' || nullif(voice[2], ''), '')
                ELSE {"voice[1] || '/passed'" if is_asked else "'passed'"} END AS parent,
            CASE WHEN is_triggered THEN CASE WHEN fired_rank < {_LOW} THEN 'low' WHEN fired_rank IS NOT NULL THEN 'high' END
                WHEN passed_rank >= {_NEAR} THEN 'near' WHEN passed_rank IS NOT NULL THEN 'far' END AS band,
            md5($seed || ':' || request_id) AS number
        FROM asked_turns {"JOIN" if is_asked else "LEFT JOIN"} spoken USING (request_id)
    )
    SELECT *, count(*) OVER (PARTITION BY parent, band) AS size,
        row_number() OVER (PARTITION BY parent, band, request_id IN (SELECT unnest($kept::VARCHAR[])) ORDER BY number, request_id) AS place
    FROM population QUALIFY place <= $n OR request_id IN (SELECT unnest($kept::VARCHAR[]))
    """  # noqa: S608  column names from the allow-lists above, values as parameters
    return events.read(statement, values).drop("place")


def _window(query: Query, values: dict[str, Any]) -> list[str]:
    conditions = []
    if query.since is not None:
        conditions.append("turns.ts >= $since")
        values["since"] = query.since
    if query.until is not None:
        conditions.append("turns.ts < $until")
        values["until"] = query.until
    return conditions


def form_strata(candidates: pl.DataFrame, *, n: int) -> pl.DataFrame:
    """`candidates` with `stratum` (its name) in place of parent and band, and `size` of the stratum.

    A parent is cut into its bands only where each of them holds some turns, and the budget reaches two turns of every stratum.
    """
    bands = candidates.group_by("parent", "band").agg(pl.col("size").first())
    parents = bands.group_by("parent").agg(whole=pl.col("size").sum(), bands=pl.len(), least=pl.col("size").min())
    is_cut = (pl.col("bands") > 1) & (pl.col("least") >= _LEAST_BAND)
    parents = parents.with_columns(is_cut=is_cut)
    if 2 * int(parents.select(pl.when("is_cut").then("bands").otherwise(1).sum()).item()) > n:
        parents = parents.with_columns(is_cut=pl.lit(value=False))
    named = pl.col("parent") + "/" + pl.col("band").fill_null("unscored")
    return (
        candidates.join(parents.select("parent", "whole", "is_cut"), on="parent")
        .with_columns(
            stratum=pl.when("is_cut").then(named).otherwise("parent"),
            size=pl.when("is_cut").then("size").otherwise("whole"),
        )
        .drop("parent", "band", "whole", "is_cut")
        .sort("stratum", "number", "request_id")
    )
