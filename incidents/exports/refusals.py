"""The rules that keep poison out of a feedback set; what they refuse is counted by reason."""

from __future__ import annotations

import polars as pl

from incidents.exports.exporter import MESSAGES, RANKED, Exporter, Refusal, normalise, part
from incidents.exports.near_duplicates import group_near_duplicates
from incidents.exports.personal_data import has_personal_data
from incidents.exports.shapes import join_texts

MAX_ROW_CHARS = 100_000
"""Longest row, in characters over all texts: about the longest context that trainers are run with."""


def refuse_turns(turns: pl.DataFrame, *, include_contested: bool) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Judged turns that may become rows, and the refusals of the others.

    Args:
        turns: Columns of `labelled.read_labelled`.
        include_contested: Whether a majority suffices where reviewers disagree; an adjudication always does.
    """
    reason = (
        pl.when(pl.col("harmful").is_null())
        .then(pl.lit(Refusal.UNRESOLVED.value))
        .when(pl.col("is_contested") & ~pl.col("is_adjudicated") & (not include_contested))
        .then(pl.lit(Refusal.CONTESTED.value))
        .otherwise(pl.col("prompt_problem"))
    )
    return part(turns, reason)


def refuse_rows(
    rows: pl.DataFrame, exporter: Exporter, *, harmful_texts: pl.Series
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows that may be trained on, and the refusals of the others.

    Args:
        rows: Columns of the exporter and of `exporter.ROW_FACTS`, and `_asked` (the turn's prompt), in the order in which
            duplicates are kept.
        exporter: Says which column must not contradict itself.
        harmful_texts: Answers judged harmful, white space normalised.
    """
    rows = rows.with_columns(_text=_all_text(exporter))
    reason = (
        pl.when(pl.col("_text").str.len_chars() > MAX_ROW_CHARS)
        .then(pl.lit(Refusal.TOO_LONG.value))
        .when(normalise(pl.col("taught")).is_in(harmful_texts.implode()))
        .then(pl.lit(Refusal.HARMFUL_CHOSEN.value))
    )
    rows, refused_texts = part(rows, reason)
    personal = has_personal_data(rows["_text"])
    rows, refused_personal = part(rows, pl.when(personal).then(pl.lit(Refusal.PERSONAL_DATA.value)))
    rows, refused_repeats = part(rows, _repetition(exporter))
    rows, refused_alike = part(rows, pl.when(_resembles(rows, exporter)).then(pl.lit(Refusal.NEAR_DUPLICATE.value)))
    return rows.drop("_text"), pl.concat([refused_texts, refused_personal, refused_repeats, refused_alike])


def _all_text(exporter: Exporter) -> pl.Expr:
    texts = [join_texts(pl.col(name), dtype) for name, dtype in exporter.columns.items()]
    return pl.concat_str(texts, separator="\n", ignore_nulls=True)


def _repetition(exporter: Exporter) -> pl.Expr:
    """The reason to refuse a row that says the same as an earlier row, or the opposite of any."""
    same = [name for name in exporter.built_columns() if name != exporter.target]
    identity = pl.struct(same).struct.json_encode()
    repeated = pl.when(pl.int_range(pl.len()).over(identity) > 0).then(pl.lit(Refusal.DUPLICATE.value))
    if exporter.target is None:
        return repeated
    contradicts = pl.col(exporter.target).n_unique().over(identity) > 1
    return pl.when(contradicts).then(pl.lit(Refusal.CONTRADICTORY.value)).otherwise(repeated)


def _resembles(rows: pl.DataFrame, exporter: Exporter) -> pl.Series:
    """Whether a row of the same kind before it says nearly the same.

    Compared are the turn's prompt and what the row makes of it. The conversation before does not count: two turns of one
    conversation share it. Kinds stay apart, because two texts that differ in little but their verdict teach the most. Pairs
    of a ranking share their prompt and their texts by nature.
    """
    texts = rows.select(
        "kind",
        text=pl.concat_str(
            pl.col("_asked"),
            *(join_texts(_own_part(pl.col(name), dtype), dtype) for name, dtype in exporter.columns.items()),
            separator="\n",
            ignore_nulls=True,
        ),
    ).with_row_index("position")
    kept: set[int] = set()
    for (kind,), same in texts.group_by("kind"):
        if kind == RANKED:
            kept.update(same["position"])
            continue
        same = same.sort("position")
        groups = group_near_duplicates(same["text"])
        kept.update(same["position"].gather(groups.unique()))
    return pl.Series([position not in kept for position in range(rows.height)], dtype=pl.Boolean)


def _own_part(column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    return column.list.tail(1) if dtype == MESSAGES else column
