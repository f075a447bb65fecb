"""A feedback set from purpose to archive in a browser: choose, look, build, verify, download, and find whom it holds."""

from __future__ import annotations

import hashlib
import json
import zipfile
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.serving import WAIT_MS, Server, open_page, settle

pytestmark = pytest.mark.browser

COUNT = 24
WORDS = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heron", "islet", "jetty", "knoll", "larch")


def test_a_set_is_built_verified_downloaded_and_found(server: Server, page: Page, tmp_path: Path) -> None:
    _judge(server, tmp_path)
    open_page(page, server, "feedback?window=all")
    _choose(page, "single judgements (KTO)")
    numbers = page.locator(".st-key-feedback_numbers")
    expect(numbers).to_contain_text("Rows", timeout=WAIT_MS)
    expect(page.get_by_text("Suggested loss weights:")).to_be_visible()
    expect(page.get_by_text("Nothing leaks:")).to_be_visible()

    page.locator(".st-key-feedback_build button:visible").click()
    ledger = page.locator(".st-key-feedback_set_0")
    expect(ledger).to_contain_text("set 1", timeout=WAIT_MS)
    settle(page)
    page.locator(".st-key-feedback_verify_0 button:visible").click()
    expect(page.get_by_text("Intact").first).to_be_visible(timeout=WAIT_MS)
    settle(page)
    with page.expect_download() as started:
        page.locator(".st-key-feedback_download_0 button:visible").click()
    folder = _unpack(started.value.path(), tmp_path / "archive")
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    for name, entry in manifest["files"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == entry["sha256"]
    assert manifest["balance"]["train"]["desirable"] > 0
    assert manifest["leakage"]["users"] == 0

    page.locator(".st-key-feedback_find_id input").fill("u-1")
    page.keyboard.press("Enter")
    expect(page.get_by_text("rows:").first).to_be_visible(timeout=WAIT_MS)
    settle(page)
    _switch(page, "feedback_new_trl-kto")
    expect(
        page.get_by_text("Exported before").or_(page.get_by_text("This set cannot be built yet")).first
    ).to_be_visible()


def _judge(server: Server, folder: Path) -> None:
    """Turns of a handful of users with a verdict each, half of them harmful and revised."""
    start = datetime.fromisoformat("2026-03-02T09:00")
    turns, labels = [], []
    for number in range(COUNT):
        word, other = WORDS[number % 12], WORDS[(number * 5 + number // 12) % 12]
        ids = {"ts": f"{(start + timedelta(minutes=number)).isoformat()}Z", "request_id": f"made-{number}"}
        harmful = number % 2 == 0
        ending = (
            {"outcome": "pass"} if harmful else {"outcome": "refusal", "final_text": f"Not the {word}, sorry {number}."}
        )
        prompt = f"{word} {other}, question {number}: {(word + other) * 3}?"
        turns.append(
            {**ids, "user_id": f"u-{number % 6}", "prompt": prompt, "response": f"{other} {number} it is.", **ending}
        )
        revision = {"revision": f"Rather no {word} with {other}."} if harmful else {}
        labels.append({**ids, "reviewer": "ada", "harmful": harmful, "selection": "priority", **revision})
    for name, rows in (("model", turns), ("label", labels)):
        path = folder / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    server.weir("ingest", str(folder / "model.jsonl"), "--format", "model_log")
    server.weir("labels", "import", str(folder / "label.jsonl"))


def _choose(page: Page, purpose: str) -> None:
    page.locator(".st-key-feedback_purpose").get_by_text(purpose).click()
    settle(page)


def _switch(page: Page, key: str) -> None:
    page.locator(f".st-key-{key} label").first.click()


def _unpack(archive: Path, folder: Path) -> Path:
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(folder)
    (found,) = folder.iterdir()
    return found
