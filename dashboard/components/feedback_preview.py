"""What a feedback set would hold now: rows, balance, refusals with their reasons, and masked sample rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import polars as pl
import streamlit as st

from dashboard.components.empty import render_empty
from dashboard.text import inert, plain
from dashboard.theme import format_count
from incidents.exports.build import ExportPreview
from incidents.exports.exporter import REFUSALS
from incidents.exports.leakage import Leakage

REFUSAL_SCHEMA = {"Left out because": pl.String, "Count": pl.Int64, "What that means": pl.String}
CELL_LIMIT = 300
SHORT, NARROW, WIDE = 30, 120, 420


def tabulate_refusals(refused: Mapping[str, int]) -> pl.DataFrame:
    """One row per reason, the most frequent first (schema `REFUSAL_SCHEMA`)."""
    ranked = sorted(refused.items(), key=lambda item: (-item[1], item[0]))
    rows = [(REFUSALS[reason].title, count, REFUSALS[reason].guidance) for reason, count in ranked]
    return pl.DataFrame(rows, schema=REFUSAL_SCHEMA, orient="row")


def tabulate_balance(balance: Mapping[str, Mapping[str, int]]) -> pl.DataFrame:
    """One row per kind of row, one column per split, and their sum; kinds in the exporter's order."""
    kinds = list(next(iter(balance.values()), {}))
    frame = pl.DataFrame({"Kind": [kind.replace("_", " ") for kind in kinds]}, schema={"Kind": pl.String})
    splits = [pl.Series(name, [counts[kind] for kind in kinds], dtype=pl.Int64) for name, counts in balance.items()]
    return frame.with_columns(splits).with_columns(all=pl.sum_horizontal(series.name for series in splits))


def tabulate_leakage(leakage: Leakage) -> pl.DataFrame:
    """What must stay in one part of the set, and how often it does not."""
    rows = [
        ("Conversations", leakage.conversations),
        ("Users", leakage.users),
        ("Whole prompts", leakage.prompts),
        ("Near-duplicate prompts", leakage.near_duplicates),
        ("Rows tested on by an earlier set", leakage.held_out_before),
    ]
    return pl.DataFrame(rows, schema={"Kept together": pl.String, "Torn": pl.Int64}, orient="row")


def describe_groups(leakage: Leakage) -> str:
    """How the rows hang together, as a sentence."""
    verdict = "Nothing leaks" if not leakage.torn else "This set leaks"
    return f"{verdict}: {leakage.components:,} groups of rows that belong together, the largest of {leakage.largest_component:,}."


def tabulate_rows(rows: pl.DataFrame, *, is_masked: bool) -> pl.DataFrame:
    """Sample rows as one line of plain text per cell; texts as their size while masked."""
    texts = [name for name in rows.columns if name not in ("split", "kind", "request_id")]
    columns = [
        rows[name]
        if name in ("split", "kind")
        else pl.Series(name, [_cell(value, is_masked=is_masked) for value in rows[name].to_list()], dtype=pl.String)
        for name in ("split", "kind", *texts)
    ]
    return pl.DataFrame(columns)


def _cell(value: Any, *, is_masked: bool) -> str:
    if value is None or isinstance(value, bool | int | float):
        return "" if value is None else str(value)
    text = _as_text(value)
    return f"masked, {len(text):,} characters" if is_masked else plain(text, limit=CELL_LIMIT)


def _as_text(value: Any) -> str:
    """A conversation as one line; any other structure as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(item, dict) and item.keys() == {"role", "content"} for item in value):
        return " | ".join(f"{item['role']}: {item['content']}" for item in value)
    return json.dumps(value, ensure_ascii=False)


def render(preview: ExportPreview, *, is_revealed: bool, on_reveal: Callable[[], None]) -> None:
    """Shows the preview.

    Args:
        preview: What the set would hold.
        is_revealed: Sample rows are shown with their text.
        on_reveal: Audits and reveals.
    """
    total = sum(preview.counts.values())
    tiles = {
        "Rows": total,
        **{f"of which {name}": count for name, count in preview.counts.items()},
        "Judged turns": preview.judged,
        "Left out": sum(preview.refused.values()),
    }
    with st.container(key="feedback_numbers"):
        columns = st.columns(len(tiles))
    for column, (title, count) in zip(columns, tiles.items(), strict=True):
        column.metric(title, format_count(count), border=True)
    for note in preview.notes:
        st.caption(f":material/info: {inert(note, limit=300)}")
    balance, leakage = st.columns(2)
    with balance:
        st.markdown("**Balance**")
        table = tabulate_balance(preview.balance)
        st.dataframe(
            table,
            hide_index=True,
            key="feedback_balance",
            column_config={
                name: st.column_config.NumberColumn(format="localized") for name in table.columns if name != "Kind"
            },
            alt="Rows of each kind by split",
        )
        if preview.weights:
            weights = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in preview.weights.items())
            st.caption(f"Suggested loss weights: {weights}.")
    with leakage:
        st.markdown("**Leakage**")
        st.dataframe(
            tabulate_leakage(preview.leakage),
            hide_index=True,
            key="feedback_leakage",
            column_config={"Torn": st.column_config.NumberColumn(width="small")},
            alt="What is torn between the parts of the set",
        )
        st.caption(describe_groups(preview.leakage))
    _render_refusals(tabulate_refusals(preview.refused))
    _render_sample(preview, is_revealed=is_revealed, on_reveal=on_reveal)


def _render_refusals(table: pl.DataFrame) -> None:
    st.markdown("**Left out, by reason**")
    if table.is_empty():
        st.caption("Nothing is left out.")
        return
    st.dataframe(
        table,
        hide_index=True,
        key="feedback_refusals",
        height="content",
        column_config={
            "Left out because": st.column_config.TextColumn(width=200),
            "Count": st.column_config.NumberColumn(width=70, format="localized"),
            "What that means": st.column_config.TextColumn(width=600),
        },
        alt="Turns and rows left out, by reason",
    )


def _render_sample(preview: ExportPreview, *, is_revealed: bool, on_reveal: Callable[[], None]) -> None:
    if preview.rows.is_empty():
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**First {preview.rows.height} rows**", width="content")
        st.space("stretch")
        st.button(
            "Revealed" if is_revealed else "Reveal",
            key="feedback_reveal",
            icon=":material/visibility:",
            type="tertiary",
            disabled=is_revealed,
            help="Revealing is recorded in the audit log.",
            on_click=on_reveal,
        )
    table = tabulate_rows(preview.rows, is_masked=not is_revealed)
    st.dataframe(
        table,
        hide_index=True,
        key="feedback_sample",
        column_config={
            name: st.column_config.TextColumn(width=pixels)
            for name, pixels in zip(table.columns, _widths(table), strict=True)
        },
        alt="First rows of the set",
    )


def _widths(table: pl.DataFrame) -> list[int]:
    """Pixels per column: what is short stays narrow, so that texts get the room."""
    longest = [table[name].cast(pl.String).str.len_chars().max() for name in table.columns]
    return [WIDE if isinstance(length, int) and length > SHORT else NARROW for length in longest]


def render_problem(preview: ExportPreview, reason: str) -> None:
    """Says why no set can be built; `reason` tells what the window holds."""
    render_empty("This set cannot be built yet", f"{preview.problem} {reason}".strip(), icon=":material/block:")
