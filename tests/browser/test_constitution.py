"""A prompt ranked with the keyboard alone, and an edited revision accepted: what people say reaches the stores."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from core.settings import load_settings
from service.home import open_home
from tests.browser.serving import Server, open_page, press_and_wait, serve, settle
from tests.dashboard.constitution_home import fill_constitution

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose home holds proposals of a critique model and prompts to rank."""
    home = tmp_path_factory.mktemp("constitution") / "home"
    with open_home(load_settings(home)) as opened:
        fill_constitution(opened)
    with serve(home) as running:
        yield running


def test_a_prompt_is_ranked_with_the_keyboard(page: Page, server: Server) -> None:
    before = json.loads(server.weir("ranking", "report", "money", "--json").stdout)
    assert "analyst" not in before["raters"]
    open_page(page, server, "constitution?part=Ranking")
    press_and_wait(page, "v", ".st-key-ranking_pick_1 button:not([disabled])")
    count = page.locator("[class*=st-key-ranking_pick_]").count()
    for number in range(count, 0, -1):
        press_and_wait(page, str(number), f".st-key-ranking_pick_{number} button[disabled]")
    press(page, "t")
    press(page, "Enter")
    page.get_by_text("1 of 20 ranked by you").wait_for()
    after = json.loads(server.weir("ranking", "report", "money", "--json").stdout)
    assert after["raters"]["analyst"] == 1


def test_an_edited_revision_is_accepted_and_may_train(page: Page, server: Server, tmp_path: Path) -> None:
    text = "Nobody can know that. Compare costs, risks and your reserves, and ask a licensed adviser."
    open_page(page, server, "constitution?part=Revisions")
    waiting = page.locator(".st-key-revision_head").inner_text().split(" waiting")[0]
    press_and_wait(page, "v", ".st-key-revision_edit button:not([disabled])")
    press_and_wait(page, "e", ".st-key-revision_save")
    page.locator("[class*=st-key-revision_edited_] textarea").fill(text)
    page.locator("[class*=st-key-revision_edited_] textarea").blur()
    settle(page)
    page.locator(".st-key-revision_save button").click()
    page.get_by_text("Edited: A person corrected it").wait_for()
    settle(page)
    assert page.locator(".st-key-revision_head").inner_text().startswith(f"{int(waiting) - 1} waiting")
    server.weir("export", "cai", "--out", str(tmp_path / "set"), "--split", "train=0.5,test=0.5")
    rows = [
        line for name in ("train", "test") for line in (tmp_path / "set" / f"{name}.jsonl").read_text().splitlines()
    ]
    assert any(text in row for row in rows)


def press(page: Page, key: str) -> None:
    """Presses a key, once the button that listens for it is there, and waits for what follows."""
    settle(page)
    page.locator(f"button:not([disabled]) kbd[aria-label='Shortcut {key.capitalize()}']").first.wait_for()
    page.keyboard.press(key)
    settle(page)
