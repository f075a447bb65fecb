"""`trl-prompt-only`: judged prompts for trainers that sample the answers themselves.

Format: TRL's dataset formats, "prompt-only", conversational (formats.md section 8.1).
"""

from __future__ import annotations

import polars as pl

from incidents.exports.exporter import MESSAGES, REFUSED, BuiltRows, Exporter


def build_rows(labelled: pl.DataFrame) -> BuiltRows:
    """One row per judged turn: its conversation up to the answer."""
    rows = labelled.select(
        prompt="messages",
        request_id="request_id",
        kind=pl.when("harmful").then(pl.lit("harmful")).otherwise(pl.lit("benign")),
        origin=pl.lit("prompt"),
        taught=pl.lit(None, pl.String),
    )
    return BuiltRows(rows, pl.DataFrame(schema=REFUSED))


EXPORTER = Exporter(
    key="trl-prompt-only",
    title="TRL prompts",
    description="One row per judged turn: the conversation up to its answer. For TRL's GRPOTrainer, RLOOTrainer and online DPO.",
    columns={"prompt": MESSAGES},
    kinds=("harmful", "benign"),
    needs_every_kind=False,
    takes_contested=True,
    targets=(),
    task="text-generation",
    build_rows=build_rows,
    variant="conversational",
)
