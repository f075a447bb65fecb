"""From verdicts to a survey sample: which rows count in which group, and the rest of the design around them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import partial

import polars as pl
from ibis.backends import BaseBackend
from ibis.expr.types import Table

from core.events import EventStore, StoreBackend
from metrics.consensus import consensus
from metrics.events import fetch, matching, within
from metrics.judged import judged
from metrics.query import Query

# A turn's own time may differ from that of its checks.
_MARGIN = timedelta(days=1)


def fetch_verdicts(backend: BaseBackend) -> pl.DataFrame:
    """Settled verdicts on turns; an unresolved tie counts as unreviewed.

    The event store derives them once for as long as no vote and no guideline is added.

    Returns:
        request_id, judged_filter (null = about the turn), harmful, stratum, inclusion_probability,
        label_conversation_id.
    """
    if isinstance(backend, StoreBackend):
        return backend.store.remember("verdicts", _mark_verdicts(backend.store), partial(_settle, backend))
    return _settle(backend)


def _mark_verdicts(events: EventStore) -> tuple[int, ...]:
    """What the verdicts follow from: the votes; and once a guideline says which categories changed, the checks of their turns."""
    marks = events.read(
        "SELECT (SELECT count(*) FROM labels) AS labels, (SELECT max(ingest_id) FROM labels) AS last, "
        "(SELECT count(*) FROM guidelines) AS guidelines, "
        "(SELECT max(ingest_id) FROM ingests WHERE EXISTS (FROM guidelines)) AS version"
    )
    return marks.row(0)


def _settle(backend: BaseBackend) -> pl.DataFrame:
    verdicts = consensus(backend)
    return fetch(
        backend,
        verdicts.filter(verdicts.harmful.notnull()).select(
            "request_id",
            "harmful",
            "stratum",
            "inclusion_probability",
            judged_filter=verdicts.filter_name,
            label_conversation_id=verdicts.conversation_id,
        ),
    )


def pick_verdicts(verdicts: pl.DataFrame, filter_name: str) -> pl.DataFrame:
    """One verdict per turn for one filter: the one about it, where there is one, before the one about the turn.

    Args:
        verdicts: From `fetch_verdicts`.
        filter_name: The filter in question.
    """
    about = verdicts.filter(pl.col("judged_filter").is_null() | (pl.col("judged_filter") == filter_name))
    return about.sort("judged_filter", nulls_last=True).unique("request_id", keep="first", maintain_order=True)


def keep_labelled(backend: BaseBackend, table: Table) -> Table:
    """Rows of `table` whose turn has a label: few turns are ever judged, so this makes what follows cheap."""
    return table.semi_join(backend.table("labels").select("request_id"), "request_id")


def add_conversation(backend: BaseBackend, table: Table, query: Query) -> Table:
    """`table` of labelled turns, which has `request_id`, with `conversation_id` of the turn; null when none is known near the window."""
    since = None if query.since is None else query.since - _MARGIN
    until = None if query.until is None else query.until + _MARGIN
    facts = within(judged(backend, "turns"), "ts", since, until).select("request_id", "conversation_id")
    return table.left_join(facts, "request_id").drop("request_id_right")


def keep_category(backend: BaseBackend, table: Table, query: Query) -> Table:
    """`table` of turns with `category` as people see it, and only what the query's filter on it keeps.

    A query that does not name a category leaves the table as it is.
    """
    if "category" not in query.columns():
        return table
    verdicts = consensus(backend)
    verdicts = verdicts.filter(verdicts.filter_name.isnull()).select("request_id", "category")
    table = table.left_join(verdicts, "request_id").drop("request_id_right")
    return matching(table, replace(query, filters=query.of("category")))


def number_groups(rows: pl.DataFrame, by: tuple[str, ...]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Numbers the groups of a result.

    Returns:
        The groups in order (columns `by` and `group`; without `by` always exactly one), and `rows` with `group`.
    """
    if not by:
        only = pl.DataFrame({"group": [0]}, schema={"group": pl.Int64})
        return only, rows.with_columns(group=pl.lit(0, dtype=pl.Int64))
    keys = list(by)
    groups = rows.select(keys).unique().sort(keys, nulls_last=True)
    groups = groups.with_columns(group=pl.int_range(pl.len(), dtype=pl.Int64))
    return groups, rows.join(groups, on=keys, how="left", nulls_equal=True)


def complete_design(sample: pl.DataFrame, verdicts: pl.DataFrame) -> pl.DataFrame:
    """Adds the reviewed turns outside every group that were drawn from the same strata.

    They add nothing to an estimate, but the variance of a domain is taken over the whole design (statistics.md
    section 3).

    Args:
        sample: Rows that count, with the columns `metrics.survey.REVIEWS` and boolean columns.
        verdicts: All verdicts (`fetch_verdicts`).

    Returns:
        `sample` and the added rows, whose `group` is -1 and whose boolean columns are false. A census has no such
        variance, and stays as it is.
    """
    if sample.is_empty() or sample["inclusion_probability"].min() == 1:
        return sample
    others = (
        verdicts.filter(pl.col("inclusion_probability").is_not_null())
        .join(sample.select("stratum").unique(), on="stratum", how="semi", nulls_equal=True)
        .join(sample, on="request_id", how="anti")
        .unique("request_id", maintain_order=True)
        .select(
            "request_id",
            "stratum",
            "inclusion_probability",
            pl.lit(-1, dtype=pl.Int64).alias("group"),
            pl.col("label_conversation_id").alias("conversation_id"),
            *(pl.lit(value=False).alias(name) for name, dtype in sample.schema.items() if dtype == pl.Boolean),
        )
    )
    return pl.concat([sample, others], how="diagonal")


def describe_unsampled(count: int) -> list[str]:
    """The note on reviewed turns that no estimate may use; none without such turns."""
    if not count:
        return []
    return [f"{count} reviewed outside a probability sample: they enter no estimate (see weir sample)."]
