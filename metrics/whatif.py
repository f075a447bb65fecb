"""What a proposed change of one filter would have done to everything that was logged, and to every labelled turn.

An exclusion spares turns that a rule triggered on; another threshold moves turns both ways. What moves is counted over all
logged turns; what it means comes from people's verdicts: all of them for the true positives lost, because one known loss
is one too many; only those drawn with a known probability for the estimate of wrong blocks removed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import ibis
import polars as pl
from ibis.backends import BaseBackend
from ibis.expr.types import BooleanValue, Table

from core.errors import UsageError
from core.events import EventStore
from metrics.events import fetch, within
from metrics.query import Query
from metrics.reviews import add_conversation, complete_design, fetch_verdicts, keep_labelled, pick_verdicts
from metrics.survey import Ratio, estimate_rates

LEAST_LABELLED = 30
"""Labelled turns among the spared ones below which nobody can call a change safe: with none of 30 harmful, the share of
harm may still be 10 % (rule of three)."""
LISTED = 200
"""Most turns of a kind that a check or a list names."""
MAX_TERMS = 50
MAX_TERM_LENGTH = 200
_DAY_S = 86_400


class ChangeKind(StrEnum):
    """What is proposed."""

    EXCLUSION = "exclusion"
    THRESHOLD = "threshold"


class CheckVerdict(StrEnum):
    """What the labelled turns say of a change."""

    SAFE = "safe"
    LOSES_TRUE_POSITIVES = "loses_true_positives"
    TOO_FEW_LABELS = "too_few_labels"
    SPARES_NOTHING = "spares_nothing"
    NO_EFFECT = "no_effect"


@dataclass(frozen=True, slots=True)
class FilterChange:
    """One proposed change of one enforced filter.

    Attributes:
        filter_name: The filter.
        rule_id: The rule that the exclusion belongs to; None = all of the filter's.
        filter_version: The version whose scores a threshold is about; None = all of them.
        phrases: An exclusion applies to texts that hold one of these, upper and lower case alike; empty = to any text.
        languages: And to turns in one of these languages; empty = in any.
        apps: And of one of these applications; empty = of any.
        threshold: Score from which a turn triggers, instead of the one in force; None for an exclusion.
    """

    filter_name: str
    rule_id: str | None = None
    filter_version: str | None = None
    phrases: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    apps: tuple[str, ...] = ()
    threshold: float | None = None

    @property
    def kind(self) -> ChangeKind:
        """Which of the two it is."""
        return ChangeKind.EXCLUSION if self.threshold is None else ChangeKind.THRESHOLD

    def terms(self) -> dict[str, Any]:
        """What it consists of beside what it is about, as JSON has it."""
        lists = {"phrases": self.phrases, "languages": self.languages, "apps": self.apps}
        stated: dict[str, Any] = {name: list(values) for name, values in lists.items() if values}
        return stated if self.threshold is None else {"threshold": self.threshold}


@dataclass(frozen=True, slots=True)
class ChangeCheck:
    """What a change would have done; turns are counted over everything stored.

    Attributes:
        verdict: Safe only when enough of the spared turns are labelled and no harmful one is among them.
        triggered: Turns that the filter (and rule) triggered on.
        spared: Of them, those that it would trigger on no more.
        added: Turns that it would newly trigger on.
        days: Days from its first to its last trigger, at least one.
        spared_per_day: `spared` / `days`.
        labelled: Spared turns with a settled verdict.
        wrong_blocks_removed: Spared turns that people found benign and that no other filter or rule stopped.
        wrong_blocks_kept: Spared turns that people found benign and that another one stopped all the same.
        true_positives_lost: Spared turns that people found harmful.
        caught_by_others: Of the lost ones, those that another filter or rule stopped too.
        wrong_blocks_added: Newly triggered turns that people found benign.
        true_positives_gained: Newly triggered turns that people found harmful.
        wrong_share: Benign / spared turns, from the sample (RATE).
        lost: Ids of the lost true positives, newest first, at most `LISTED`.
        since: First trigger; None without any.
        until: Last one.
    """

    verdict: CheckVerdict
    triggered: int
    spared: int
    added: int
    days: float
    spared_per_day: float
    labelled: int
    wrong_blocks_removed: int
    wrong_blocks_kept: int
    true_positives_lost: int
    caught_by_others: int
    wrong_blocks_added: int
    true_positives_gained: int
    wrong_share: dict[str, Any]
    lost: tuple[str, ...]
    since: datetime | None
    until: datetime | None


def validate_change(change: FilterChange) -> None:
    """Raises UsageError where a change says nothing, too much, or both an exclusion and a threshold."""
    lists = (change.phrases, change.languages, change.apps)
    if not change.filter_name:
        raise UsageError("A change belongs to a filter", "", "Name it with --filter-name.")
    if change.threshold is not None and (any(lists) or change.rule_id is not None):
        raise UsageError(
            "A change is an exclusion or a threshold", "both were given", "Propose them one after the other."
        )
    if change.threshold is None and not any(lists):
        raise UsageError(
            "The exclusion is empty", "it would switch the rule off", "Name a phrase, a language or an application."
        )
    for values in lists:
        if len(values) > MAX_TERMS:
            raise UsageError("Too many terms", f"{len(values)}", f"At most {MAX_TERMS} of a kind.")
        for value in values:
            if not value.strip() or len(value) > MAX_TERM_LENGTH:
                raise UsageError("Not a term", repr(value[:60]), f"1 to {MAX_TERM_LENGTH} characters, not only spaces.")


def check_change(
    events: EventStore, change: FilterChange, *, min_sample: int = 5, confidence: float = 0.95
) -> ChangeCheck:
    """What the change would have done, over everything stored.

    Raises:
        UsageError: The change is empty or ambiguous (`validate_change`).
    """
    validate_change(change)
    backend = events.backend()
    moves = _moves(backend, change)
    is_spared, is_added = (moves.was & ~moves.becomes), (~moves.was & moves.becomes)
    facts = fetch(
        backend,
        moves.aggregate(
            triggered=_count(moves.was),
            spared=_count(is_spared),
            added=_count(is_added),
            since=moves["at"].min(where=moves.was),
            until=moves["at"].max(where=moves.was),
        ),
    ).row(0, named=True)
    triggered, spared, added = (int(facts[name] or 0) for name in ("triggered", "spared", "added"))
    days = _count_days(facts["since"], facts["until"])
    judged = _judge_moves(backend, moves.filter(is_spared | is_added), change)
    gone, new = judged.filter("spared"), judged.filter(~pl.col("spared"))
    lost = gone.filter("harmful").sort("at", "request_id", descending=[True, False])
    benign = gone.filter(~pl.col("harmful"))
    return ChangeCheck(
        verdict=_decide(spared, added, lost=lost.height, labelled=gone.height),
        triggered=triggered,
        spared=spared,
        added=added,
        days=days,
        spared_per_day=spared / days,
        labelled=gone.height,
        wrong_blocks_removed=benign.filter(~pl.col("held")).height,
        wrong_blocks_kept=benign.filter("held").height,
        true_positives_lost=lost.height,
        caught_by_others=lost.filter("held").height,
        wrong_blocks_added=new.filter(~pl.col("harmful")).height,
        true_positives_gained=new.filter("harmful").height,
        wrong_share=_estimate_wrong(backend, gone, min_sample=min_sample, confidence=confidence),
        lost=tuple(lost["request_id"].head(LISTED)),
        since=facts["since"],
        until=facts["until"],
    )


def explain_check(checked: Mapping[str, Any]) -> str:
    """What a check's numbers (a `ChangeCheck` as a mapping) come to, in a sentence."""
    lost, labelled, spared = (int(checked[name]) for name in ("true_positives_lost", "labelled", "spared"))
    removed = f"It removes {int(checked['wrong_blocks_removed']):,} of the labelled wrong blocks"
    new = int(checked["wrong_blocks_added"])
    removed += f", and adds {new:,}" if new else ""
    match CheckVerdict(checked["verdict"]):
        case CheckVerdict.NO_EFFECT:
            return "No effect: no logged turn would have been decided otherwise."
        case CheckVerdict.SPARES_NOTHING:
            return f"It spares no turn, so that nothing is lost; of those it adds, {new:,} were judged benign."
        case CheckVerdict.LOSES_TRUE_POSITIVES:
            return f"Not safe: {lost:,} labelled true positive{'s' * (lost != 1)} would be lost. {removed}."
        case CheckVerdict.TOO_FEW_LABELS:
            return (
                f"Not known to be safe: only {labelled:,} of the {spared:,} spared turns are labelled, "
                f"and {LEAST_LABELLED} are needed. {removed}."
            )
        case CheckVerdict.SAFE:
            return (
                f"Safe on what is labelled: none of {labelled:,} labelled turns that it spares is harmful. {removed}."
            )


