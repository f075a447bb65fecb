"""A document's blocks as parts of a page: what the exported file says, readable before it is exported."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import polars as pl
import streamlit as st

from dashboard.text import inert, plain, write_out
from incidents.response.document import (
    Block,
    Document,
    Facts,
    Grid,
    Heading,
    Line,
    Missing,
    Quote,
    write_html,
    write_markdown,
)


def render_document(document: Document, *, key: str) -> None:
    """Draws the blocks in order; texts stay texts."""
    for place, block in enumerate(document.blocks):
        _render(block, key=f"{key}_{place}")
    st.caption(inert(document.foot, limit=300))


def render_downloads(
    document: Document,
    *,
    name: str,
    key: str,
    on_click: Callable[..., None] | Literal["ignore"] = "ignore",
    args: tuple[object, ...] = (),
) -> None:
    """Draws the ways to take the document out: Markdown, and HTML that prints.

    Args:
        document: What to write.
        name: File name without its ending.
        key: Prefix of the buttons' keys.
        on_click: Called with `args` when one is taken.
        args: See there.
    """
    for label, suffix, mime, text in (
        ("HTML to print", "html", "text/html", write_html(document)),
        ("Markdown", "md", "text/markdown", write_markdown(document)),
    ):
        st.download_button(
            label,
            text,
            file_name=f"{name}.{suffix}",
            mime=mime,
            key=f"{key}_{suffix}",
            icon=":material/download:",
            on_click=on_click,
            args=args,
        )


def render_pairs(pairs: list[tuple[str, str]]) -> None:
    """Draws names and values, two columns."""
    for name, value in pairs:
        left, right = st.columns([2, 3], gap="small")
        left.caption(inert(name))
        right.text(write_out(value))


def _render(block: Block, *, key: str) -> None:
    match block:
        case Heading(text):
            st.markdown(f"**{inert(text, limit=300)}**")
        case Line(text):
            st.text(write_out(text))
        case Missing(text):
            st.markdown(f":orange[:material/edit_note: Missing:] {inert(text, limit=300)}")
        case Quote(text):
            with st.container(border=True):
                st.text(write_out(text))
        case Facts(pairs):
            with st.container(gap=None):
                render_pairs(list(pairs))
        case Grid(head, rows):
            columns = {name: [plain(row[place], limit=2000) for row in rows] for place, name in enumerate(head)}
            st.dataframe(
                pl.DataFrame(columns, schema=dict.fromkeys(head, pl.String)),
                key=key,
                hide_index=True,
                height="content",
                alt=f"Table of {', '.join(head)}",
                column_config={
                    name: st.column_config.TextColumn(name, width="large" if place == len(head) - 1 else None)
                    for place, name in enumerate(head)
                },
            )
