"""In a browser: from a rule that blocks too much to a recorded proposal, and a threshold moved by keyboard."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.serving import Server, open_page, settle
from tests.browser.traffic import REFUSED_EVERY, TURNS, append_lines

pytestmark = pytest.mark.browser

HARMFUL = "r-036"


@pytest.fixture(scope="module")
def judged(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Server:
    """The server, with every blocked turn judged: one of them is harmful."""
    log = tmp_path_factory.mktemp("verdicts") / "verdicts.jsonl"
    common = {"ts": "2026-01-01T00:00:00Z", "reviewer": "ada", "selection": "sample", "stratum": "all"}
    append_lines(
        log,
        [
            {**common, "request_id": name, "harmful": name == HARMFUL, "inclusion_probability": 1.0}
            for name in (f"r-{number:03d}" for number in range(0, TURNS, REFUSED_EVERY))
        ],
    )
    server.weir("labels", "import", str(log))
    return server


def test_from_a_rule_to_a_recorded_proposal(judged: Server, page: Page) -> None:
    open_page(page, judged, "quality?section=Over-blocking")
    expect(page.get_by_role("heading", name="kw-113 · blocklist")).to_be_visible()
    expect(page.get_by_text("9 benign, 1 harmful")).to_be_visible()

    page.locator(".st-key-workbench_reveal button:visible").click()
    expect(page.locator(".st-key-workbench_reveal button:visible")).to_be_disabled()

    page.locator(".st-key-workbench_phrases textarea:visible").fill("Portrait")
    page.locator(".st-key-workbench_check button:visible").click()
    expect(page.get_by_text("Not safe: 1 labelled true positive would be lost")).to_be_visible()

    # The lost true positive comes first; its conversation is masked until it is revealed.
    table = page.locator(".st-key-workbench_moves .dvn-scroller")
    table.scroll_into_view_if_needed()
    settle(page)
    table.click(position={"x": 15, "y": 52})
    conversation = page.locator(".st-key-conversation")
    expect(conversation).to_contain_text("masked")
    expect(conversation).not_to_contain_text("portrait")
    conversation.locator(".st-key-triage_reveal button:visible").click()
    expect(conversation).to_contain_text("portrait number 36")

    page.locator(".st-key-workbench_reason input:visible").fill("It refuses photographers.")
    page.locator(".st-key-workbench_add button:visible").click()
    expect(page.get_by_text("Recorded as proposal 1")).to_be_visible()
    expect(page.locator(".st-key-proposal_1")).to_contain_text("It refuses photographers.")
    (proposal,) = json.loads(judged.weir("proposals", "list", "--json").stdout)["proposals"]
    assert proposal["change"]["phrases"] == ["Portrait"]
    assert proposal["checked"]["lost"] == [HARMFUL]
    assert proposal["checked"]["verdict"] == "loses_true_positives"


def test_a_balanced_set_in_one_click(judged: Server, page: Page, downloads: Path) -> None:
    open_page(page, judged, "quality?section=Over-blocking")
    page.locator(".st-key-workbench_set button:visible").click()
    with page.expect_download() as started:
        page.locator(".st-key-workbench_download button:visible").click()
    with zipfile.ZipFile(started.value.path()) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith("test.jsonl")]
        rows = [json.loads(line) for line in archive.read(name).splitlines()]
    assert sorted(row["label"] for row in rows) == ["false_positive", "true_positive"]
    assert {row["rule_id"] for row in rows} == {"kw-113"}


def test_the_threshold_moves_by_keyboard(judged: Server, page: Page) -> None:
    open_page(page, judged, "quality?section=Thresholds")
    slider = page.locator("[data-testid=stSlider] input[type=range]")
    triggers = page.locator("[data-testid=stMetric]").filter(has_text="Triggers")
    flips = page.get_by_text("turns would trigger no more")
    expect(triggers.locator("[data-testid=stMetricValue]")).to_have_text("1")
    expect(flips).to_contain_text("0 turns would trigger no more, 1 newly")
    slider.focus()
    for count in (2, 3, 4):
        page.keyboard.press("ArrowLeft")
        expect(triggers.locator("[data-testid=stMetricValue]")).to_have_text(str(count))
        expect(flips).to_contain_text(f"0 turns would trigger no more, {count} newly")
        settle(page)
    page.keyboard.press("ArrowRight")
    expect(triggers.locator("[data-testid=stMetricValue]")).to_have_text("3")
