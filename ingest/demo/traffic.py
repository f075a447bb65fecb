"""Conversations and their turns, with the latent truth of each: is it harmful, which hazard, how severe."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum

import numpy as np
import polars as pl

from ingest.demo.world import (
    APPS,
    BROAD_RULE,
    HAZARD_SHARES,
    LANGUAGES,
    LENGTH_SHARES,
    MODEL_VERSION,
    MODELS,
    RULE_COUNT,
    SEVERITY_SHARES,
    USER_COUNT,
    Booleans,
    Floats,
    Integers,
    Keys,
    Plan,
    draw_keys,
    rule_hazard,
)


class Kind(StrEnum):
    """What sort of text a turn holds."""

    PLAIN = "plain"
    AMBIGUOUS = "ambiguous"
    """Benign, with a word that the broad rule looks for."""
    DELICATE = "delicate"
    """Benign, about a dark subject."""
    HARMFUL = "harmful"
    THREAT = "threat"
    """Harmful, with a word that the broad rule looks for."""


# Share of conversations, and how often a turn of one is harmful.
_CONVERSATIONS = {"plain": (0.87, 0.006), "odd": (0.06, 0.01), "hostile": (0.07, 0.75)}
_ODD_TEXT_SHARE = 0.6
_AMBIGUOUS_SHARE = 0.5
_WEEKEND_FACTOR = 0.85
_CODE_WORD_IN_RUDE, _CODE_WORD_IN_HARMFUL, _CODE_WORD_IN_BENIGN = 0.6, 0.22, 0.0035


def simulate_turns(plan: Plan, *, turn_count: int, tag: str, rng: np.random.Generator) -> pl.DataFrame:
    """Turns in order of conversation and time, about `turn_count` of them.

    Args:
        plan: When traffic runs.
        turn_count: Expected number of turns.
        tag: Goes into every identifier, so that two demos never share one.
        rng: Source of chance.

    Returns:
        One row per turn: request_id, conversation_id, turn_index, ts, app, model, model_version, language,
        user_id; the truth harmful, category, severity; kind (`Kind`), and rule (number of the blocklist rule
        whose word the prompt holds, 0 for none).
    """
    mean_length = float(np.dot(LENGTH_SHARES, np.arange(1, len(LENGTH_SHARES) + 1)))
    count = round(turn_count / mean_length)
    lengths = rng.choice(np.arange(1, len(LENGTH_SHARES) + 1), size=count, p=LENGTH_SHARES)
    owner = np.repeat(np.arange(count), lengths)
    first = np.repeat(np.cumsum(lengths) - lengths, lengths)
    turn_index = np.arange(len(owner)) - first
    started_s = _draw_starts(plan, count, rng)
    gaps = np.where(turn_index == 0, 0.0, np.clip(rng.lognormal(4.2, 0.7, len(owner)), 8, 900))
    elapsed = np.cumsum(gaps)
    offset_ms = np.round((started_s[owner] + elapsed - elapsed[first]) * 1000).astype(np.int64)

    kinds = rng.choice(3, size=count, p=[share for share, _ in _CONVERSATIONS.values()])[owner]
    harm_rate = np.array([rate for _, rate in _CONVERSATIONS.values()])[kinds]
    harmful = rng.random(len(owner)) < harm_rate
    topic = draw_keys(rng, HAZARD_SHARES, count)[owner]
    category = np.where(rng.random(len(owner)) < 0.85, topic, draw_keys(rng, HAZARD_SHARES, len(owner)))
    severities = rng.choice(list(SEVERITY_SHARES), size=len(owner), p=list(SEVERITY_SHARES.values()))
    odd = ~harmful & (kinds == 1) & (rng.random(len(owner)) < _ODD_TEXT_SHARE)
    ambiguous = odd & (rng.random(len(owner)) < _AMBIGUOUS_SHARE)
    threat = harmful & (category == "violent_crimes") & (rng.random(len(owner)) < 0.35)
    kind = np.select(
        [threat, harmful, ambiguous, odd],
        [Kind.THREAT.value, Kind.HARMFUL.value, Kind.AMBIGUOUS.value, Kind.DELICATE.value],
        Kind.PLAIN.value,
    )
    rule = np.where(threat | ambiguous, BROAD_RULE, _draw_code_words(harmful, category == "profanity", rng))
    rule = _match_hazards(rule, harmful & ~threat, category, rng)

    conversations = {
        "app": draw_keys(rng, APPS, count),
        "model": draw_keys(rng, MODELS, count),
        "language": draw_keys(rng, LANGUAGES, count),
        # Squaring makes few users active and many rare.
        "user": (USER_COUNT * rng.random(count) ** 2).astype(np.int64),
    }
    frame = pl.DataFrame(
        {
            "conversation": owner,
            "turn_index": turn_index,
            "ts": offset_ms,
            "app": conversations["app"][owner].astype(str),
            "model": conversations["model"][owner].astype(str),
            "language": conversations["language"][owner].astype(str),
            "user": conversations["user"][owner],
            "harmful": harmful,
            "category": category.astype(str),
            "severity": np.where(harmful, severities, 0),
            "kind": kind,
            "rule": rule,
        }
    )
    return (
        frame.with_columns(
            ts=pl.lit(plan.since).cast(pl.Datetime("us")) + pl.duration(milliseconds="ts"),
            category=pl.when("harmful").then("category"),
            model_version=pl.lit(MODEL_VERSION),
            user_id=pl.format("u-{}", (pl.col("user") * 7919 % 100_003).cast(pl.String).str.zfill(6)),
        )
        # A conversation that is still going on at the end is cut there.
        .filter(pl.col("ts") < plan.until)
        .with_row_index("turn")
        .with_columns(
            request_id=pl.format("r-{}-{}", pl.lit(tag), pl.col("turn").cast(pl.String).str.zfill(6)),
            conversation_id=pl.format("c-{}-{}", pl.lit(tag), pl.col("conversation").cast(pl.String).str.zfill(6)),
        )
        .drop("turn", "conversation", "user")
    )


def _draw_starts(plan: Plan, count: int, rng: np.random.Generator) -> Floats:
    """Seconds after `plan.since` at which conversations start, ascending: busy at 14:00 UTC."""
    hours = int((plan.until - plan.since) / timedelta(hours=1))
    middles = [plan.since + timedelta(hours=hour + 0.5) for hour in range(hours)]
    clock = np.array([moment.hour + moment.minute / 60 for moment in middles])
    weekend = np.array([moment.weekday() >= 5 for moment in middles])
    weights = (1 + 0.75 * np.cos(2 * np.pi * (clock - 14) / 24)) * np.where(weekend, _WEEKEND_FACTOR, 1.0)
    starts: Floats = (rng.choice(hours, size=count, p=weights / weights.sum()) + rng.random(count)) * 3600
    starts.sort()
    return starts


def _draw_code_words(harmful: Booleans, rude: Booleans, rng: np.random.Generator) -> Integers:
    """The rule whose code word each prompt holds, 0 for none."""
    rate = np.select([harmful & rude, harmful], [_CODE_WORD_IN_RUDE, _CODE_WORD_IN_HARMFUL], _CODE_WORD_IN_BENIGN)
    numbers = rng.integers(1, RULE_COUNT, size=len(harmful))
    numbers += numbers >= BROAD_RULE
    drawn: Integers = np.where(rng.random(len(harmful)) < rate, numbers, 0)
    return drawn


def _match_hazards(rule: Integers, chosen: Booleans, category: Keys, rng: np.random.Generator) -> Integers:
    """Replaces the rules of `chosen` turns by rules that are meant for the turn's hazard."""
    matched = rule.copy()
    by_hazard: dict[str, list[int]] = {}
    for number in range(1, RULE_COUNT + 1):
        if number != BROAD_RULE:
            by_hazard.setdefault(rule_hazard(number), []).append(number)
    for hazard, numbers in by_hazard.items():
        where = chosen & (rule > 0) & (category == hazard)
        matched[where] = rng.choice(numbers, size=int(where.sum()))
    return matched
