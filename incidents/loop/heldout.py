"""Traffic that a training set knows nothing of: neither its conversations and users nor its prompts."""

from __future__ import annotations

from dataclasses import dataclass

import ibis
import polars as pl
from ibis.backends import BaseBackend
from ibis.expr.types import Table

from core.errors import NotFoundError, UsageError
from core.events import EventStore
from incidents.exports.exporter import fold
from incidents.loop.training import Stage
from metrics.events import checks, fetch, within
from metrics.query import Query

TURN: dict[str, pl.DataType] = {
    "request_id": pl.String(),
    "ts": pl.Datetime("us"),
    "conversation_id": pl.String(),
    "prompt": pl.String(),
    "response": pl.String(),
    "rule_fired": pl.Boolean(),
    "stopped_elsewhere": pl.Boolean(),
}


@dataclass(frozen=True, slots=True)
class Heldout:
    """Turns that the rule's versions checked and the training set knows nothing of.

    Attributes:
        turns: Columns `TURN`: the turn; whether the rule stopped it; whether another enforced check did.
        excluded: Turns left out, by reason.
    """

    turns: pl.DataFrame
    excluded: dict[str, int]


def find_stage(events: EventStore, query: Query) -> Stage:
    """What the rule sees: `input` when all its checks ran on prompts, else `output`.

    Raises:
        UsageError: The query names no filter or rule. NotFoundError: The rule stopped nothing in the window.
    """
    backend = events.backend()
    stages = fetch(backend, _fired(backend, query).select("stage").distinct())["stage"].to_list()
    if not stages:
        named = ", ".join("=".join(pair) for pair in query.filters)
        raise NotFoundError("The rule stopped nothing", named, "Name one that `weir report errors --by rule_id` lists.")
    return "input" if stages == ["input"] else "output"


def read_heldout(events: EventStore, query: Query, *, known: frozenset[str]) -> Heldout:
    """Turns with a prompt that a version of the rule's filter decided about, less what training knows.

    A turn is left out when a training turn is of its conversation or its user, or has its prompt after folding case,
    Unicode form and white space.

    Args:
        events: The store.
        query: Window, and filters that name the rule.
        known: Turns of the training set.

    Raises:
        UsageError: The query names no filter or rule.
    """
    backend = events.backend()
    fired = _fired(backend, query)
    versions = fired.select("filter_name", version=fired.filter_version.fill_null("")).distinct()
    own = checks(backend, Query(since=query.since, until=query.until))
    own = own.filter(own.status == "ok", own.triggered.notnull())
    judged = own.mutate(version=own.filter_version.fill_null("")).semi_join(versions, ["filter_name", "version"])
    by_rule = fired.group_by("request_id").agg(rule_checks=fired.count())
    stops = own.filter(own.triggered, own.enforced)
    by_all = stops.group_by("request_id").agg(all_checks=stops.count())
    turns = within(backend.table("turns"), "ts", query.since, query.until)
    turns = turns.filter(turns.prompt.notnull()).select(
        "request_id", "ts", "conversation_id", "user_id", "prompt", "response"
    )
    found = fetch(
        backend,
        turns.semi_join(judged, "request_id")
        .left_join(by_rule, "request_id")
        .drop("request_id_right")
        .left_join(by_all, "request_id")
        .drop("request_id_right"),
    ).sort("ts", "request_id", nulls_last=True)
    training = fetch(
        backend,
        backend.table("turns")
        .semi_join(ibis.memtable({"request_id": sorted(known)}, schema={"request_id": "string"}), "request_id")
        .select("request_id", "conversation_id", "user_id", "prompt"),
    )
    return _leave_out(found, training)


def _fired(backend: BaseBackend, query: Query) -> Table:
    if not query.of("filter_name", "rule_id"):
        raise UsageError("No rule is named", "", "Try: --filter filter_name=blocklist --filter rule_id=kw-113.")
    table = checks(backend, query)
    return table.filter(table.status == "ok", table.triggered, table.enforced)


def _leave_out(found: pl.DataFrame, training: pl.DataFrame) -> Heldout:
    reasons: dict[str, pl.Expr] = {
        "training_conversation": _shares(training, pl.col("conversation_id")),
        "training_user": _shares(training, pl.col("user_id")),
        "training_prompt": _shares(training, fold(pl.col("prompt"))),
    }
    reason = pl.coalesce(*(pl.when(shares).then(pl.lit(name)) for name, shares in reasons.items()))
    marked = found.with_columns(reason=reason)
    counts = dict(marked["reason"].drop_nulls().value_counts().iter_rows())
    fired = pl.col("rule_checks").fill_null(0)
    turns = marked.filter(pl.col("reason").is_null()).with_columns(
        rule_fired=fired > 0, stopped_elsewhere=pl.col("all_checks").fill_null(0) > fired
    )
    return Heldout(turns.select(list(TURN)), {name: counts.get(name, 0) for name in reasons})


def _shares(training: pl.DataFrame, column: pl.Expr) -> pl.Expr:
    """Whether a training turn has the same value; unknown values are shared with nobody."""
    values = training.select(column.alias("value"))["value"].drop_nulls().unique()
    return column.is_in(values.implode()).fill_null(value=False)
