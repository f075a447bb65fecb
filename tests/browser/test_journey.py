"""The whole way in a browser: from a filter to a judged conversation to rows that a trainer loads."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.serving import Server, escalate, judge, open_page, press_and_wait, settle, start_reviewing

pytestmark = pytest.mark.browser


def test_a_direct_link_on_a_fresh_server_shows_the_whole_dashboard(server: Server, page: Page) -> None:
    open_page(page, server, "triage")
    expect(page.get_by_role("link", name=re.compile("Overview"))).to_be_visible()


def test_from_a_filter_to_training_rows(server: Server, page: Page, downloads: Path) -> None:
    open_page(page, server)
    _go_to(page, "Filters")
    _open_newest_trigger(page, filter_name="blocklist")

    expect(page.locator(".st-key-triage_conversation")).to_contain_text("masked")
    expect(page.locator(".st-key-triage_conversation")).not_to_contain_text("portrait")
    press_and_wait(page, "v", ".st-key-triage_conversation :text('portrait number')")
    judge(page, "h", severity="3")
    escalate(page)
    for verdict in ("b", "b", "h", "b", "b"):
        judge(page, verdict, severity="2")
    expect(page.locator(".st-key-triage_head")).to_contain_text("6 judged by you today")
    expect(page.locator(".st-key-triage_head")).to_contain_text("1 escalated")

    _go_to(page, "Feedback")
    page.locator(".st-key-feedback_purpose").get_by_text("single judgements (KTO)").click()
    page.locator(".st-key-feedback_numbers").wait_for()
    # Six judgements are too few for every split to hold both labels: all of them train.
    page.locator(".st-key-feedback_test").get_by_role("slider").press("Home")
    settle(page)
    build = page.locator(".st-key-feedback_build button:visible")
    expect(build).to_be_enabled()
    build.click()
    page.locator(".st-key-feedback_download_0").wait_for()
    settle(page)
    with page.expect_download() as started:
        page.locator(".st-key-feedback_download_0 button:visible").click()
    rows = _load_with_datasets(started.value.path(), downloads)
    assert set(rows["label"]) == {True, False}
    assert all(row["prompt"][-1]["role"] == "user" for row in rows)


def test_keys_do_nothing_while_someone_types(server: Server, page: Page) -> None:
    open_page(page, server, "triage?actor=typist")
    start_reviewing(page)
    address = page.url
    note = page.locator(".st-key-triage_note textarea")
    note.click()
    page.keyboard.type("harmful? sub x 3 z q")
    expect(note).to_have_value("harmful? sub x 3 z q")
    assert page.url == address
    expect(page.locator(".st-key-triage_harmful [data-testid=stBaseButton-secondary]").first).to_be_attached()
    page.keyboard.press("Tab")
    press_and_wait(page, "b", ".st-key-triage_benign [data-testid=stBaseButton-primary]")
    page.reload()
    page.locator(".st-key-triage_benign [data-testid=stBaseButton-primary]").first.wait_for()
    expect(page.locator(".st-key-triage_note textarea")).to_have_value("harmful? sub x 3 z q")


def test_undo_brings_the_case_back(server: Server, page: Page) -> None:
    open_page(page, server, "triage?actor=doubter")
    start_reviewing(page)
    first = page.url
    judge(page, "u", severity="0")
    page.keyboard.press("z")
    page.wait_for_url(first)
    page.locator(".st-key-triage_notice :text('withdrawn')").first.wait_for()


def _go_to(page: Page, title: str) -> None:
    page.get_by_role("link", name=re.compile(title)).first.click()
    page.wait_for_url(re.compile(title.lower()))
    settle(page)


def _open_newest_trigger(page: Page, *, filter_name: str) -> None:
    page.locator(".st-key-show input").click()
    page.get_by_role("option", name=filter_name).click()
    table = page.locator(".st-key-newest_triggers .dvn-scroller")
    table.wait_for()
    settle(page)
    table.scroll_into_view_if_needed()
    table.click(position={"x": 15, "y": 52})
    page.get_by_text("Open the chosen turn in triage").click()
    page.locator(".st-key-triage_save").wait_for()
    settle(page)


def _load_with_datasets(archive: Path, folder: Path):  # type: ignore[no-untyped-def]  # datasets has no types
    datasets = pytest.importorskip("datasets")
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(folder)
    (train,) = folder.glob("trl-kto-*/train.jsonl")
    return datasets.load_dataset("json", data_files=str(train), split="train", cache_dir=str(folder / "cache"))
