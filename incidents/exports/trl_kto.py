"""`trl-kto`: unpaired preference rows for TRL's KTOTrainer and BCOTrainer.

Format: TRL's dataset formats, "unpaired preference", conversational (formats.md section 8.1).
"""

from __future__ import annotations

import polars as pl

from incidents.exports.exporter import MESSAGES, BuiltRows, Exporter, as_message, refuse


def build_rows(labelled: pl.DataFrame) -> BuiltRows:
    """Up to two rows per turn: the text to imitate as desirable, the text to unlearn as undesirable."""
    sides = [
        labelled.filter(pl.col(text).is_not_null()).select(
            prompt="messages",
            completion=as_message("assistant", pl.col(text)),
            label=pl.lit(is_desirable),
            request_id="request_id",
            kind=pl.lit("desirable" if is_desirable else "undesirable"),
            origin=f"{text}_origin",
            taught=pl.col(text) if is_desirable else pl.lit(None, pl.String),
        )
        for text, is_desirable in (("good", True), ("bad", False))
    ]
    without = labelled.filter(pl.col("gap").is_not_null())
    return BuiltRows(pl.concat(sides), refuse(without, pl.col("gap")))


EXPORTER = Exporter(
    key="trl-kto",
    title="TRL unpaired preference (KTO)",
    description=(
        "One row per judged text: a conversation, a completion, and whether the completion is desirable. "
        "For TRL's KTOTrainer and BCOTrainer."
    ),
    columns={"prompt": MESSAGES, "completion": MESSAGES, "label": pl.Boolean()},
    kinds=("desirable", "undesirable"),
    needs_every_kind=True,
    takes_contested=False,
    targets=("label",),
    task="text-generation",
    build_rows=build_rows,
    variant="conversational",
)
