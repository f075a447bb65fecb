"""`llama-guard`: judged exchanges for fine-tuning Llama Guard.

Format: `TrainingExample` of the Llama cookbook's formatter (formats.md section 8.3). Codes are 1-based positions in a list
of categories, here Llama Guard 3's own.
"""

from __future__ import annotations

import polars as pl

from incidents.exports.exporter import BuiltRows, Exporter, Refusal, has_text, refuse
from ingest.crosswalk import HAZARDS, load_crosswalk

NO_RESPONSE = "N/A"
_TAXONOMY = "llama-guard-3"


def list_codes() -> dict[str, str]:
    """Canonical hazard to Llama Guard 3 code; the lower code where two mean the same."""
    table = load_crosswalk().table.to_pylist()
    own = [
        (row["category"], row["native"].upper())
        for row in table
        if row["taxonomy"] == _TAXONOMY and row["native"][1:].isdigit()
    ]
    return dict(sorted(own, key=lambda pair: int(pair[1][1:]), reverse=True))


def build_rows(labelled: pl.DataFrame) -> BuiltRows:
    """One row per turn: its last exchange, safe, or unsafe with the code of the people's category."""
    codes = list_codes()
    code = pl.col("category").replace_strict(codes, default=None, return_dtype=pl.String)
    turns = labelled.with_columns(_code=pl.when("harmful").then(code))
    is_coded = ~pl.col("harmful") | pl.col("_code").is_not_null()
    label = pl.when("harmful").then(pl.lit("unsafe")).otherwise(pl.lit("safe"))
    rows = turns.filter(is_coded).select(
        "prompt",
        response=pl.when(has_text(pl.col("response"))).then("response").otherwise(pl.lit(NO_RESPONSE)),
        violated_category_codes=pl.when("harmful")
        .then(pl.concat_list("_code"))
        .otherwise(pl.lit([], pl.List(pl.String))),
        label=label,
        explanation=pl.col("critique").fill_null(""),
        request_id="request_id",
        kind=label,
        origin=pl.when(has_text(pl.col("response"))).then(pl.lit("exchange")).otherwise(pl.lit("prompt")),
        taught=pl.lit(None, pl.String),
    )
    return BuiltRows(rows, refuse(turns.filter(~is_coded), Refusal.UNMAPPED_CATEGORY))


def _describe_codes() -> str:
    titles = sorted(((code, HAZARDS[name]) for name, code in list_codes().items()), key=lambda pair: int(pair[0][1:]))
    return "; ".join(f"{code} {title}" for code, title in titles)


EXPORTER = Exporter(
    key="llama-guard",
    title="Llama Guard fine-tuning",
    description="One row per judged turn: its last exchange, safe or unsafe, and the codes it violates: "
    f"{_describe_codes()}.",
    columns={
        "prompt": pl.String(),
        "response": pl.String(),
        "violated_category_codes": pl.List(pl.String()),
        "label": pl.String(),
        "explanation": pl.String(),
    },
    kinds=("safe", "unsafe"),
    needs_every_kind=False,
    takes_contested=False,
    targets=("label", "violated_category_codes", "explanation"),
    task="text-classification",
    build_rows=build_rows,
)
