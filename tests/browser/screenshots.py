"""Photographs every page, light and dark, at two widths: `python -m tests.browser.screenshots FOLDER`."""

from __future__ import annotations

import sys
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page

from core.clock import now
from core.settings import load_settings
from dashboard.navigation import PAGES
from incidents.alerts.watch import evaluate_alerts
from incidents.cases import list_cases, open_cases
from incidents.enums import VerdictReason
from incidents.judgement.guidelines import declare_version
from incidents.people import SYSTEM, Actor, Role
from incidents.response.enums import IncidentAction, LinkKind, Severity
from incidents.response.work import act, open_incident
from incidents.reviews import VoteCreate, cast_vote
from ingest.demo.fill import fill_demo
from service.home import Home, open_home
from service.jobs import find_moment
from tests.browser.serving import (
    WAIT_MS,
    Server,
    launch,
    open_page,
    press_and_wait,
    serve,
    settle_drawing,
    start_reviewing,
)
from tests.dashboard.constitution_home import fill_constitution
from tests.ingest.logs import make_check, to_jsonl

WIDTHS = (1440, 1024)
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
DAYS = 30
BROKEN = b'{"filter_name": broken\n' + to_jsonl([make_check(21, ts="soon")])
CONSTITUTION_READY = {
    "Revisions": ".st-key-revision_edit button:not([disabled])",
    "Ranking": ".st-key-ranking_pick_1 button:not([disabled])",
}


