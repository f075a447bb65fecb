"""`label-studio`: judged turns as tasks with their verdict, to go on annotating in Label Studio.

Format: Label Studio's task JSON (formats.md section 8.6), one task a line; `from_name` and `to_name` fit a configuration
`<View><Text name="text" value="$text"/><Choices name="verdict" toName="text">...`.
"""

from __future__ import annotations

import polars as pl

from incidents.exports import classifier
from incidents.exports.exporter import BuiltRows, Exporter

_RESULT = pl.Struct(
    {
        "from_name": pl.String,
        "to_name": pl.String,
        "type": pl.String,
        "value": pl.Struct({"choices": pl.List(pl.String)}),
    }
)
_ANNOTATION = pl.Struct({"result": pl.List(_RESULT), "was_cancelled": pl.Boolean, "ground_truth": pl.Boolean})


def build_rows(labelled: pl.DataFrame) -> BuiltRows:
    """The texts of `classifier`, each a task that carries the settled verdict as its annotation."""
    built = classifier.build_rows(labelled)
    result = pl.struct(
        from_name=pl.lit("verdict"),
        to_name=pl.lit("text"),
        type=pl.lit("choices"),
        value=pl.struct(choices=pl.concat_list("label")),
    )
    annotation = pl.struct(
        result=pl.concat_list(result), was_cancelled=pl.lit(value=False), ground_truth=pl.lit(value=False)
    )
    rows = built.rows.with_columns(
        data=pl.struct("text", request_id="request_id"), annotations=pl.concat_list(annotation)
    )
    return BuiltRows(rows.drop("text", "label"), built.refused)


EXPORTER = Exporter(
    key="label-studio",
    title="Label Studio tasks",
    description="One task per judged turn: its last exchange, with the settled verdict as annotation.",
    columns={
        "data": pl.Struct({"text": pl.String, "request_id": pl.String}),
        "annotations": pl.List(_ANNOTATION),
    },
    kinds=classifier.EXPORTER.kinds,
    needs_every_kind=False,
    takes_contested=True,
    targets=("annotations",),
    task="text-classification",
    build_rows=build_rows,
    identity=(pl.col("data").struct.field("text"),),
)
