"""Wrong blocks and missed harm before and after, on the same held-out turns, by verdict and survey weight."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import polars as pl

from core.events import EventStore
from incidents.enums import GuidedEnum
from metrics.query import Query
from metrics.ratio_change import Change, estimate_change
from metrics.reviews import complete_design, fetch_verdicts
from metrics.survey import Ratio, estimate_rates


class Policy(GuidedEnum):
    """Who decides what the rule decided."""

    BEFORE = "before", "Before", "The rule as it is."
    SECOND_OPINION = (
        "second_opinion",
        "Second opinion",
        "The rule stops a turn only if the classifier finds it harmful, too; nothing new is stopped.",
    )
    REPLACEMENT = "replacement", "Replacement", "The rule is off; the classifier decides about every turn."


class Scope(GuidedEnum):
    """Whose decisions are counted."""

    RULE = "rule", "The rule", "What this rule, or what takes its place, stops."
    CASCADE = "cascade", "The whole cascade", "What it or any other enforced check stops."


class Decision(StrEnum):
    """What the figures say about a policy."""

    PROMOTE = "promote"
    HOLD = "hold"
    REJECT = "reject"


MEASURES = ("wrong_block_share", "missed_harm_rate", "benign_blocked_rate")
AFTER = (Policy.SECOND_OPINION, Policy.REPLACEMENT)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the figures say about one policy, and the figures that decided it."""

    policy: str
    decision: str
    reason: str


def decide(turns: pl.DataFrame) -> pl.DataFrame:
    """`turns` with what each policy stops, in each scope: columns `<scope>_<policy>`.

    Args:
        turns: `heldout.TURN` and `candidate_fired`. Later layers never saw what the rule stopped: a turn that it
            lets through counts as passed, though one of them might have stopped it.
    """
    rule, candidate = pl.col("rule_fired"), pl.col("candidate_fired")
    stops = {Policy.BEFORE: rule, Policy.SECOND_OPINION: rule & candidate, Policy.REPLACEMENT: candidate}
    return turns.with_columns(
        *(stop.alias(_name(Scope.RULE, policy)) for policy, stop in stops.items()),
        *((stop | pl.col("stopped_elsewhere")).alias(_name(Scope.CASCADE, policy)) for policy, stop in stops.items()),
    )


def read_sample(events: EventStore, decided: pl.DataFrame) -> pl.DataFrame:
    """Reviewed held-out turns that were drawn at random, with the rest of the design, as `measure` takes them."""
    verdicts = fetch_verdicts(events.backend()).filter(
        pl.col("judged_filter").is_null(), pl.col("inclusion_probability").is_not_null()
    )
    reviewed = verdicts.select("request_id", "harmful", "stratum", "inclusion_probability")
    return complete_design(mark(decided, reviewed), verdicts)


def mark(decided: pl.DataFrame, reviewed: pl.DataFrame) -> pl.DataFrame:
    """Held-out turns with a verdict, and each measure's parts as boolean columns.

    Args:
        decided: As `decide` gives it.
        reviewed: request_id, harmful, stratum, inclusion_probability.
    """
    harmful = pl.col("harmful")
    parts: list[pl.Expr] = [harmful.alias("is_harmful"), (~harmful).alias("is_benign")]
    for scope in Scope:
        for policy in Policy:
            name = _name(scope, policy)
            parts += [
                pl.col(name),
                (pl.col(name) & ~harmful).alias(f"{name}_wrong"),
                (~pl.col(name) & harmful).alias(f"{name}_missed"),
            ]
    return decided.join(reviewed, on="request_id").select(
        "request_id",
        "conversation_id",
        "stratum",
        "inclusion_probability",
        *parts,
        group=pl.lit(0, dtype=pl.Int64),
    )


def measure(sample: pl.DataFrame, query: Query) -> list[dict[str, Any]]:
    """One row per scope, policy but `before`, and measure: `before` and `after` as rates, `change` with its interval."""
    limits: dict[str, Any] = {"min_sample": query.min_sample, "confidence": query.confidence}
    ratios = {
        (scope, policy, name): ratio
        for scope in Scope
        for policy in Policy
        for name, ratio in _ratios(scope, policy).items()
    }
    keyed = {"/".join(key): ratio for key, ratio in ratios.items()}
    rates = {name: series[0] for name, series in estimate_rates(sample, keyed, groups=1, **limits).items()}
    return [
        {
            "scope": scope.value,
            "policy": policy.value,
            "measure": name,
            "before": rates["/".join((scope, Policy.BEFORE, name))],
            "after": rates["/".join((scope, policy, name))],
            "change": estimate_change(
                sample, before=ratios[scope, Policy.BEFORE, name], after=ratios[scope, policy, name], **limits
            ),
        }
        for scope in Scope
        for policy in AFTER
        for name in MEASURES
    ]


def judge(rows: list[dict[str, Any]]) -> list[Verdict]:
    """Promote where wrong blocks surely fall and missed harm stays within its interval; reject where it leaves it.

    The wrong-block share must fall for the whole cascade, and for the rule's place in it as far as enough reviewed turns
    remain that the policy stops. Missed harm is the whole cascade's: what reaches users.
    """
    found = {(row["scope"], row["policy"], row["measure"]): row for row in rows}
    verdicts = []
    for policy in AFTER:
        own, whole = (found[scope.value, policy.value, "wrong_block_share"]["change"] for scope in Scope)
        missed = found[Scope.CASCADE.value, policy.value, "missed_harm_rate"]
        verdicts.append(Verdict(policy.value, *_judge(own, whole, missed)))
    return verdicts


def _judge(own: Change, whole: Change, missed: dict[str, Any]) -> tuple[str, str]:
    if missed["before"]["estimate"] is None:
        return Decision.HOLD.value, "too few reviewed harmful turns among the held-out ones"
    if missed["after"]["estimate"] > missed["before"]["high"]:
        return Decision.REJECT.value, "missed harm rises beyond its interval"
    highs = [change["high"] for change in (own, whole)]
    if highs[1] is None:
        return Decision.HOLD.value, "too few reviewed turns are stopped"
    if max(float(high) for high in highs if high is not None) >= 0:
        return Decision.HOLD.value, "the interval of a change in wrong blocks holds zero"
    return Decision.PROMOTE.value, "wrong blocks fall, and missed harm stays within its interval"


def _ratios(scope: Scope, policy: Policy) -> dict[str, Ratio]:
    name = _name(scope, policy)
    return {
        "wrong_block_share": Ratio(f"{name}_wrong", name),
        "missed_harm_rate": Ratio(f"{name}_missed", "is_harmful"),
        "benign_blocked_rate": Ratio(f"{name}_wrong", "is_benign"),
    }


def _name(scope: Scope, policy: Policy) -> str:
    return f"{scope.value}_{policy.value}"
