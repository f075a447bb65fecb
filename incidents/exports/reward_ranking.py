"""`reward-ranking`: whole conversations in pairs, the better one first, for reward models.

Format: TRL's dataset formats, "preference, implicit prompt", conversational (formats.md section 8.1). The pairs are those
of `trl-preference`: a reviewer's better text, or the answer of a wrongly blocked turn, over what was wrong.
"""

from __future__ import annotations

import polars as pl

from incidents.exports import trl_preference
from incidents.exports.exporter import MESSAGES, BuiltRows, Exporter


def build_rows(labelled: pl.DataFrame) -> BuiltRows:
    """The pairs of `trl-preference` with the conversation on both sides."""
    built = trl_preference.build_rows(labelled)
    rows = built.rows.with_columns(pl.concat_list("prompt", side).alias(side) for side in ("chosen", "rejected"))
    return BuiltRows(rows.drop("prompt"), built.refused)


EXPORTER = Exporter(
    key="reward-ranking",
    title="TRL reward pairs",
    description="One row per pair of whole conversations, the better one chosen. For TRL's RewardTrainer.",
    columns={"chosen": MESSAGES, "rejected": MESSAGES},
    kinds=trl_preference.EXPORTER.kinds,
    needs_every_kind=False,
    takes_contested=False,
    targets=(),
    task="text-generation",
    build_rows=build_rows,
    takes_rankings=True,
    variant="conversational",
)
