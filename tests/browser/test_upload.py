"""A file with two broken lines, from the reader's disk to the quarantine and out of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.serving import Server, open_page, settle
from tests.ingest.logs import make_check, to_jsonl

pytestmark = pytest.mark.browser
ROW_HEIGHT = 35


def test_upload_preview_load_quarantine_and_setting_aside(server: Server, page: Page, tmp_path: Path) -> None:
    log = tmp_path / "gateway filters.jsonl"
    good = [make_check(number) for number in range(20)]
    log.write_bytes(to_jsonl(good) + b'{"filter_name": broken\n' + to_jsonl([make_check(21, ts="soon")]))
    open_page(page, server, "sources")
    page.get_by_role("tab", name="Upload").click()
    page.locator("input[type=file]").set_input_files(log)
    box = page.locator(".st-key-upload_preview_box")
    expect(box).to_contain_text("Filter log")
    expect(box).to_contain_text("All 22 records: 20 can be read (20 checks).")
    expect(box).to_contain_text("2 would go to quarantine")
    page.get_by_label("Source", exact=True).fill("desk")
    page.locator(".st-key-upload_load button").click()
    expect(page.get_by_text("22 records read, 20 checks stored")).to_be_visible()
    expect(page.get_by_text("2 of its records could not be stored")).to_be_visible()
    assert [path.name for path in (server.inbox / "desk").iterdir()] == ["gateway_filters.jsonl"]

    page.get_by_role("tab", name="Quarantine").click()
    expect(page.get_by_role("button", name="Retry all 2")).to_be_visible()
    settle(page)
    table = page.locator(".st-key-quarantine_table .dvn-scroller")
    table.click(position={"x": 15, "y": ROW_HEIGHT * 1.5})
    page.get_by_role("button", name="Ignore this record").click()
    expect(page.get_by_text("1 records set aside")).to_be_visible()
    page.get_by_role("button", name="Retry all 1").click()
    expect(page.get_by_text("0 of 1 records stored, 1 rejected again")).to_be_visible()
    states = server.weir("quarantine", "list", "--json")
    assert [row["file"] for row in json.loads(states.stdout)["rejects"]] == ["gateway_filters.jsonl"]
