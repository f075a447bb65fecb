"""A real server on a home of its own, and a browser that records what it is asked to load."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).parents[2]
CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
WAIT_MS = 30_000
START_S = 90


@dataclass(frozen=True, slots=True)
class Server:
    """A running server.

    Attributes:
        address: Where it listens, without a slash at the end.
        home: Its home.
    """

    address: str
    home: Path

    @property
    def inbox(self) -> Path:
        """The folder that it ingests from."""
        return self.home / "inbox"

    def weir(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs a command on the served home; raises when it fails. Status 3 (some rows refused) is no failure."""
        done = subprocess.run(
            [*weir_command(), *arguments, "--home", str(self.home)],
            capture_output=True,
            text=True,
            cwd=ROOT,
            check=False,
        )
        assert done.returncode in (0, 3), done.stderr
        return done


def weir_command() -> list[str]:
    """The command `weir` of the interpreter that runs the tests."""
    return [sys.executable, "-c", "import cli; cli.main()"]


@contextmanager
def serve(home: Path) -> Iterator[Server]:
    """Serves `home` on a free port with `weir serve`; stops the server afterwards."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = home.parent / "server.log"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("WEIR_")}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*weir_command(), "serve", "--port", str(port), "--home", str(home)],
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            address = f"http://127.0.0.1:{port}"
            _wait_until_healthy(address, process, log)
            yield Server(address, home)
        finally:
            process.terminate()
            process.wait(timeout=30)


def _wait_until_healthy(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"{address}/healthz", timeout=5) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError(f"The server did not start:\n{log.read_text(errors='replace')[-4000:]}")


@contextmanager
def launch() -> Iterator[Browser]:
    """Chromium without a window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


def open_page(page: Page, server: Server, path: str = "") -> None:
    """Opens a page of the dashboard and waits until its script has run."""
    page.goto(f"{server.address}/{path}")
    page.locator(".st-key-shell").wait_for()
    settle(page)


def settle(page: Page) -> None:
    """Waits until no script runs and nothing on the page is about to be replaced."""
    page.wait_for_function(
        "document.querySelector('[data-testid=stApp]')?.dataset.testScriptState === 'notRunning'"
        " && !document.querySelector('[data-stale=true]')"
    )


def settle_drawing(page: Page) -> None:
    """Waits until what a finished script asked for is drawn as well: no placeholder is left, every visible table has its grid."""
    settle(page)
    page.wait_for_function(
        "!document.querySelector('[data-testid=stSkeleton]') &&"
        " [...document.querySelectorAll('[data-testid=stDataFrame]')].filter(table => table.checkVisibility())"
        ".every(table => (table.querySelector('canvas')?.clientWidth ?? 0) > 100)"
    )
    page.wait_for_load_state("networkidle")


def start_reviewing(page: Page) -> None:
    """Takes the first case of the queue with the keyboard."""
    page.locator(".st-key-triage_start button:not([disabled])").first.wait_for()
    press_and_wait(page, "Enter", ".st-key-triage_save")


def press_and_wait(page: Page, key: str, selector: str) -> None:
    """Presses a key, once the buttons that listen for it are there, and waits for what it must bring about."""
    settle(page)
    button = f"button:not([disabled]) kbd[aria-label='Shortcut {key.capitalize()}']"
    page.locator(button).locator("visible=true").first.wait_for()
    page.keyboard.press(key)
    page.locator(selector).first.wait_for()
    settle(page)


def judge(page: Page, verdict: str, *, severity: str | None) -> None:
    """Judges the open case with the keyboard and waits for the next one, or the queue when none waits."""
    name = {"h": "harmful", "b": "benign", "u": "unsure"}[verdict]
    before = page.url
    press_and_wait(page, verdict, f".st-key-triage_{name} [data-testid=stBaseButton-primary]")
    if severity is not None:
        press_and_wait(page, severity, f".st-key-triage_severity_{severity} [data-testid=stBaseButton-primary]")
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: url != before)
    page.locator(f".st-key-triage_notice :text('Saved as {name}')").first.wait_for()
    settle(page)


def escalate(page: Page) -> None:
    """Escalates the open case with the keyboard, for the second reason, and waits for the next one."""
    before = page.url
    press_and_wait(page, "x", ".st-key-triage_escalate_confirm")
    press_and_wait(page, "2", ".st-key-triage_escalate_2 [data-testid=stBaseButton-primary]")
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: url != before)
    page.locator(".st-key-triage_notice :text('Escalated')").first.wait_for()
    settle(page)


def tab_to(page: Page, selector: str, *, most: int = 150) -> None:
    """Moves the focus with the Tab key until it lies within `selector`."""
    settle(page)
    page.locator(selector).first.wait_for()
    for _ in range(most):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement?.closest(selector) !== null", selector):
            return
    raise AssertionError(f"Tab does not lead to {selector}")
