"""What a screen reader is told of a page: names of controls, tables and pictures, and headings in order."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from playwright.sync_api import Page

NAMED = frozenset(
    {
        *("button", "checkbox", "combobox", "image", "img", "link", "listbox", "menuitem", "radio", "searchbox"),
        *("slider", "spinbutton", "switch", "tab", "textbox"),
    }
)
# A table is drawn on a canvas: its name stands on what holds it.
_NAMELESS_TABLES = """[...document.querySelectorAll('[data-testid=stDataFrame]')]
    .filter(table => table.checkVisibility() && !table.querySelector('div[aria-label]')).length"""


def assert_labelled(page: Page) -> None:
    """Every control, picture and table of the page has a name, and no heading lies two levels below the one before."""
    assert list_faults(page) == []


def list_faults(page: Page) -> list[str]:
    """What a screen reader could not tell, from the browser's accessibility tree."""
    session = page.context.new_cdp_session(page)
    try:
        nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    finally:
        session.detach()
    told = [node for node in nodes if not node.get("ignored")]
    faults = [f"a {_role(node)} without a name" for node in told if _role(node) in NAMED and not _name(node)]
    levels = [(_level(node), _name(node)) for node in told if _role(node) == "heading"]
    faults += [
        f"heading {name!r} of level {level} after one of level {before}"
        for (before, _), (level, name) in pairwise(levels)
        if level > before + 1
    ]
    tables = page.evaluate(_NAMELESS_TABLES)
    return [*faults, *(["a table without a name"] * tables)]


def _role(node: dict[str, Any]) -> str:
    return str(node.get("role", {}).get("value", ""))


def _name(node: dict[str, Any]) -> str:
    return str(node.get("name", {}).get("value", "")).strip()


def _level(node: dict[str, Any]) -> int:
    return next(int(item["value"]["value"]) for item in node["properties"] if item["name"] == "level")