def main(folder: Path) -> None:
    """Serves demo data and writes `<page>-<theme>-<width>.png` into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary) / "home"
        settings = load_settings(home)
        with open_home(settings) as opened:
            fill_demo(opened.events, settings=settings, days=DAYS, seed=1)
            fill_constitution(opened)
            open_cases(opened.records, opened.events, settings=settings, actor=SYSTEM)
            open_incident(
                opened.records,
                actor=SYSTEM,
                title="Blocklist v41 stops recipes and film scenes",
                severity=Severity.HIGH,
                at=now(),
                started_at=now() - timedelta(days=2),
                links=[(LinkKind.FILTER, "blocklist"), (LinkKind.RULE, "kw-113")],
            )
            _dispute(opened)
            _mark_serious(opened)
            at = find_moment(opened.events, at=now())
            evaluate_alerts(opened.records, opened.events, settings=settings, at=at)
        log = Path(temporary) / "gateway.jsonl"
        log.write_bytes(to_jsonl([make_check(number) for number in range(20)]) + BROKEN)
        with serve(home) as server, launch() as browser:
            server.weir("ingest", str(log), "--source", "gateway")
            for theme in THEMES:
                for width in WIDTHS:
                    _photograph(browser, server, folder, theme=theme, width=width, log=log)


def _dispute(home: Home) -> None:
    """Two people differ on some cases; a guideline version changed one of the categories since."""
    for case in list_cases(home.records, actor=SYSTEM, limit=6):
        for name, harmful in (("ben", True), ("cleo", False)):
            reason = None if harmful else VerdictReason.QUOTED
            note = None if harmful else "The words are a photographer's, who asks how to take a portrait at dusk."
            vote = VoteCreate(case.case_id, harmful=harmful, severity=2 if harmful else 0, reason=reason, note=note)
            cast_vote(home.records, vote, actor=Actor(name, Role.REVIEWER), at=now())
    declare_version(
        home.records,
        home.events,
        name="2026-04",
        categories=["hate"],
        note="Quoted slurs in reviews of books are benign.",
        actor=SYSTEM,
        at=now(),
    )


def _mark_serious(home: Home) -> None:
    """A second incident, whose report is due tomorrow."""
    aware_at = now() - timedelta(days=9)
    title = "A tutor gave a wrong dose, and a person took it"
    opened = open_incident(home.records, actor=SYSTEM, title=title, severity=Severity.CRITICAL, at=aware_at)
    steps = {
        IncidentAction.TRIAGE: {"severity": "critical", "owner": "ana"},
        IncidentAction.START: {"summary": "A dose ten times too high."},
        IncidentAction.STABILISE: {"mitigation": "Medical questions go to a person."},
        IncidentAction.MARK_SERIOUS: {"kind": "death", "aware_at": aware_at.isoformat()},
    }
    for action, facts in steps.items():
        act(home.records, opened.number, action, facts, actor=SYSTEM, at=aware_at + timedelta(hours=1))


def _photograph(
    browser: Browser, server: Server, folder: Path, *, theme: Literal["light", "dark"], width: int, log: Path
) -> None:
    context = browser.new_context(
        viewport={"width": width, "height": 1000}, color_scheme=theme, timezone_id="UTC", locale="en-GB"
    )
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()
    for spec in PAGES.values():
        open_page(page, server, f"{spec.url_path}?window=7d")
        _save(page, folder / f"{spec.key}-{theme}-{width}.png")
    for section in ("Over-blocking", "Thresholds", "Trade-off", "Shadow"):
        open_page(page, server, f"quality?window=30d&section={section}")
        _save(page, folder / f"quality-{section.lower()}-{theme}-{width}.png")
    for name, query in (("list", ""), ("one", "&incident=1")):
        open_page(page, server, f"incidents?part=Incidents{query}")
        _save(page, folder / f"incidents-{name}-{theme}-{width}.png")
    open_page(page, server, "incidents?part=Incidents&incident=2")
    _save(page, folder / f"incidents-serious-{theme}-{width}.png")
    open_page(page, server, "incidents?part=Transparency&window=30d")
    _save(page, folder / f"incidents-transparency-{theme}-{width}.png")
    for part in ("Calibration", "Guidelines", "Wellbeing", "Adjudication"):
        open_page(page, server, f"reviewers?part={part}")
        _save(page, folder / f"reviewers-{part.lower()}-{theme}-{width}.png")
    press_and_wait(page, "Enter", ".st-key-adjudication_settle")
    _save(page, folder / f"reviewers-dispute-{theme}-{width}.png")
    for part in ("Settings", "Notifications"):
        open_page(page, server, f"admin?admin={part}")
        _save(page, folder / f"admin-{part.lower()}-{theme}-{width}.png")
    for part in ("Stress tests", "Revisions", "Ranking"):
        open_page(page, server, f"constitution?part={part}")
        if part != "Stress tests":
            press_and_wait(page, "v", CONSTITUTION_READY[part])
        _save(page, folder / f"constitution-{part.split()[0].lower()}-{theme}-{width}.png")
    open_page(page, server, "filters?window=7d&show=blocklist")
    _save(page, folder / f"filters-one-{theme}-{width}.png")
    open_page(page, server, "filters?window=7d&part=Cascade")
    _save(page, folder / f"filters-cascade-{theme}-{width}.png")
    open_page(page, server, "sources?window=7d")
    page.get_by_role("tab", name="Quarantine").click()
    page.locator(".st-key-quarantine_table").wait_for()
    _save(page, folder / f"sources-quarantine-{theme}-{width}.png")
    page.get_by_role("tab", name="Upload").click()
    page.locator("input[type=file]").set_input_files(log)
    page.locator(".st-key-upload_load button:not([disabled])").wait_for()
    _save(page, folder / f"sources-upload-{theme}-{width}.png")
    open_page(page, server, "triage")
    press_and_wait(page, "d", ".st-key-triage_bulk_confirm")
    _save(page, folder / f"triage-many-{theme}-{width}.png")
    open_page(page, server, "triage")
    start_reviewing(page)
    press_and_wait(page, "v", ".st-key-triage_conversation [data-testid=stText]")
    _save(page, folder / f"triage-case-{theme}-{width}.png")
    press_and_wait(page, "f", ".st-key-triage_marks_done")
    _save(page, folder / f"triage-filters-{theme}-{width}.png")
    context.close()


def _save(page: Page, path: Path) -> None:
    settle_drawing(page)
    page.screenshot(path=path)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
