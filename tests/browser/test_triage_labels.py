"""Triage with a screen reader and on a narrow screen: every control has a name, headings are in order, nothing is cut."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.labels import assert_labelled
from tests.browser.serving import Server, open_page, press_and_wait, settle_drawing, start_reviewing

pytestmark = pytest.mark.browser

LANDMARKS = {"banner", "navigation", "main"}
# What reaches beyond the edge, or whose label does not fit into it; a table scrolls within itself.
CUT = """() => [...document.querySelectorAll("[data-testid=stMain] button, [data-testid=stMain] label, [role=dialog] button")]
    .filter(item => item.checkVisibility() && item.innerText.trim())
    .filter(item => {
        const box = item.getBoundingClientRect()
        const isClipped = part =>
            getComputedStyle(part).overflowX !== "visible" && part.clientWidth > 1 && part.scrollWidth > part.clientWidth + 1
        return box.left < 0 || box.right > innerWidth || [item, ...item.querySelectorAll("*")].some(isClipped)
    })
    .map(item => item.innerText)"""


def read_tree(page: Page) -> list[tuple[str, str, int]]:
    """Role, name and heading level (0 for none) of what a screen reader finds, in its order."""
    session = page.context.new_cdp_session(page)
    nodes = {node["nodeId"]: node for node in session.send("Accessibility.getFullAXTree")["nodes"]}
    session.detach()
    root = next(node for node in nodes.values() if "parentId" not in node)
    return [
        (node["role"]["value"], str(node.get("name", {}).get("value", "")).strip(), _level(node))
        for node in _walk(root, nodes)
        if not node.get("ignored")
    ]


def _walk(node: dict[str, Any], nodes: dict[str, dict[str, Any]]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("childIds", ()):
        if child in nodes:
            yield from _walk(nodes[child], nodes)


def _level(node: dict[str, Any]) -> int:
    levels = [item["value"]["value"] for item in node.get("properties", ()) if item["name"] == "level"]
    return int(levels[0]) if levels and node["role"]["value"] == "heading" else 0


def check(page: Page) -> list[str]:
    """Every control has a name, no heading skips a level, nothing is cut; returns the headings."""
    settle_drawing(page)
    assert_labelled(page)
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    assert page.evaluate(CUT) == []
    return [name for _, name, level in read_tree(page) if level]


def test_every_control_is_named_headings_are_in_order_and_nothing_is_cut_at_1024(page: Page, server: Server) -> None:
    page.set_viewport_size({"width": 1024, "height": 900})
    open_page(page, server, "triage")
    page.locator("[data-testid=stDataFrame]").first.wait_for()
    assert check(page) == ["Triage"]
    assert {role for role, _, _ in read_tree(page)} >= LANDMARKS
    press_and_wait(page, "d", ".st-key-triage_bulk_confirm")
    assert check(page) == ["Decide about many cases"]
    press_and_wait(page, "b", ".st-key-triage_bulk_benign [data-testid=stBaseButton-primary]")
    page.keyboard.press("Escape")
    expect(page.locator(".st-key-triage_bulk_confirm")).to_have_count(0)
    start_reviewing(page)
    headings = check(page)
    assert headings[0] == "Triage"
    assert set(headings) >= {"Turn 1", "Why it is here", "Is this turn harmful under the policy?"}
    press_and_wait(page, "v", ".st-key-triage_conversation [data-testid=stText]")
    check(page)
    press_and_wait(page, "f", ".st-key-triage_marks_done")
    assert check(page) == ["Were the filters right?"]
    for title in ("Wrong", "Right", "Not judged", "Wrong"):
        press_and_wait(page, "1", f".st-key-triage_mark_1 button:has-text('{title}')")
    page.keyboard.press("Enter")
    expect(page.locator(".st-key-triage_marks")).to_contain_text("wrong")
