"""The rules that keep poison out of a feedback set; what they refuse is counted by reason."""

from __future__ import annotations

import polars as pl

from incidents.exports.exporter import MESSAGES, RANKED, Exporter, Refusal, normalise, part
from incidents.exports.personal_data import MASK, has_personal_data
from incidents.exports.shapes import join_texts
from incidents.near_duplicates import group_near_duplicates

MAX_ROW_CHARS = 100_000
"""Longest row, in characters over all texts: about the longest context that trainers are run with."""


def refuse_turns(
    turns: pl.DataFrame, *, include_contested: bool, include_unresolved: bool
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Judged turns that may become rows, and the refusals of the others.

    Args:
        turns: Columns of `labelled.read_labelled`.
        include_contested: Whether a majority suffices where reviewers disagree; an adjudication always does.
        include_unresolved: Whether turns are taken whose votes decide nothing: for rows that hold their distribution.
    """
    reason = (
        pl.when(pl.col("harmful").is_null() & (not include_unresolved))
        .then(pl.lit(Refusal.UNRESOLVED.value))
        .when(pl.col("is_contested") & ~pl.col("is_adjudicated") & (not include_contested))
        .then(pl.lit(Refusal.CONTESTED.value))
        .when(pl.col("is_stale") & pl.col("good_origin").ne_missing(RANKED))
        .then(pl.lit(Refusal.STALE_POLICY.value))
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
    personal, masked = has_personal_data(rows["_text"]), pl.col("_text").str.contains(MASK)
    reason = pl.when(personal).then(pl.lit(Refusal.PERSONAL_DATA.value)).when(masked).then(pl.lit(Refusal.MASKED.value))
    rows, refused_personal = part(rows, reason)
    rows, refused_repeats = part(rows, _repetition(exporter))
    rows, refused_alike = part(rows, pl.when(_resembles(rows, exporter)).then(pl.lit(Refusal.NEAR_DUPLICATE.value)))
    return rows.drop("_text"), pl.concat([refused_texts, refused_personal, refused_repeats, refused_alike])


def _all_text(exporter: Exporter) -> pl.Expr:
    texts = [join_texts(pl.col(name), dtype) for name, dtype in exporter.columns.items()]
    return pl.concat_str(texts, separator="\n", ignore_nulls=True)


def _repetition(exporter: Exporter) -> pl.Expr:
    """The reason to refuse a row that says the same as an earlier row, or the opposite of any."""
    same = [name for name in exporter.built_columns() if name not in exporter.targets]
    identity = pl.struct(*(exporter.identity or same)).struct.json_encode()
    repeated = pl.when(pl.int_range(pl.len()).over(identity) > 0).then(pl.lit(Refusal.DUPLICATE.value))
    if not exporter.targets:
        return repeated
    target = pl.struct(exporter.targets[0]).struct.json_encode()
    return pl.when(target.n_unique().over(identity) > 1).then(pl.lit(Refusal.CONTRADICTORY.value)).otherwise(repeated)


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


def match_kinds(rows: pl.DataFrame, exporter: Exporter) -> tuple[pl.DataFrame, pl.DataFrame]:
    """As many rows of each kind in each split and each combination of `exporter.matched_on`, and the refusals of the others.

    Which ones stay is settled by a hash of their content, so that time of day does not decide.

    Args:
        rows: split, kind, row_key and the columns matched on.
        exporter: Says what to match on; rows of a format that matches nothing all stay.
    """
    if not exporter.matched_on:
        return part(rows, pl.lit(None, pl.String))
    alike = ("split", *exporter.matched_on)
    many = [(pl.col("kind") == kind).sum().over(alike) for kind in exporter.kinds]
    place = pl.col("row_key").rank("ordinal").over(*alike, "kind")
    return part(rows, pl.when(place > pl.min_horizontal(many)).then(pl.lit(Refusal.UNMATCHED.value)))
