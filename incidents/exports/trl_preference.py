"""`trl-preference`: preference pairs with an explicit prompt for TRL's DPOTrainer and its kin.

Format: TRL's dataset formats, "preference, explicit prompt", conversational (formats.md section 8.1).
"""

from __future__ import annotations

import polars as pl

from incidents.exports.exporter import MESSAGES, RANKED, BuiltRows, Exporter, Refusal, as_message, normalise, refuse
from incidents.exports.verdicts import REVISION

_REVISION_PREFERRED = "revision_preferred"
_ANSWER_PREFERRED = "answer_preferred_to_refusal"


def build_rows(labelled: pl.DataFrame) -> BuiltRows:
    """One pair per turn: the revision, or the answer of a wrongly blocked turn, over what was wrong; and those of rankings."""
    turns = labelled.with_columns(rejected_text=pl.coalesce("bad", "revised"))
    chosen, rejected = pl.col("good"), pl.col("rejected_text")
    turns = turns.with_columns(
        reason=pl.when(pl.col("gap").is_not_null())
        .then(pl.col("gap"))
        .when((pl.col("good_origin") == REVISION) & rejected.is_null())
        .then(pl.lit(Refusal.EMPTY_COMPLETION.value))
        .when(chosen.is_null() | rejected.is_null())
        .then(pl.lit(Refusal.MISSING_REVISION.value))
        .when(normalise(chosen) == normalise(rejected))
        .then(pl.lit(Refusal.CHOSEN_EQUALS_REJECTED.value))
    )
    is_revision = pl.col("good_origin") == REVISION
    rows = turns.filter(pl.col("reason").is_null()).select(
        prompt="messages",
        chosen=as_message("assistant", chosen),
        rejected=as_message("assistant", rejected),
        request_id="request_id",
        kind=pl.when(pl.col("good_origin") == RANKED)
        .then(pl.lit(RANKED))
        .when(is_revision)
        .then(pl.lit(_REVISION_PREFERRED))
        .otherwise(pl.lit(_ANSWER_PREFERRED)),
        origin="good_origin",
        taught=chosen,
    )
    return BuiltRows(rows, refuse(turns.filter(pl.col("reason").is_not_null()), pl.col("reason")))


EXPORTER = Exporter(
    key="trl-preference",
    title="TRL preference pairs (DPO)",
    description=(
        "One row per pair: a conversation, the better completion and the worse one. "
        "For TRL's DPOTrainer, CPOTrainer and ORPOTrainer."
    ),
    columns={"prompt": MESSAGES, "chosen": MESSAGES, "rejected": MESSAGES},
    kinds=(_REVISION_PREFERRED, _ANSWER_PREFERRED, RANKED),
    needs_every_kind=False,
    takes_contested=False,
    targets=(),
    task="text-generation",
    build_rows=build_rows,
    takes_rankings=True,
    variant="conversational",
)
