"""`openai-sft`: whole conversations that end in an answer to imitate, for hosted fine-tuning.

Format: OpenAI's supervised fine-tuning files (formats.md section 8.2); such hosts ask for at least ten rows.
"""

from __future__ import annotations

import polars as pl

from incidents.exports import trl_sft
from incidents.exports.exporter import MESSAGES, BuiltRows, Exporter


def build_rows(labelled: pl.DataFrame) -> BuiltRows:
    """The rows of `trl-sft`, the answer as the last message."""
    built = trl_sft.build_rows(labelled)
    rows = built.rows.with_columns(messages=pl.concat_list("prompt", "completion")).drop("prompt", "completion")
    return BuiltRows(rows, built.refused)


EXPORTER = Exporter(
    key="openai-sft",
    title="OpenAI supervised fine-tuning",
    description="One row per judged turn with a text to imitate: the conversation, the answer as its last message.",
    columns={"messages": MESSAGES},
    kinds=trl_sft.EXPORTER.kinds,
    needs_every_kind=False,
    takes_contested=False,
    targets=(),
    task="text-generation",
    build_rows=build_rows,
)
