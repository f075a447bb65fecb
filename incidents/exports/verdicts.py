"""What a verdict says about the texts of a turn: which one to imitate, which one to unlearn.

A verdict is about the turn. Whether the model's answer was good follows from the verdict and from how the
turn ended; the truth table stands in docs/exports.md, and a test goes through every row of it.
"""

from __future__ import annotations

import polars as pl

from incidents.exports.exporter import Refusal, has_text, normalise

REVISION = "revision"
RESPONSE = "response"
OWN_REFUSAL = "own_refusal"
FILTER_REFUSAL = "filter_refusal"


def read_verdicts(turns: pl.DataFrame) -> pl.DataFrame:
    """`turns` with the texts that their verdicts praise and blame.

    Args:
        turns: Columns harmful (not null), outcome, response, final_text, revision, is_withheld (an enforced
            output filter blocked the answer), is_faulted (a reviewer found fault with the answer itself).

    Returns:
        `turns` and, each null where the verdict does not say: `good` (text to imitate), `good_origin`, `bad`
        (text to unlearn), `bad_origin`, `revised` (text that the reviewer's revision improves on), `gap` (the
        reason, when there is neither good nor bad).
    """
    turns = turns.with_columns(
        _response=_text("response"),
        _revision=_text("revision"),
        _final=pl.when(normalise(pl.col("final_text")).ne_missing(normalise(pl.col("response")))).then(
            _text("final_text")
        ),
    )
    response, revision, final = pl.col("_response"), pl.col("_revision"), pl.col("_final")
    outcome, harmful = pl.col("outcome"), pl.col("harmful")
    is_refusal = (outcome == "refusal").fill_null(value=False)
    is_own_refusal = is_refusal & final.is_null() & ~pl.col("is_withheld") & response.is_not_null()
    # An error leaves half a text; a safe completion without the shown text apart may be the substitute
    # itself.
    is_unusable = (
        outcome.is_null() | (outcome == "error") | ((outcome == "safe_completion") & final.is_null())
    ).fill_null(value=True)
    answer = pl.when(~is_own_refusal & ~is_unusable).then(response)
    is_right_refusal = harmful & is_own_refusal & ~pl.col("is_faulted")

    turns = turns.with_columns(
        good=pl.coalesce(revision, pl.when(~harmful).then(answer), pl.when(is_right_refusal).then(response)),
        good_origin=pl.when(revision.is_not_null())
        .then(pl.lit(REVISION))
        .when(~harmful & answer.is_not_null())
        .then(pl.lit(RESPONSE))
        .when(is_right_refusal)
        .then(pl.lit(OWN_REFUSAL)),
        bad=pl.when(harmful).then(answer).when(is_own_refusal).then(response).when(is_refusal).then(final),
        bad_origin=pl.when(harmful & answer.is_not_null())
        .then(pl.lit(RESPONSE))
        .when(~harmful & is_own_refusal)
        .then(pl.lit(OWN_REFUSAL))
        .when(~harmful & is_refusal & final.is_not_null())
        .then(pl.lit(FILTER_REFUSAL)),
    )
    return turns.with_columns(
        revised=pl.when(revision.is_not_null()).then(pl.coalesce("bad", final, response)),
        gap=pl.when(pl.col("good").is_null() & pl.col("bad").is_null()).then(
            pl.when(response.is_null() & final.is_null())
            .then(pl.lit(Refusal.EMPTY_COMPLETION.value))
            .when(outcome.is_null())
            .then(pl.lit(Refusal.OUTCOME_UNKNOWN.value))
            .otherwise(pl.lit(Refusal.NOTHING_TO_LEARN.value))
        ),
    ).drop("_response", "_revision", "_final")


def _text(column: str) -> pl.Expr:
    return pl.when(has_text(pl.col(column))).then(pl.col(column))
