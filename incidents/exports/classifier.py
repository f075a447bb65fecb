"""`classifier`: labelled texts with weights, for retraining a safety classifier."""

from __future__ import annotations

from dataclasses import replace

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


def build_soft_rows(labelled: pl.DataFrame) -> BuiltRows:
    """The rows of `build_rows` with the distribution of the votes; the label is `unresolved` where they decide nothing."""
    built = build_rows(labelled)
    distribution = labelled.select(
        "request_id",
        "harmful",
        label_distribution=pl.struct(
            (pl.col(f"{name}_votes") / pl.col("votes")).round(6).alias(name) for name in ("harmful", "benign", "unsure")
        ),
    )
    label = pl.when(pl.col("harmful").is_null()).then(pl.lit("unresolved")).otherwise("label")
    rows = built.rows.join(distribution, on="request_id", maintain_order="left").with_columns(label=label, kind=label)
    order = ("text", "label", "label_distribution", "request_id", "kind", "origin", "taught")
    return BuiltRows(rows.select(*order), built.refused)


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
    targets=("label",),
    task="text-classification",
    build_rows=build_rows,
)

SOFT_EXPORTER = replace(
    EXPORTER,
    description=(
        "One row per judged turn: its last exchange as text, how the votes on it are distributed, the verdict that they come to, "
        "and a sampling weight (mean 1) that makes a reviewed sample stand for its traffic."
    ),
    columns={
        "text": pl.String(),
        "label": pl.String(),
        "label_distribution": pl.Struct({"harmful": pl.Float64, "benign": pl.Float64, "unsure": pl.Float64}),
        "weight": pl.Float64(),
    },
    kinds=("harmful", "benign", "unresolved"),
    targets=("label", "label_distribution"),
    build_rows=build_soft_rows,
    has_soft_labels=True,
)
