"""`openai-dpo`: preference pairs for hosted fine-tuning.

Format: OpenAI's direct preference optimisation files (formats.md section 8.2).
"""

from __future__ import annotations

import polars as pl

from incidents.exports import trl_preference
from incidents.exports.exporter import MESSAGES, BuiltRows, Exporter


def build_rows(labelled: pl.DataFrame) -> BuiltRows:
    """The pairs of `trl-preference`, one assistant message on each side."""
    built = trl_preference.build_rows(labelled)
    rows = built.rows.with_columns(input=pl.struct(messages="prompt")).rename(
        {"chosen": "preferred_output", "rejected": "non_preferred_output"}
    )
    return BuiltRows(rows.drop("prompt"), built.refused)


EXPORTER = Exporter(
    key="openai-dpo",
    title="OpenAI preference pairs (DPO)",
    description="One row per pair: a conversation, the preferred answer and the one that is not preferred.",
    columns={
        "input": pl.Struct({"messages": MESSAGES}),
        "preferred_output": MESSAGES,
        "non_preferred_output": MESSAGES,
    },
    kinds=trl_preference.EXPORTER.kinds,
    needs_every_kind=False,
    takes_contested=False,
    targets=(),
    task="text-generation",
    build_rows=build_rows,
    takes_rankings=True,
)