def count_moves(events: EventStore, query: Query, change: FilterChange) -> tuple[int, int]:
    """Turns of the query's window that would trigger no more, and those that newly would."""
    backend = events.backend()
    moves = _moved_within(backend, query, change)
    counts = fetch(backend, moves.aggregate(spared=_count(moves.was), added=_count(~moves.was)))
    spared, added = counts.select(pl.all().fill_null(0)).row(0)
    return int(spared), int(added)


def list_moves(events: EventStore, query: Query, change: FilterChange, *, limit: int = LISTED) -> pl.DataFrame:
    """Turns of the query's window that the change decides otherwise, harmful ones first, then benign, then not judged, each newest first.

    Args:
        events: The store.
        query: Its window counts; nothing else of it.
        change: What is proposed.
        limit: Most turns of each direction.

    Returns:
        at, request_id, spared (true = triggers no more, false = newly triggers), score (null for an exclusion), harmful
        (null = not judged).
    """
    backend = events.backend()
    moves = _moved_within(backend, query, change)
    verdicts = pick_verdicts(fetch_verdicts(backend), change.filter_name).select("request_id", "harmful")
    known = ibis.memtable(verdicts)
    listed = moves.left_join(known, "request_id").drop("request_id_right")
    order = [listed.harmful.isnull(), listed.harmful.cast("int8").desc(), listed["at"].desc(), listed.request_id]
    place = ibis.row_number().over(ibis.window(group_by=listed.was, order_by=order))
    chosen = listed.mutate(place=place)
    chosen = chosen.filter(chosen.place < limit)
    rows = fetch(backend, chosen.select("at", "request_id", "score", "harmful", "place", spared=chosen.was))
    return rows.sort("spared", "place", descending=[True, False]).select(
        "at", "request_id", "spared", "score", "harmful"
    )


