"""Judged turns out of the event store, each with its consensus, its votes and its conversation so far."""

from __future__ import annotations

import ibis
import polars as pl
from ibis.backends import BaseBackend

from core.events import EventStore
from incidents.enums import VerdictReason
from incidents.exports.exporter import has_text, normalise
from incidents.exports.prompts import add_prompts
from incidents.exports.verdicts import read_verdicts
from metrics.consensus import consensus, standing_votes
from metrics.events import turns as select_turns
from metrics.query import Query

LENGTH_LIMITS = (50, 200, 800, 3200)
"""Upper bounds of the length classes, in characters of the prompt."""
_TURN_COLUMNS = (
    "request_id",
    "ts",
    "conversation_id",
    "user_id",
    "turn_index",
    "language",
    "prompt",
    "messages",
    "response",
    "final_text",
    "outcome",
)
# Named one by one: a column that both tables have would silently come from the wrong one.
_VERDICT_COLUMNS = (
    "request_id",
    "harmful",
    "votes",
    "harmful_votes",
    "benign_votes",
    "unsure_votes",
    "is_contested",
    "is_adjudicated",
    "is_stale",
    "category",
    "severity",
    "selection",
    "stratum",
    "inclusion_probability",
    "guideline_version",
    "last_label_at",
)
_VOTE_COLUMNS = (
    "request_id",
    "reviewer",
    "harmful",
    "reason",
    "principle_id",
    "revision",
    "critique",
    "label_id",
    "position",
)


def read_labelled(events: EventStore, query: Query) -> pl.DataFrame:
    """Every turn that people judged, in order of time.

    Returns:
        One row per judged turn: the turn's columns; those of `metrics.consensus`; `messages` and
        `context_ids` (`prompts.add_prompts`); `revision`, `critique` and the columns of `verdicts.read_verdicts`;
        `triggered_filter`, `triggered_rule`, `triggered_category` (of the first enforced trigger; null without one); `length_class` (of the prompt); `label_ids`, `reviewers`, `reasons`, `principle_ids` (of the standing votes, oldest first);
        `is_selected` (the query's window and filters hold it). Turns outside the query are there because
        grouping and the search for harmful texts need them.
    """
    backend = events.backend()
    verdicts = consensus(backend, with_stale=True)
    verdicts = verdicts.filter(verdicts.filter_name.isnull()).select(*_VERDICT_COLUMNS)
    turns = verdicts.join(backend.table("turns").select(*_TURN_COLUMNS), "request_id").to_polars()
    votes = standing_votes(backend)
    votes = votes.filter(votes.filter_name.isnull()).select(*_VOTE_COLUMNS)
    selected = select_turns(backend, query).select("request_id").to_polars()
    turns = turns.sort("ts", "request_id", nulls_last=True).with_columns(
        is_selected=pl.col("request_id").is_in(selected["request_id"].implode()),
        is_withheld=pl.col("request_id").is_in(_read_withheld(backend)["request_id"].implode()),
    )
    turns = turns.join(
        _summarise_votes(votes.to_polars(), turns), on="request_id", how="left", maintain_order="left"
    ).with_columns(pl.col("is_faulted").fill_null(value=False))
    turns = turns.join(_read_triggers(backend), on="request_id", how="left", maintain_order="left")
    turns = turns.with_columns(length_class=_classify_length(pl.col("prompt")))
    turns = add_prompts(turns, _read_conversations(backend, turns))
    return read_verdicts(turns)


def read_reviewers(events: EventStore) -> dict[str, str]:
    """Each reviewer's pseudonym, numbered by first verdict, so that new reviewers do not rename old ones."""
    labels = events.backend().table("labels")
    first = labels.group_by("reviewer").agg(first_at=labels.ts.min()).to_polars().sort("first_at", "reviewer")
    return {name: f"reviewer-{number}" for number, name in enumerate(first["reviewer"], start=1)}


