"""Simulates the traffic of a four-layer cascade, with its truth."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl

from ingest.demo.cascade import run_cascade
from ingest.demo.reviews import review_turns
from ingest.demo.texts import Writer, write_final_texts, write_turns
from ingest.demo.traffic import simulate_turns
from ingest.demo.truth import Facts, state_facts, state_truth
from ingest.demo.world import ARMS, EXPERIMENT, TURNS_PER_DAY, Plan, make_plan


@dataclass(frozen=True, slots=True)
class Simulation:
    """Logs in Weir's neutral formats, and the truth that no log holds.

    Attributes:
        model_log: One row per turn, in time order.
        filter_log: One row per filter evaluation, in time order.
        label_log: One row per human verdict, in time order.
        truth: request_id, harmful, category, severity, over_blocked; one row per turn.
        facts: What happened to the filters, and their true error rates.
    """

    model_log: pl.DataFrame
    filter_log: pl.DataFrame
    label_log: pl.DataFrame
    truth: pl.DataFrame
    facts: Facts


def simulate(
    days: int,
    *,
    seed: int,
    until: datetime,
    turns_per_day: int = TURNS_PER_DAY,
    course: Callable[[int, datetime], Plan] = make_plan,
) -> Simulation:
    """Traffic of `days` days up to `until` (naive UTC). Same arguments, same frames.

    Args:
        days: Length of the traffic.
        seed: Of the chance.
        until: End of the traffic.
        turns_per_day: Its volume.
        course: What happens to the filters meanwhile: `world.make_plan`, `make_quiet_plan` or `make_fault_plan`.

    Raises:
        ValueError: `days` is less than 1.
    """
    plan = course(days, until)
    tag = hashlib.sha256(f"{seed} {days} {until.isoformat()}".encode()).hexdigest()[:4]
    # A stream of chance per part: drawing more in one part does not change the others.
    streams = [np.random.default_rng([seed, part]) for part in range(5)]
    turns = simulate_turns(plan, turn_count=days * turns_per_day, tag=tag, rng=streams[0])
    writer = Writer(turns, streams[1])
    turns = write_turns(turns, writer).with_columns(
        model_latency_ms=pl.Series(np.round(streams[2].lognormal(7.1, 0.45, turns.height), 1))
    )
    result = run_cascade(turns, plan, streams[3])
    turns = result.turns.with_columns(write_final_texts(result.turns["outcome"], writer))
    labels = review_turns(turns, plan, writer, streams[4])
    truth = state_truth(turns)
    return Simulation(
        model_log=_to_model_log(turns, plan),
        filter_log=result.checks,
        label_log=labels,
        truth=truth,
        facts=state_facts(truth, turns, result.checks, plan),
    )


def _to_model_log(turns: pl.DataFrame, plan: Plan) -> pl.DataFrame:
    failed = pl.col("outcome") == "error"
    # A conversation that was under way when the experiment began stays out of it.
    started = pl.col("ts").min().over("conversation_id")
    is_in = started >= plan.experiment_since
    screened = pl.col("doubt").is_null() | (pl.col("doubt") >= 0.8)
    return turns.sort("ts", "request_id").select(
        "ts",
        "request_id",
        "conversation_id",
        "turn_index",
        "model",
        "model_version",
        "app",
        "user_id",
        "language",
        "prompt",
        # The model answers while the prompt is screened: a blocked turn has a response, too; nobody saw it.
        pl.when(~failed).then("response").alias("response"),
        "final_text",
        "outcome",
        experiment=pl.when(is_in).then(pl.lit(EXPERIMENT)),
        arm=pl.when(is_in).then(_assign_arms(turns)),
        finish_reason=pl.when(failed).then(pl.lit("error")).otherwise(pl.lit("stop")),
        latency_ms=(pl.col("filters_ms") + pl.when(screened).then(0.0).otherwise("model_latency_ms")).round(1),
        input_tokens=(pl.col("prompt").str.len_chars() // 4 + 1).cast(pl.Int64),
        output_tokens=pl.when(failed).then(0).otherwise(pl.col("response").str.len_chars() // 4 + 1).cast(pl.Int64),
    )


def _assign_arms(turns: pl.DataFrame) -> pl.Expr:
    """The arm of each turn, by a hash of its conversation."""
    conversations = turns["conversation_id"].unique().to_list()
    arms = {name: ARMS[hashlib.sha256(name.encode()).digest()[0] % len(ARMS)] for name in conversations}
    return pl.col("conversation_id").replace_strict(arms, return_dtype=pl.String)
