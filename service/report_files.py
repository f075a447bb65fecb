"""Reports as files for others: CSV that a spreadsheet cannot be attacked with, and a document that prints."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import polars as pl

from core.text import plain
from incidents.response.document import Block, Document, Facts, Grid, Heading, Line
from incidents.response.words import say_moment, say_rate
from ingest.crosswalk import HAZARDS
from metrics.estimate import MEASURE, RATE
from metrics.report import Report, ReportResult

_RATE = ("estimate", "low", "high", "numerator", "denominator", "n")
_CELL_CHARS = 1000
_WIDEST = 9


def write_csv(result: ReportResult) -> str:
    """A report's rows as CSV (RFC 4180). A rate becomes one column for each of its parts.

    A spreadsheet takes a text that begins with =, +, - or @ for a formula: a quote before it makes it text.
    """
    rows = [_spread(row) for row in result.rows.iter_rows(named=True)]
    names = list(dict.fromkeys(name for row in rows for name in row)) or result.rows.columns
    out = io.StringIO()
    writer = csv.DictWriter(out, names, lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def build_document(result: ReportResult, report: Report) -> Document:
    """A report as a document: its window and coverage, its rows, and what each column means."""
    since, until = result.window
    window = f"{say_moment(since) if since else 'the first event'} to {say_moment(until) if until else 'the last'}"
    coverage = result.coverage
    share = coverage["evaluated_share"]
    names = result.rows.columns
    blocks: list[Block] = [
        Line(report.description),
        Facts(
            [
                ("Window", window),
                ("Turns", f"{coverage['turns']:,}"),
                ("Checks", f"{coverage['checks']:,}, of which {share:.1%} decided" if share is not None else "none"),
                ("Source", report.source.replace("`", "")),
            ]
        ),
        *(_build_grids(result) if result.rows.height else [Line("Nothing was logged in this window.")]),
        Heading("What the columns mean"),
        Facts([(_title(name), report.columns[name]) for name in names if name in report.columns]),
        *(Line(note) for note in result.notes),
    ]
    foot = f"Written by Weir on {say_moment(result.generated_at)}. Times are UTC."
    return Document(title=f"{report.title} report", blocks=blocks, foot=foot)


def _build_grids(result: ReportResult) -> list[Block]:
    """The rows as one table, or, where that is too wide for a page, the rates in a second one beside the same names."""
    columns = result.rows.columns
    rates = [name for name, kind in result.rows.schema.items() if kind in (RATE, MEASURE)]
    keys = [name for name, kind in result.rows.schema.items() if kind == pl.String]
    parts = [columns]
    if len(columns) > _WIDEST and rates and len(rates) < len(columns):
        parts = [[name for name in columns if name not in rates], [*keys, *rates]]
    return [
        Grid(
            [_title(name) for name in part],
            [[_say(_name(name, row[name])) for name in part] for row in result.rows.to_dicts()],
        )
        for part in parts
    ]


def _spread(row: Mapping[str, Any]) -> dict[str, object]:
    cells: dict[str, object] = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            cells |= {f"{name}_{part}": value[part] for part in _RATE if part in value}
        else:
            cells[name] = plain(value, limit=_CELL_CHARS) if isinstance(value, str) else value
    return cells


def _name(column: str, value: Any) -> Any:
    """Hazards by their title; everything else as it is."""
    if column != "category":
        return value
    return "none given" if value is None else HAZARDS.get(value, value)


def _title(name: str) -> str:
    words = name.removesuffix("_s").replace("_", " ")
    return words.capitalize() + (" (s)" if name.endswith("_s") else "")


def _say(value: Any) -> str:
    match value:
        case None:
            return "–"
        case {"estimate": _, "low": _, "high": _, "n": _}:
            return say_rate(value)
        case float():
            return f"{value:,.1f}"
        case int():
            return f"{value:,}"
        case datetime():
            return say_moment(value)
        case _:
            return str(value)