def read_filter_versions(events: EventStore) -> pl.DataFrame:
    """The filters that checked each judged turn: request_id, filter_name, filter_version, policy_id, policy_version."""
    backend = events.backend()
    checks = backend.table("checks").select(
        "request_id", "filter_name", "filter_version", "policy_id", "policy_version"
    )
    judged = backend.table("labels").select("request_id").distinct()
    found: pl.DataFrame = checks.semi_join(judged, "request_id").distinct().to_polars()
    return found


def find_harmful_texts(labelled: pl.DataFrame) -> pl.Series:
    """Answers that were judged harmful anywhere in the store, white space normalised, distinct."""
    harmful = labelled.filter(pl.col("harmful") & pl.col("bad").is_not_null())
    return harmful.select(text=normalise(pl.col("bad")))["text"].unique()


def _read_withheld(backend: BaseBackend) -> pl.DataFrame:
    """Turns whose answer an enforced output filter blocked."""
    checks = backend.table("checks")
    blocking = checks.filter(
        checks.status == "ok", checks.decision == "block", checks.enforced, checks.stage == "output"
    )
    found: pl.DataFrame = blocking.select("request_id").distinct().to_polars()
    return found


def _read_triggers(backend: BaseBackend) -> pl.DataFrame:
    """The first enforced trigger on each judged turn: request_id, triggered_filter, triggered_rule, triggered_category."""
    checks = backend.table("checks")
    fired = checks.filter(checks.status == "ok", checks.triggered, checks.enforced)
    fired = fired.semi_join(backend.table("labels"), "request_id")
    # Blanks instead of nulls, because filter, rule and category must come from the same check.
    named = {"filter": fired.filter_name, "rule": fired.rule_id, "category": fired.category}
    order = fired.ts.epoch_seconds().cast("string") + fired.check_id.cast("string")
    found: pl.DataFrame = (
        fired.group_by("request_id")
        .agg(**{f"triggered_{name}": column.fill_null("").argmin(order) for name, column in named.items()})
        .to_polars()
    )
    return found.with_columns(pl.col(f"triggered_{name}").replace("", None) for name in named)


def _read_conversations(backend: BaseBackend, turns: pl.DataFrame) -> pl.DataFrame:
    """All turns of the conversations whose judged turns were logged without their context."""
    wanted = turns.filter(pl.col("messages").is_null() & pl.col("conversation_id").is_not_null())
    table = backend.table("turns")
    judged = ibis.memtable(wanted.select("conversation_id").unique())
    found: pl.DataFrame = (
        table.semi_join(judged, "conversation_id")
        .select("request_id", "conversation_id", "turn_index", "ts", "prompt", "response", "final_text")
        .to_polars()
    )
    return found


def _classify_length(text: pl.Expr) -> pl.Expr:
    """How many of `LENGTH_LIMITS` the text is longer than; null for null."""
    return pl.sum_horizontal((text.str.len_chars() > limit).cast(pl.Int64) for limit in LENGTH_LIMITS)


def _summarise_votes(votes: pl.DataFrame, turns: pl.DataFrame) -> pl.DataFrame:
    """Per turn who voted and why, and the newest revision and any fault found by votes of the majority."""
    votes = votes.join(turns.select("request_id", verdict="harmful"), on="request_id", maintain_order="left").sort(
        "request_id", "position"
    )
    agrees = (pl.col("harmful") == pl.col("verdict")).fill_null(value=False)
    is_fault = has_text(pl.col("critique")) | (pl.col("reason") == VerdictReason.PARTIAL_HARM.value).fill_null(
        value=False
    )
    return votes.group_by("request_id", maintain_order=True).agg(
        revision=pl.col("revision").filter(agrees & has_text(pl.col("revision"))).last(),
        critique=pl.col("critique").filter(agrees & has_text(pl.col("critique"))).last(),
        is_faulted=(agrees & is_fault).any(),
        label_ids=pl.col("label_id"),
        reviewers=pl.col("reviewer"),
        reasons=pl.col("reason").drop_nulls().unique(maintain_order=True),
        principle_ids=pl.col("principle_id").drop_nulls().unique(maintain_order=True),
    )
