"""What appears in the data for the first time: versions of filters, policies and models, new filters, new rules."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import polars as pl
from ibis.backends import BaseBackend
from ibis.expr.types import Table

from core.events import DERIVED, StoreBackend
from ingest.policies import KEYS, refresh_policies
from metrics.additive import check_counts, total
from metrics.events import checks, fetch, matching, turns, within
from metrics.query import CHECK_DIMENSIONS, TURN_DIMENSIONS, Query
from metrics.silence import chance_of_none

WHATS = ("filter", "filter version", "rule", "policy version", "model", "model version")
# What the first day holds was there before: only a version of something known is a change.
_BEGINNING = timedelta(days=1)
# A rule that fires seldom may have been there long before its first hit.
_SURPRISE = 1e-3
SCHEMA: dict[str, pl.DataType] = {
    "at": pl.Datetime("us"),
    "what": pl.String(),
    "filter_name": pl.String(),
    "name": pl.String(),
    "from": pl.String(),
    "to": pl.String(),
}
"""One change: when (minute, naive UTC), what (`WHATS`), the filter (null for models), the filter's, rule's, policy's or
model's name, the version that was seen before (null for what is new as a whole) and the one from then on."""


def find_first_seen(backend: BaseBackend, query: Query) -> pl.DataFrame:
    """Changes of the query's window by its `by`, newest first; `by` columns, then `SCHEMA`.

    The filters say which checks and turns count. All that is stored up to the window's end tells what is new.
    """
    return _newest_first(_find_in_checks(backend, query), _find_models(backend, query), query)


def find_seen_anywhere(backend: BaseBackend, query: Query) -> pl.DataFrame:
    """`find_first_seen` at little cost, however much is stored: each change is narrowed only by what its own log says.

    A filter, rule or policy counts as new when no check was stored of it, whatever application or model that was for, and is listed where its
    filter ran in the window under all of the query's filters. A model is narrowed by facts of turns alone.
    """
    of_checks = replace(query, filters=query.of(*CHECK_DIMENSIONS))
    found = _find_in_checks(backend, of_checks)
    if of_checks.filters != query.filters and not found.is_empty():
        running = check_counts(backend, replace(query, by=("filter_name",))).select("filter_name").distinct()
        found = found.join(fetch(backend, running), on="filter_name", how="semi")
    return _newest_first(found, _find_models(backend, replace(query, filters=query.of(*TURN_DIMENSIONS))), query)


def _newest_first(of_checks: pl.DataFrame, of_models: pl.DataFrame, query: Query) -> pl.DataFrame:
    found = pl.concat([of_checks, of_models])
    if query.since is not None:
        found = found.filter(pl.col("at") >= query.since)
    return found.sort("at", "what", "filter_name", "name", *query.by, descending=[True, *[False] * (3 + len(query.by))])


def _find_in_checks(backend: BaseBackend, query: Query) -> pl.DataFrame:
    asked = replace(query, since=None)
    return pl.concat([find(backend, asked) for find in (_find_filters, _find_rules, _find_policies)])


def _find_filters(backend: BaseBackend, query: Query) -> pl.DataFrame:
    by = _without(query, "filter_name", "filter_version")
    table = check_counts(backend, replace(query, by=(*by, "filter_name", "filter_version")))
    keys = [*by, "filter_name", "filter_version"]
    rows = fetch(backend, table.group_by(keys).agg(at=table["at"].min())).drop_nulls("filter_name")
    return _order_versions(
        rows.with_columns(_minute("at"), name="filter_name"), query, version="filter_version", new="filter"
    )


