"""`classifier`: labelled texts with weights, for retraining a safety classifier."""

from __future__ import annotations

import polars as pl

from incidents.exports.exporter import REFUSED, BuiltRows, Exporter


def build_rows(labelled: pl.DataFrame) -> BuiltRows:
    """One row per turn: its last exchange as text, and the people's verdict on it.

    The answer is the model's own, as an output filter sees it, not what a filter put in its place.
    """
    answer = pl.col("response").fill_null("")
    kind = pl.when("harmful").then(pl.lit("harmful")).otherwise(pl.lit("benign"))
    rows = labelled.select(
        text=pl.format("user: {}", "prompt")
        + pl.when(answer.str.strip_chars() != "").then(pl.format("\n\nassistant: {}", answer)).otherwise(pl.lit("")),
        label=kind,
        request_id="request_id",
        kind=kind,
        origin=pl.when(answer.str.strip_chars() != "").then(pl.lit("exchange")).otherwise(pl.lit("prompt")),
        taught=pl.lit(None, pl.String),
    )
    return BuiltRows(rows, pl.DataFrame(schema=REFUSED))


EXPORTER = Exporter(
    key="classifier",
    title="Safety classifier",
    description=(
        "One row per judged turn: its last exchange as text, harmful or benign, and a sampling weight "
        "(mean 1) that makes a reviewed sample stand for its traffic."
    ),
    columns={"text": pl.String(), "label": pl.String(), "weight": pl.Float64()},
    kinds=("harmful", "benign"),
    needs_every_kind=False,
    takes_contested=True,
    target="label",
    task="text-classification",
    build_rows=build_rows,
)
