"""`argilla`: judged turns as records with a suggested verdict, to go on annotating in Argilla.

Format: Argilla 2's exported records (formats.md section 8.6).
"""

from __future__ import annotations

import polars as pl

from incidents.exports import classifier
from incidents.exports.exporter import BuiltRows, Exporter

_VERDICT = pl.Struct({"value": pl.String, "agent": pl.String})


def build_rows(labelled: pl.DataFrame) -> BuiltRows:
    """The texts of `classifier`, each a record with the settled verdict as a suggestion."""
    built = classifier.build_rows(labelled)
    facts = labelled.select("request_id", "category", "language")
    rows = built.rows.join(facts, on="request_id", how="left", maintain_order="left").with_columns(
        id="request_id",
        fields=pl.struct("text"),
        metadata=pl.struct(pl.col("category", "language").fill_null("")),
        suggestions=pl.struct(verdict=pl.struct(value="label", agent=pl.lit("weir consensus"))),
    )
    return BuiltRows(rows.drop("text", "label", "category", "language"), built.refused)


EXPORTER = Exporter(
    key="argilla",
    title="Argilla records",
    description="One record per judged turn: its last exchange, with the settled verdict as a suggestion.",
    columns={
        "id": pl.String(),
        "fields": pl.Struct({"text": pl.String}),
        "metadata": pl.Struct({"category": pl.String, "language": pl.String}),
        "suggestions": pl.Struct({"verdict": _VERDICT}),
    },
    kinds=classifier.EXPORTER.kinds,
    needs_every_kind=False,
    takes_contested=True,
    targets=("suggestions",),
    task="text-classification",
    build_rows=build_rows,
    identity=(pl.col("fields"),),
)