def _find_rules(backend: BaseBackend, query: Query) -> pl.DataFrame:
    by = _without(query, "filter_name", "rule_id")
    counts = check_counts(backend, replace(query, by=(*by, "filter_name", "rule_id")))
    keys = [*by, "filter_name", "rule_id"]
    fired = counts.filter(counts.triggered > 0, counts.rule_id.notnull())
    rules = fetch(backend, fired.group_by(keys).agg(at=fired["at"].min(), hits=total(fired, "triggered")))
    daily = counts.mutate(day=counts["at"].date())
    whole = fetch(
        backend, daily.group_by([*by, "filter_name", "day"]).agg(evaluated=total(daily, "evaluated"))
    ).with_columns(pl.col("day").cast(pl.Date))
    pairs = rules.with_row_index("rule").join(whole, on=[*by, "filter_name"], nulls_equal=True)
    is_before = pl.col("day") < pl.col("at").dt.date()
    tried = pairs.group_by("rule").agg(
        before=pl.col("evaluated").filter(is_before).sum(), after=pl.col("evaluated").filter(~is_before).sum()
    )
    rules = rules.with_row_index("rule").join(tried, on="rule", how="left").sort("rule")
    chances = [
        chance_of_none(min(hits, after), after, before) if before and after else 1.0
        for hits, before, after in rules.select("hits", "before", "after").fill_null(0).iter_rows()
    ]
    new = rules.filter(pl.Series(chances, dtype=pl.Float64) < _SURPRISE)
    return _shape(
        new.with_columns(_minute("at"), name="rule_id", what=pl.lit("rule"), to="rule_id"), query, origin=None
    )


def _find_policies(backend: BaseBackend, query: Query) -> pl.DataFrame:
    keys = [*_without(query, "filter_name"), "filter_name", "policy_id", "policy_version"]
    table = _policies(backend, replace(query, since=None))
    rows = fetch(backend, table.group_by(keys).agg(at=table.ts.min()))
    named = rows.with_columns(_minute("at"), name=pl.col("policy_id").fill_null("policy"))
    return _order_versions(named, query, version="policy_version", new=None)


def _policies(backend: BaseBackend, query: Query) -> Table:
    """Checks that name a policy's version; of each kind that the question tells apart only the first, where those are at hand."""
    if isinstance(backend, StoreBackend) and query.columns() <= set(KEYS):
        refresh_policies(backend.store)
        seen = backend.table("policies", database=(DERIVED, "main"))
        return matching(within(seen, "ts", None, query.until), query)
    table = checks(backend, query)
    return table.filter(table.policy_version.notnull())


def _find_models(backend: BaseBackend, query: Query) -> pl.DataFrame:
    table = turns(backend, replace(query, since=None))
    table = table.filter(table.model.notnull())
    by = [name for name in _without(query, "model") if name in table.columns]
    rows = fetch(backend, table.group_by([*by, "model", "model_version"]).agg(at=table.ts.min()))
    named = rows.with_columns(_minute("at"), name="model", filter_name=pl.lit(None, dtype=pl.String))
    return _order_versions(named, query, version="model_version", new="model")


def _order_versions(rows: pl.DataFrame, query: Query, *, version: str, new: str | None) -> pl.DataFrame:
    """Versions that followed another of the same subject, and subjects (`new`) that were not there from the beginning."""
    subject = [*(name for name in query.by if name in rows.columns), "filter_name", "name"]
    beginning = rows["at"].min()
    ordered = (
        rows.drop_nulls("name")
        .sort("at", version)
        .with_columns(origin=pl.col(version).shift(1).over(subject), place=pl.int_range(pl.len()).over(subject))
    )
    kind = {"filter_version": "filter version", "policy_version": "policy version", "model_version": "model version"}
    changed = ordered.filter(pl.col("place") > 0, pl.col(version).is_not_null()).with_columns(
        what=pl.lit(kind[version]), to=version
    )
    if new is None or beginning is None:
        return _shape(changed, query, origin="origin")
    late = pl.lit(beginning).cast(pl.Datetime("us")) + _BEGINNING
    appeared = ordered.filter(pl.col("place") == 0, pl.col("at") >= late).with_columns(
        what=pl.lit(new), to=pl.col(version).fill_null(pl.col("name"))
    )
    return pl.concat([_shape(changed, query, origin="origin"), _shape(appeared, query, origin=None)])


def _shape(rows: pl.DataFrame, query: Query, *, origin: str | None) -> pl.DataFrame:
    """`by` columns, then `SCHEMA`; a `by` column that the subject does not have is null."""
    by = [pl.col(name) if name in rows.columns else pl.lit(None, dtype=pl.String).alias(name) for name in query.by]
    before = pl.lit(None, dtype=pl.String) if origin is None else pl.col(origin)
    return rows.with_columns(before.alias("from")).select(
        *by, *(pl.col(name).cast(dtype) for name, dtype in SCHEMA.items())
    )


def _without(query: Query, *names: str) -> list[str]:
    return [name for name in query.by if name not in names]


def _minute(name: str) -> pl.Expr:
    return pl.col(name).cast(pl.Datetime("us")).dt.truncate("1m")
