"""`balanced-errors`: a test set of false and true positives that are alike in all but the verdict."""

from __future__ import annotations

import polars as pl

from incidents.exports.exporter import BuiltRows, Exporter, Refusal, refuse

_LENGTHS = (50, 200, 800, 3200)
"""Upper bounds of the length classes, in characters of the prompt."""
_ALIKE = ("filter_name", "rule_id", "language", "_length")


def build_rows(labelled: pl.DataFrame) -> BuiltRows:
    """As many benign as harmful triggered turns of each filter, rule, language and length class."""
    turns = labelled.with_columns(
        filter_name="triggered_filter",
        rule_id="triggered_rule",
        _length=pl.col("prompt").str.len_chars().cut(list(_LENGTHS)).cast(pl.String),
    )
    fired = turns.filter(pl.col("filter_name").is_not_null())
    many = pl.col("harmful").sum().over(_ALIKE)
    fewest = pl.min_horizontal(many, pl.len().over(_ALIKE) - many)
    # Which ones are taken is settled by a hash, so that time of day does not decide.
    place = pl.col("request_id").hash(seed=0).rank("ordinal").over(*_ALIKE, "harmful")
    fired = fired.with_columns(_is_matched=place <= fewest)
    kind = pl.when("harmful").then(pl.lit("true_positive")).otherwise(pl.lit("false_positive"))
    rows = fired.filter("_is_matched").select(
        text="prompt",
        label=kind,
        filter_name="filter_name",
        rule_id=pl.col("rule_id").fill_null(""),
        language=pl.col("language").fill_null(""),
        request_id="request_id",
        kind=kind,
        origin=pl.lit("prompt"),
        taught=pl.lit(None, pl.String),
    )
    refused = [
        refuse(turns.filter(pl.col("filter_name").is_null()), Refusal.NOT_TRIGGERED),
        refuse(fired.filter(~pl.col("_is_matched")), Refusal.UNMATCHED),
    ]
    return BuiltRows(rows, pl.concat(refused))


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
    target="label",
    task="text-classification",
    build_rows=build_rows,
)
