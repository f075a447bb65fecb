"""`balanced-errors`: a test set of false and true positives that are alike in all but the verdict."""

from __future__ import annotations

import polars as pl

from incidents.exports.exporter import BuiltRows, Exporter, Refusal, refuse


def build_rows(labelled: pl.DataFrame) -> BuiltRows:
    """One row per triggered turn; which ones stay is settled when everything else was refused, and split."""
    is_fired = pl.col("triggered_filter").is_not_null()
    kind = pl.when("harmful").then(pl.lit("true_positive")).otherwise(pl.lit("false_positive"))
    rows = labelled.filter(is_fired).select(
        text="prompt",
        label=kind,
        filter_name="triggered_filter",
        rule_id=pl.col("triggered_rule").fill_null(""),
        language=pl.col("language").fill_null(""),
        request_id="request_id",
        kind=kind,
        origin=pl.lit("prompt"),
        taught=pl.lit(None, pl.String),
    )
    return BuiltRows(rows, refuse(labelled.filter(~is_fired), Refusal.NOT_TRIGGERED))


EXPORTER = Exporter(
    key="balanced-errors",
    title="Balanced false and true positives",
    description="One row per triggered turn, as many false as true positives of each filter, rule, language and length: a test "
    "set for over-blocking work.",
    columns={
        "text": pl.String(),
        "label": pl.String(),
        "filter_name": pl.String(),
        "rule_id": pl.String(),
        "language": pl.String(),
    },
    kinds=("false_positive", "true_positive"),
    needs_every_kind=True,
    takes_contested=False,
    targets=("label",),
    task="text-classification",
    build_rows=build_rows,
    matched_on=("triggered_filter", "triggered_rule", "language", "length_class"),
)