def _moved_within(backend: BaseBackend, query: Query, change: FilterChange) -> Table:
    moves = within(_moves(backend, change), "at", query.since, query.until)
    return moves.filter(moves.was != moves.becomes)


def _count(condition: BooleanValue) -> ibis.expr.types.IntegerValue:
    return condition.cast("int64").sum().cast("int64")


def _decide(spared: int, added: int, *, lost: int, labelled: int) -> CheckVerdict:
    if not spared:
        return CheckVerdict.SPARES_NOTHING if added else CheckVerdict.NO_EFFECT
    if lost:
        return CheckVerdict.LOSES_TRUE_POSITIVES
    return CheckVerdict.TOO_FEW_LABELS if labelled < LEAST_LABELLED else CheckVerdict.SAFE


def _count_days(since: datetime | None, until: datetime | None) -> float:
    return 1.0 if since is None or until is None else max((until - since).total_seconds() / _DAY_S, 1.0)


def _moves(backend: BaseBackend, change: FilterChange) -> Table:
    """One row per turn: request_id, at, was and becomes (whether the filter triggers, now and then), score, held."""
    checks = backend.table("checks")
    own = checks.filter(
        checks.filter_name == change.filter_name,
        checks.status.isin(("ok", "undecided")),
        checks.request_id.notnull(),
    )
    # A named version may be one that runs in shadow, whose verdicts are as good for a what-if.
    own = (
        own.filter(own.mode == "enforce")
        if change.filter_version is None
        else own.filter(own.filter_version == change.filter_version)
    )
    moved = _move_threshold(own, change.threshold) if change.threshold is not None else _exclude(backend, own, change)
    mine = checks.filter_name == change.filter_name
    if change.rule_id is not None:
        mine = mine & (checks.rule_id == change.rule_id).fill_null(False)
    others = checks.filter(checks.status == "ok", checks.triggered, checks.enforced, ~mine)
    stopped = others.select("request_id").distinct().mutate(is_stopped=ibis.literal(value=True))
    joined = moved.left_join(stopped, "request_id").drop("request_id_right")
    return joined.mutate(held=joined.is_stopped.fill_null(False)).drop("is_stopped")


