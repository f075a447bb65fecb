"""A hostile turn is only text: on every page, revealed or not, and in every export."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from playwright.sync_api import Page, expect

from core.clock import now
from dashboard.navigation import PAGES
from incidents.exports import EXPORTS
from tests.browser.labels import assert_labelled, list_faults
from tests.browser.serving import Server, open_page, press_and_wait, settle, settle_drawing
from tests.browser.traffic import HOSTILE, MEGABYTE, append_lines, make_hostile_checks, make_hostile_turns

pytestmark = pytest.mark.browser

MARKUP = ("<script", "<img", "](http", "](javascript", "\u202e", "\x1b")
SECTIONS = {
    "incidents": ("Incidents", "Transparency"),
    "reviewers": ("Adjudication", "Calibration", "Guidelines", "Wellbeing"),
    "admin": ("People", "Settings", "Notifications", "Retention"),
}
INJECTED = "[src='x'], [src*='evil'], .katex"
# A link of our own may carry a hostile name, escaped, in its query: what counts is where a link leads.
LEADS_AWAY = "[...document.links].filter(a => a.protocol === 'javascript:' || a.host.includes('evil')).map(a => a.href)"


@pytest.fixture
def watched(page: Page, server: Server) -> Page:
    """A page that fails the test when anything but text comes of what was logged."""
    page.foreign = []  # type: ignore[attr-defined]  # kept on the page that it is about
    host = urlsplit(server.address).netloc

    def note_request(url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https", "ws", "wss") and parts.netloc != host:
            page.foreign.append(url)  # type: ignore[attr-defined]  # see above

    page.on("request", lambda request: note_request(request.url))
    page.on("websocket", lambda socket: note_request(socket.url))
    page.on("dialog", lambda dialog: page.foreign.append(dialog.message))  # type: ignore[attr-defined]  # see above
    return page


def list_injected(page: Page) -> list[str]:
    """What markup in logged text has built on the page: elements as HTML, links by where they lead."""
    elements: list[str] = page.locator(INJECTED).evaluate_all("found => found.map(element => element.outerHTML)")
    links: list[str] = page.evaluate(LEADS_AWAY)
    return elements + links


def assert_inert(page: Page) -> None:
    """Nothing was run, loaded or built from logged text, and nothing on the page reorders it."""
    assert page.evaluate("window.pwned") is None
    assert page.foreign == []  # type: ignore[attr-defined]  # see the fixture
    assert list_injected(page) == []
    text = page.locator("body").inner_text()
    assert not set(text) & set("\u202e\x1b\x00")
    assert "pwned" not in page.title()


@pytest.mark.parametrize("key", list(PAGES))
def test_every_page_is_inert(server: Server, watched: Page, key: str) -> None:
    open_page(watched, server, PAGES[key].url_path)
    expect(watched.get_by_text("could not be shown")).to_have_count(0)
    assert_inert(watched)
    assert_labelled(watched)


@pytest.mark.parametrize("path", SECTIONS)
def test_every_section_is_inert_and_labelled(server: Server, watched: Page, path: str) -> None:
    open_page(watched, server, path)
    for section in SECTIONS[path]:
        watched.get_by_role("radio", name=section, exact=True).click()
        settle_drawing(watched)
        assert_inert(watched)
        assert_labelled(watched)


def test_what_was_injected_is_told_from_a_link_that_names_it(page: Page) -> None:
    page.set_content(
        f"<base href='http://weir.example/'><a href='filters?show={quote(HOSTILE)}'>See the filter</a>"
        "<a href='javascript:alert(1)'>l</a><a href='//evil.example/'>l</a><span class='katex'></span>"
    )
    assert list_injected(page) == ['<span class="katex"></span>', "javascript:alert(1)", "http://evil.example/"]


def test_what_a_screen_reader_is_not_told_is_found(page: Page) -> None:
    page.set_content(
        "<h2>One</h2><button></button><input aria-label='Name'><h4>Two</h4><img src='data:,' alt='A picture'>"
    )
    assert list_faults(page) == ["a button without a name", "heading 'Two' of level 4 after one of level 2"]


def test_a_filter_with_a_hostile_name_is_inert(server: Server, watched: Page) -> None:
    open_page(watched, server, "filters")
    watched.locator(".st-key-show input").click()
    watched.get_by_role("option").filter(has_text="pwned").click()
    watched.locator(".st-key-newest_triggers").wait_for()
    settle(watched)
    assert_inert(watched)


def test_every_section_of_quality_is_inert(server: Server, watched: Page) -> None:
    for section in ("Thresholds", "Trade-off", "Over-blocking"):
        open_page(watched, server, f"quality?section={section}&filter={quote(HOSTILE)}")
        expect(watched.get_by_text("could not be shown")).to_have_count(0)
        assert_inert(watched)
    watched.locator(".st-key-workbench_reveal button:visible").click()
    watched.locator(".st-key-workbench_reveal :text('Revealed')").locator("visible=true").first.wait_for()
    watched.locator(".st-key-workbench_phrases textarea:visible").fill(HOSTILE.replace("\x00", ""))
    watched.locator(".st-key-workbench_check button:visible").click()
    settle(watched)
    assert_inert(watched)


@pytest.mark.parametrize("request_id", ["hostile", "long"])
def test_a_revealed_turn_is_inert(server: Server, watched: Page, request_id: str) -> None:
    open_page(watched, server, f"triage?request={request_id}")
    watched.locator(".st-key-triage_save").wait_for()
    press_and_wait(watched, "v", ".st-key-triage_conversation :text('onerror=')")
    assert_inert(watched)
    if request_id == "long":
        expect(watched.locator(".st-key-triage_conversation")).to_contain_text(
            f"of {MEGABYTE + len(HOSTILE):,} characters"
        )
        with watched.expect_download() as started:
            watched.get_by_role("button", name="Whole text").locator("visible=true").first.click()
        whole = started.value.path().read_text(encoding="utf-8")
        assert len(whole) >= MEGABYTE


def test_a_hostile_verdict_is_inert_in_every_export(server: Server, watched: Page, tmp_path: Path) -> None:
    # The set of balanced errors takes a turn only with its counterpart.
    twin = {"request_id": "twin", "conversation_id": "c-twin"}
    turn, check = make_hostile_turns(now())[0], make_hostile_checks(now())[0]
    append_lines(tmp_path / "turns.jsonl", [turn | twin | {"prompt": f"Twin. {HOSTILE}"}])
    append_lines(tmp_path / "checks.jsonl", [check | twin])
    server.weir("ingest", str(tmp_path / "turns.jsonl"), str(tmp_path / "checks.jsonl"))
    labels = [
        {"request_id": "twin", "harmful": True},
        {"request_id": "hostile", "harmful": False},
        {"request_id": "r-001", "harmful": True, "revision": f"Better. {HOSTILE}"},
    ]
    common = {"ts": "2026-01-01T00:00:00Z", "reviewer": HOSTILE, "selection": "priority", "critique": HOSTILE}
    log = tmp_path / "verdicts.jsonl"
    append_lines(log, [{**common, **label} for label in labels])
    server.weir("labels", "import", str(log))
    for name in EXPORTS:
        folder = tmp_path / name
        server.weir("export", name, "--out", str(folder), "--split", "train=1.0")
        rows = [json.loads(line) for line in (folder / "train.jsonl").read_bytes().split(b"\n") if line]
        assert rows, name
        assert any(
            HOSTILE in json.dumps(row, ensure_ascii=False).replace("\\u0000", "\x00").replace("\\u001b", "\x1b")
            for row in rows
        ), name
        card = (folder / "README.md").read_text(encoding="utf-8")
        assert not any(markup in card for markup in MARKUP), name
        for described in ("manifest.json", "croissant.json"):
            text = (folder / described).read_text(encoding="utf-8")
            assert json.loads(text)
            assert text.isascii(), (name, described)
    open_page(watched, server, "feedback?window=all")
    watched.locator(".st-key-feedback_reveal button:visible").click()
    watched.locator(".st-key-feedback_reveal :text('Revealed')").locator("visible=true").first.wait_for()
    settle(watched)
    assert_inert(watched)
