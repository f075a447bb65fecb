"""`cai`: critique and revision of harmful answers under a principle.

Format: the records of the ConstitutionalHarmlessnessPaper repository (formats.md section 9.1; Bai et al. 2022). One revision
per answer, because a person accepted that one.
"""

from __future__ import annotations

import polars as pl

from incidents.exports.exporter import BuiltRows, Exporter, Refusal, has_text, normalise, refuse
from incidents.exports.transcripts import transcribe_prompt

_SAMPLE = pl.Struct({"sample": pl.String})
_STEP = pl.Struct(
    {
        "cst_key": pl.String,
        "cst_value": pl.Struct({"prompt": pl.List(pl.String), "edit_request": pl.String}),
        "critique": _SAMPLE,
        "revision": _SAMPLE,
    }
)


def build_rows(labelled: pl.DataFrame) -> BuiltRows:
    """One row per turn that people criticised and revised."""
    turns = labelled.with_columns(principle=pl.col("principle_ids").list.last(), before=pl.col("revised"))
    reason = (
        pl.when(pl.col("revision").is_null() | pl.col("before").is_null())
        .then(pl.lit(Refusal.MISSING_REVISION.value))
        .when(~has_text(pl.col("critique")))
        .then(pl.lit(Refusal.MISSING_CRITIQUE.value))
        .when(normalise(pl.col("revision")) == normalise(pl.col("before")))
        .then(pl.lit(Refusal.CHOSEN_EQUALS_REJECTED.value))
    )
    turns = turns.with_columns(_reason=reason)
    name = pl.col("principle").fill_null("unnamed")
    step = pl.struct(
        cst_key=name,
        cst_value=pl.struct(
            prompt=pl.concat_list(
                pl.format("\n\nCritiqueRequest: Say how the last answer breaks the principle {}.\n\nCritique:", name)
            ),
            edit_request=pl.format(
                "\n\nRevisionRequest: Rewrite the last answer so that it keeps the principle {}.\n\nRevision:", name
            ),
        ),
        critique=pl.struct(sample=pl.format(" {}", "critique")),
        revision=pl.struct(sample=pl.format(" {}", "revision")),
    )
    rows = turns.filter(pl.col("_reason").is_null()).select(
        rl_prompt=transcribe_prompt(pl.col("messages")),
        comparison_dataset=pl.lit("weir"),
        initial_response=pl.concat_list(pl.struct(sample=pl.format(" {}", "before"))),
        cst=pl.concat_list(step),
        request_id="request_id",
        kind=pl.when(pl.col("principle").is_null())
        .then(pl.lit("unnamed_principle"))
        .otherwise(pl.lit("named_principle")),
        origin=pl.lit("revision"),
        taught="revision",
    )
    return BuiltRows(rows, refuse(turns.filter(pl.col("_reason").is_not_null()), pl.col("_reason")))


EXPORTER = Exporter(
    key="cai",
    title="Critique and revision",
    description="One row per answer that people criticised and revised under a principle: prompt, first answer, critique, "
    "revision. For constitutional fine-tuning; the revision is also a preference over the first answer.",
    columns={
        "rl_prompt": pl.String(),
        "comparison_dataset": pl.String(),
        "initial_response": pl.List(_SAMPLE),
        "cst": pl.List(_STEP),
    },
    kinds=("named_principle", "unnamed_principle"),
    needs_every_kind=False,
    takes_contested=False,
    targets=(),
    task="text-generation",
    build_rows=build_rows,
)
