"""A full shift without the mouse: verdicts, an escalation, a dispute settled, an incident from its alert to the postmortem."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from core.clock import now
from core.events import Connection
from core.settings import load_settings
from incidents.alerts.watch import GRACE
from incidents.cases import list_cases
from incidents.people import SYSTEM, Actor, Role
from incidents.reviews import VoteCreate, cast_vote
from service.home import open_home
from tests.browser.labels import assert_labelled
from tests.browser.serving import (
    Server,
    escalate,
    judge,
    open_page,
    press_and_wait,
    serve,
    settle,
    start_reviewing,
    tab_to,
)
from tests.browser.traffic import fill_home
from tests.web_sink import Sink, open_sink

pytestmark = pytest.mark.browser

VERDICTS = "bbhbubhbbb"  # ten; the fictional hour holds as many, one to escalate and one that others dispute
_FAILURES = """INSERT INTO check_rollup BY NAME
SELECT $minute::TIMESTAMP AS minute, 'toxicity' AS filter_name, 'classifier' AS layer, 'enforce' AS mode, 'log' AS source,
    500 AS evaluated, 5 AS triggered, 5 AS enforced, 500 AS errors, 0 AS not_run, 0 AS undecided"""


@pytest.fixture
def sink() -> Iterator[Sink]:
    """A web server of this host that is told what happens."""
    with open_sink() as running:
        yield running


@pytest.fixture
def desk(tmp_path: Path, sink: Sink) -> Iterator[Server]:
    """A server with cases to judge, and a filter half of whose checks have failed in the last two hours."""
    home = tmp_path / "home"
    home.mkdir()
    events = '["alert", "incident-opened", "incident-changed", "case-escalated"]'
    (home / "weir.toml").write_text(f'[[notify]]\nname = "hook"\nurl = "{sink.url}"\nevents = {events}\n')
    fill_home(home)
    end = (now() - GRACE).replace(minute=0, second=0, microsecond=0)

    def fail(connection: Connection) -> None:
        for hours in (1, 2):
            connection.execute(_FAILURES, {"minute": end - timedelta(hours=hours)})

    with open_home(load_settings(home)) as opened:
        opened.events.write(fail)
        disputed = list_cases(opened.records, actor=SYSTEM, limit=1)[0].case_id
        for name, harmful in (("ben", True), ("cleo", False)):
            vote = VoteCreate(disputed, harmful=harmful, severity=2 if harmful else 0)
            cast_vote(opened.records, vote, actor=Actor(name, Role.REVIEWER), at=now())
    with serve(home) as running:
        yield running


def test_a_shift_without_the_mouse(desk: Server, sink: Sink, page: Page, downloads: Path) -> None:
    open_page(page, desk, "triage?actor=ana")
    start_reviewing(page)
    escalate(page)
    assert_labelled(page)
    for verdict in VERDICTS:
        judge(page, verdict, severity="1" if verdict == "h" else None)
    expect(page.locator(".st-key-triage_head")).to_contain_text(f"{len(VERDICTS)} judged by you today")
    sink.wait_for("Case escalated: Child safety")
    sink.wait_for("Alert: Checks fail")

    open_page(page, desk, "reviewers?part=Adjudication&actor=ana")
    press_and_wait(page, "Enter", ".st-key-adjudication_settle")
    assert_labelled(page)
    press_and_wait(page, "b", ".st-key-triage_benign [data-testid=stBaseButton-primary]")
    tab_to(page, ".st-key-triage_reason input")
    page.keyboard.type("Quoted")
    page.keyboard.press("Enter")
    tab_to(page, ".st-key-triage_note textarea")
    page.keyboard.type("The words are a photographer's.")
    tab_to(page, ".st-key-adjudication_settle button")
    page.keyboard.press("Enter")
    page.locator(".st-key-triage_notice :text('Settled')").first.wait_for()

    open_page(page, desk, "incidents?part=Alerts&actor=ana")
    assert_labelled(page)
    tab_to(page, "[class*='st-key-alert_incident_'] button")
    page.keyboard.press("Enter")
    page.locator(".st-key-incident_strip").wait_for()
    sink.wait_for("Incident 1 (medium): Open")
    settle(page)
    page.keyboard.press("a")
    page.locator(".st-key-incident_do_acknowledge").wait_for(state="detached")
    _take(page, "t", "triage")
    _take(page, "w", "start", "Half of the checks of toxicity fail since the last deploy.")
    _take(page, "n", "note", "The vendor's key had expired.")
    _take(page, "b", "stabilise", "Key renewed at noon.")
    _take(page, "f", "add_follow_up", "Alarm before a key expires")
    _take(page, "e", "close", "Nobody owned the key.")
    expect(page.locator(".st-key-incident_strip")).to_contain_text("Reopen")
    assert "closed" in sink.wait_for("Close, now closed")["title"]

    tab_to(page, ".st-key-incident_postmortem summary")
    page.keyboard.press("Enter")
    assert_labelled(page)
    tab_to(page, ".st-key-incident_postmortem_html button")
    with page.expect_download() as started:
        page.keyboard.press("Enter")
    started.value.save_as(downloads / "postmortem.html")
    text = (downloads / "postmortem.html").read_text(encoding="utf-8")
    assert "Postmortem of incident 1" in text
    assert all(
        words in text for words in ("Key renewed at noon.", "Nobody owned the key.", "Alarm before a key expires")
    )
    assert "toxicity" not in str(sink.bodies)
    assert len(set(sink.keys)) == len(sink.keys)


def _take(page: Page, key: str, action: str, text: str = "") -> None:
    """Takes a step with its key, writes into its first field of text, and saves with the keyboard."""
    dialog = f"[class*='st-key-incident_{action}_']"
    press_and_wait(page, key, f"[role=dialog] {dialog}[class*='_save'] button")
    if action == "triage":
        assert_labelled(page)
    if text:
        tab_to(page, f"[role=dialog] {dialog} textarea, [role=dialog] {dialog} input[type=text]")
        page.keyboard.type(text)
    if action == "add_follow_up":
        tab_to(page, f"[role=dialog] {dialog}[class*='_owner'] input")
        page.keyboard.type("ben")
    tab_to(page, f"[role=dialog] {dialog}[class*='_save'] button")
    page.keyboard.press("Enter")
    page.locator("[role=dialog]").wait_for(state="detached")
    settle(page)
