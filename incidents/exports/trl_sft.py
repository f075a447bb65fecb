"""`trl-sft`: answers to imitate for TRL's SFTTrainer.

Format: TRL's dataset formats, "prompt-completion", conversational (formats.md section 8.1).
"""

from __future__ import annotations

import polars as pl

from incidents.exports.exporter import MESSAGES, BuiltRows, Exporter, Refusal, as_message, refuse
from incidents.exports.verdicts import OWN_REFUSAL, RESPONSE, REVISION


def build_rows(labelled: pl.DataFrame) -> BuiltRows:
    """One row per turn that has a text to imitate."""
    is_good = pl.col("good").is_not_null()
    rows = labelled.filter(is_good).select(
        prompt="messages",
        completion=as_message("assistant", pl.col("good")),
        request_id="request_id",
        kind="good_origin",
        origin="good_origin",
        taught="good",
    )
    without = pl.coalesce("gap", pl.lit(Refusal.MISSING_REVISION.value))
    return BuiltRows(rows, refuse(labelled.filter(~is_good), without))


EXPORTER = Exporter(
    key="trl-sft",
    title="TRL supervised fine-tuning",
    description="One row per judged turn with a text to imitate: a conversation and the completion. For TRL's SFTTrainer.",
    columns={"prompt": MESSAGES, "completion": MESSAGES},
    kinds=(REVISION, RESPONSE, OWN_REFUSAL),
    needs_every_kind=False,
    takes_contested=False,
    targets=(),
    task="text-generation",
    build_rows=build_rows,
    variant="conversational",
)
