"""The Overview follows a file that grows, in place."""

from __future__ import annotations

from datetime import timedelta

import pytest
from playwright.sync_api import Page

from core.clock import now
from tests.browser.serving import Server, open_page
from tests.browser.traffic import append_lines, make_turn

pytestmark = pytest.mark.browser

# Turns made for the test follow one another by the second, all within the day that the page shows.
EARLIER = timedelta(hours=6)
TILE = ".st-key-tile_turns [data-testid=stMetricValue]"


def test_the_overview_follows_a_growing_file_without_a_reload(server: Server, page: Page) -> None:
    open_page(page, server)
    page.locator(TILE).wait_for()
    before = int(page.locator(TILE).inner_text().replace(",", ""))
    page.evaluate("window.isSamePage = true")
    log = server.inbox / "gateway-model_log.jsonl"
    for number in range(1, 4):
        append_lines(log, [make_turn(1000 * number + place, now() - EARLIER) for place in range(5)])
        page.wait_for_function(
            "([selector, text]) => document.querySelector(selector)?.innerText === text",
            arg=[TILE, str(before + 5 * number)],
        )
    assert page.evaluate("window.isSamePage") is True


def test_a_line_is_read_once_it_is_whole(server: Server, page: Page) -> None:
    open_page(page, server)
    page.locator(TILE).wait_for()
    before = int(page.locator(TILE).inner_text().replace(",", ""))
    log = server.inbox / "gateway-tail.jsonl"
    append_lines(log, [make_turn(9000, now() - EARLIER)])
    whole = log.read_bytes().replace(b"r-9000", b"r-9001")
    with log.open("ab") as stream:
        stream.write(whole[:40])
    page.wait_for_function(
        "([selector, text]) => document.querySelector(selector)?.innerText === text",
        arg=[TILE, str(before + 1)],
    )
    with log.open("ab") as stream:
        stream.write(whole[40:])
    page.wait_for_function(
        "([selector, text]) => document.querySelector(selector)?.innerText === text",
        arg=[TILE, str(before + 2)],
    )
