"""Results for a person at a terminal. Logged text is stripped of whatever a terminal would act on."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

_WHOLE_FROM = 10_000  # where four digits would need an exponent


def print_rows(rows: Sequence[Mapping[str, Any]], out: TextIO, *, title: str = "") -> None:
    """Prints rows as a table, rates as percent with interval and denominator; "Nothing to show." for none."""
    console = _console(out)
    if not rows:
        console.print("Nothing to show.")
        return
    table = Table(title=title or None, title_justify="left", header_style="bold")
    for name in rows[0]:
        is_number = any(isinstance(row[name], int | float | dict) for row in rows)
        table.add_column(name.replace("_", " "), justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_show(value)) for value in row.values()))
    console.print(table)


def print_pairs(pairs: Mapping[str, Any], out: TextIO) -> None:
    """Prints names and values, one a line."""
    console = _console(out)
    width = max((len(name) for name in pairs), default=0)
    for name, value in pairs.items():
        console.print(Text(f"{name.replace('_', ' '):<{width}}  {_show(value)}"))


def print_settings(settings: Mapping[str, Any], out: TextIO) -> None:
    """Prints settings as `weir.toml` names them, one a line."""
    pairs: dict[str, Any] = {}
    for name, value in settings.items():
        inner = {f"{name}.{key}": item for key, item in value.items()} if isinstance(value, Mapping) else {name: value}
        pairs.update(inner)
    width = max(len(name) for name in pairs)
    console = _console(out)
    for name, value in pairs.items():
        console.print(Text(f"{name:<{width}}  {make_inert(json.dumps(value, ensure_ascii=False))}"))


def make_inert(text: str) -> str:
    """`text` with control and formatting characters (escape sequences, bidi overrides) shown as their code points."""
    return "".join(
        f"\\u{ord(char):04x}" if unicodedata.category(char) in ("Cc", "Cf", "Cs") and char != "\n" else char
        for char in text
    )


def _console(out: TextIO) -> Console:
    return Console(file=out, highlight=False, markup=False, width=None if out.isatty() else 240)


def _show(value: Any) -> str:
    match value:
        case None:
            return "-"
        case {"estimate": estimate, "low": low, "high": high, "numerator": numerator, "denominator": denominator}:
            if estimate is None:
                return f"too few ({_show(numerator)} of {_show(denominator)})" if denominator else "-"
            return f"{estimate:.1%} ({low:.1%} to {high:.1%}) n {_show(denominator)}"
        case {"estimate": estimate, "low": low, "high": high, "n": n}:
            bounds = f"{_show(estimate)} ({_show(low)} to {_show(high)})"
            return "-" if estimate is None else f"{bounds} n {_show(n)}"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:,.0f}" if abs(value) >= _WHOLE_FROM else f"{value:,.4g}"
        case int():
            return f"{value:,}"
        case dict():
            return ", ".join(f"{make_inert(str(key))}: {_show(item)}" for key, item in value.items()) or "-"
        case list() | tuple():
            return ", ".join(_show(item) for item in value) or "-"
        case _:
            return make_inert(str(value))
