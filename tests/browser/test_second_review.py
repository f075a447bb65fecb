"""Two people, two browsers: the second sees what the first saw, and a lead settles what they disagree on."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta

import pytest
from playwright.sync_api import Browser, Page, expect

from core.clock import isoformat, now
from core.settings import load_settings
from incidents.cases import open_cases
from incidents.people import SYSTEM
from ingest.load import load_records
from service.home import open_home
from tests.browser.serving import (
    WAIT_MS,
    Server,
    open_page,
    press_and_wait,
    serve,
    settle,
    settle_drawing,
    start_reviewing,
)

pytestmark = pytest.mark.browser

PARTS = ("header", "conversation", "why", "form", "actions")


@pytest.fixture
def disputed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with two flagged turns, each of which two people are to judge."""
    home = tmp_path_factory.mktemp("second") / "home"
    home.mkdir()
    (home / "weir.toml").write_text("[review]\ndouble_share = 1.0\naudit_share = 0.0\n", encoding="utf-8")
    settings = load_settings(home)
    with open_home(settings) as opened:
        for name in ("r1", "r2"):
            ids = {"ts": isoformat(now() - timedelta(hours=1)), "request_id": name, "conversation_id": f"c-{name}"}
            turn = {**ids, "prompt": f"sing me the song {name}", "response": "la la", "outcome": "refusal"}
            check = {"filter_name": "clf", "triggered": True, "decision": "block", "enforced": True, "category": "hate"}
            load_records(opened.events, "model_log", [turn], source="test", settings=settings)
            load_records(opened.events, "filter_log", [{**ids, **check}], source="test", settings=settings)
        open_cases(opened.records, opened.events, settings=settings, actor=SYSTEM)
    with serve(home) as running:
        yield running


def test_a_second_review_is_blind_and_a_lead_settles_the_dispute(disputed: Server, browser: Browser) -> None:
    ana, ben, max_ = (_sit_down(browser) for _ in range(3))
    open_page(ana, disputed, "triage?actor=ana")
    start_reviewing(ana)
    case = _get_case(ana)
    first = _read(ana)
    _judge(ana, "h", "harmful")
    _judge(ana, "h", "harmful")
    open_page(ben, disputed, "triage?actor=ben")
    _take_second(disputed, ben)
    seen = {}
    for _ in range(2):
        seen[_get_case(ben)] = _read(ben)
        _judge(ben, "b", "benign", is_last=len(seen) == 2)
    assert seen[case] == first

    open_page(max_, disputed, "reviewers?part=Adjudication&actor=max")
    press_and_wait(max_, "Enter", ".st-key-adjudication_settle")
    expect(max_.locator(".st-key-adjudication_head")).to_contain_text("2 verdicts that differ")
    assert not re.search(r"\b(ana|ben)\b", max_.locator(".st-key-adjudication_votes").inner_text())
    press_and_wait(max_, "v", ".st-key-triage_conversation [data-testid=stText]")
    press_and_wait(max_, "b", ".st-key-triage_benign [data-testid=stBaseButton-primary]")
    max_.locator(".st-key-triage_reason input").click()
    max_.keyboard.type("Quoted")
    max_.keyboard.press("Enter")
    settle(max_)
    max_.locator(".st-key-triage_note textarea").fill("The lyrics are quoted: section 3.")
    max_.keyboard.press("Control+Enter")
    settle(max_)
    before = max_.url
    max_.keyboard.press("Tab")
    max_.keyboard.press("Enter")
    max_.wait_for_url(lambda url: url != before)
    max_.locator(".st-key-triage_notice :text('Settled')").first.wait_for()
    rows = json.loads(disputed.weir("report", "agreement", "--json").stdout)["rows"]
    assert (rows[0]["items"], rows[0]["raters"]) == (2, 2)


def _sit_down(browser: Browser) -> Page:
    context = browser.new_context(viewport={"width": 1440, "height": 1000}, timezone_id="UTC", locale="en-GB")
    context.set_default_timeout(WAIT_MS)
    return context.new_page()


def _read(page: Page) -> dict[str, str]:
    """What the page says about the case, but for who holds it until when, how the clock went on, and what else was judged."""
    settle_drawing(page)
    texts = {name: page.locator(f".st-key-triage_{name}").inner_text() for name in PARTS}
    return {
        name: re.sub(r"\d\d:\d\d(:\d\d)?|\d+ (s|min)\b|\d+ other cases?|Saved as[^\n]*", "", text)
        for name, text in texts.items()
    }


def _get_case(page: Page) -> str:
    found = re.search(r"case=([0-9a-f]+)", page.url)
    assert found
    return found[1]


def _take_second(server: Server, page: Page) -> None:
    """Nothing waits for a first review, so that the start is by command: what it leases lies on the desk."""
    taken = json.loads(server.weir("cases", "next", "--reviewer", "ben", "--json").stdout)["case"]
    open_page(page, server, f"triage?actor=ben&case={taken['case_id']}")
    page.locator(".st-key-triage_save").wait_for()
    settle(page)


def _judge(page: Page, key: str, name: str, *, is_last: bool = False) -> None:
    before = page.url
    press_and_wait(page, key, f".st-key-triage_{name} [data-testid=stBaseButton-primary]")
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: url != before)
    page.locator(f".st-key-triage_notice :text('Saved as {name}')").first.wait_for()
    settle(page)
