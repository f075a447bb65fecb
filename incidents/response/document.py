"""Documents that leave Weir: blocks of text, as Markdown and as self-contained HTML that prints.

No block holds markup. Both writers escape everything, so that text out of logs and notes is harmless wherever it stands;
the HTML needs nothing from elsewhere and forbids the browser to fetch anything.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass

from core.text import inert, write_out

_LONG = 20_000
_STYLE = """
@page { margin: 18mm }
body { font: 14px/1.45 system-ui, sans-serif; color: #18212b; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.6rem; line-height: 1.2 } h2 { font-size: 1.15rem; margin-top: 1.8rem; break-after: avoid }
table { border-collapse: collapse; width: 100%; margin: .6rem 0 }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem; border-bottom: 1px solid #d5dbe1 }
th { color: #5b6773; font-weight: 600 } tr { break-inside: avoid }
td, pre, p, li { overflow-wrap: anywhere; white-space: pre-wrap }
pre { font: inherit; background: #f3f5f7; border-left: 3px solid #8c98a4; padding: .5rem .8rem; margin: .4rem 0 }
table.facts th { width: 14rem } .missing { color: #9a3412; font-weight: 600 } footer { color: #5b6773; margin-top: 2rem }
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


@dataclass(frozen=True, slots=True)
class Heading:
    """Begins a section."""

    text: str


@dataclass(frozen=True, slots=True)
class Line:
    """A sentence of ours."""

    text: str


@dataclass(frozen=True, slots=True)
class Quote:
    """What somebody wrote or a log said, line breaks kept."""

    text: str


@dataclass(frozen=True, slots=True)
class Missing:
    """Something that should stand here and is not known yet."""

    text: str


@dataclass(frozen=True, slots=True)
class Facts:
    """Names and values."""

    pairs: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Grid:
    """A table."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


Block = Heading | Line | Quote | Missing | Facts | Grid


@dataclass(frozen=True, slots=True)
class Document:
    """A title, what it is, and its blocks in order; `foot` says where it comes from."""

    title: str
    blocks: Sequence[Block]
    foot: str


def write_markdown(document: Document) -> str:
    """The document as Markdown, everything that Markdown would act on escaped."""
    parts = [
        f"# {_escape(document.title)}",
        *(_mark(block) for block in document.blocks),
        f"*{_escape(document.foot)}*",
    ]
    return "\n\n".join(parts) + "\n"


def write_html(document: Document) -> str:
    """The document as one HTML page, ready to print, everything that HTML would act on escaped."""
    body = "\n".join(_tag(block) for block in document.blocks)
    title = _entity(document.title)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n{body}\n"
        f"<footer>{_entity(document.foot)}</footer>\n</body>\n</html>\n"
    )


def _mark(block: Block) -> str:
    match block:
        case Heading(text):
            return f"## {_escape(text)}"
        case Line(text):
            return _escape(text)
        case Missing(text):
            return f"**Missing:** {_escape(text)}"
        case Quote(text):
            shown = write_out(text)
            longest = max((len(run) for run in re.findall("`+", shown)), default=0)
            fence = "`" * max(3, longest + 1)
            return f"{fence}text\n{shown}\n{fence}"
        case Facts(pairs):
            return _mark(Grid(("", ""), pairs))
        case Grid(head, rows):
            top, *lines = [[_escape(cell) for cell in row] for row in (head, *rows)]
            return "\n".join(f"| {' | '.join(cells)} |" for cells in (top, ["---"] * len(head), *lines))


def _tag(block: Block) -> str:
    match block:
        case Heading(text):
            return f"<h2>{_entity(text)}</h2>"
        case Line(text):
            return f"<p>{_entity(text)}</p>"
        case Missing(text):
            return f'<p><span class="missing">Missing:</span> {_entity(text)}</p>'
        case Quote(text):
            return f"<pre>{_entity(text)}</pre>"
        case Facts(pairs):
            rows = "".join(
                f"<tr><th scope=row>{_entity(name)}</th><td>{_entity(value)}</td></tr>" for name, value in pairs
            )
            return f'<table class="facts">{rows}</table>'
        case Grid(head, rows):
            top = "".join(f"<th scope=col>{_entity(name)}</th>" for name in head)
            lines = "".join(f"<tr>{''.join(f'<td>{_entity(cell)}</td>' for cell in row)}</tr>" for row in rows)
            return f"<table><thead><tr>{top}</tr></thead><tbody>{lines}</tbody></table>"


def _escape(text: str) -> str:
    return inert(text, limit=_LONG)


def _entity(text: str) -> str:
    return html.escape(write_out(text), quote=True)