def _move_threshold(own: Table, threshold: float) -> Table:
    scored = own.filter(own.score.notnull(), ~own.score.isnan())
    turns = scored.group_by("request_id").agg(
        at=scored.ts.min(),
        score=scored.score.max(),
        was=scored.triggered.fill_null(False).cast("int8").max() == 1,
    )
    return turns.mutate(becomes=turns.score >= threshold)


def _exclude(backend: BaseBackend, own: Table, change: FilterChange) -> Table:
    fired = own.filter(own.triggered)
    if change.rule_id is not None:
        fired = fired.filter(fired.rule_id == change.rule_id)
    facts = backend.table("turns").select("request_id", "prompt", "response", "language", "app")
    table = fired.select("request_id", "ts", "stage", "content").left_join(facts, "request_id").drop("request_id_right")
    # Every check of the turn must be excluded, else the rule still triggers on it.
    hit = _is_excluded(table, change).fill_null(False).cast("int8")
    return (
        table.mutate(hit=hit)
        .group_by("request_id")
        .agg(at=lambda part: part.ts.min(), excluded=lambda part: part.hit.min())
        .select(
            "request_id",
            "at",
            was=ibis.literal(value=True),
            becomes=lambda part: part.excluded == 0,
            score=ibis.null("float64"),
        )
    )


def _is_excluded(table: Table, change: FilterChange) -> BooleanValue:
    conditions: list[BooleanValue] = []
    if change.phrases:
        logged = ibis.ifelse(table.stage.fill_null("") == "output", table.response, table.prompt)
        text = ibis.coalesce(table.content, logged).lower()
        conditions.append(ibis.or_(*(text.contains(ibis.literal(phrase).lower()) for phrase in change.phrases)))
    if change.languages:
        conditions.append(table.language.isin(change.languages))
    if change.apps:
        conditions.append(table.app.isin(change.apps))
    return ibis.and_(*conditions)


def _judge_moves(backend: BaseBackend, moved: Table, change: FilterChange) -> pl.DataFrame:
    """The moved turns with a settled verdict: request_id, at, spared, held, and the columns of `fetch_verdicts`."""
    labelled = keep_labelled(backend, moved)
    chosen = add_conversation(backend, labelled.select("request_id", "at", "held", spared=labelled.was), Query())
    verdicts = pick_verdicts(fetch_verdicts(backend), change.filter_name)
    return (
        fetch(backend, chosen)
        .join(verdicts, on="request_id")
        .with_columns(conversation_id=pl.coalesce("conversation_id", "label_conversation_id"))
    )


def _estimate_wrong(
    backend: BaseBackend, spared: pl.DataFrame, *, min_sample: int, confidence: float
) -> dict[str, Any]:
    sample = spared.filter(pl.col("inclusion_probability").is_not_null()).select(
        "request_id",
        "stratum",
        "inclusion_probability",
        group=pl.lit(0, dtype=pl.Int64),
        conversation_id="conversation_id",
        benign=~pl.col("harmful"),
        judged=pl.lit(value=True),
    )
    rates = estimate_rates(
        complete_design(sample, fetch_verdicts(backend)),
        {"wrong": Ratio("benign", "judged")},
        groups=1,
        min_sample=min_sample,
        confidence=confidence,
    )
    found: dict[str, Any] = rates["wrong"][0]
    return found
