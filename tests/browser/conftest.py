"""Fixtures of the browser tests. Without Chromium they are left out loudly, and in CI they fail."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.serving import CHROMIUM, WAIT_MS, Server, launch, serve
from tests.browser.traffic import fill_home

# A busy machine is no failure: what is expected may take as long as what is waited for.
expect.set_options(timeout=WAIT_MS)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium."""
    if not CHROMIUM.exists():
        message = f"BROWSER TESTS LEFT OUT: no {CHROMIUM}; install Debian's package chromium."
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    with launch() as chromium:
        yield chromium


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose home holds a fictional hour of traffic."""
    home = tmp_path_factory.mktemp("browser") / "home"
    fill_home(home)
    with serve(home) as running:
        yield running


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A fresh page, 1440 pixels wide, whose clock and language are fixed."""
    context = browser.new_context(viewport={"width": 1440, "height": 1000}, timezone_id="UTC", locale="en-GB")
    context.set_default_timeout(WAIT_MS)
    try:
        yield context.new_page()
    finally:
        context.close()


@pytest.fixture
def downloads(tmp_path: Path) -> Path:
    """Where downloads are kept."""
    return tmp_path
