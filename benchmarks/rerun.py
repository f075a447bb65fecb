"""From a click to the page as it is afterwards, in Chromium, on every page: `python -m benchmarks.rerun [RERUNS] [HOME]`.

A real server serves the 30 demo days, or the home that is given. On each page the window of the bar is switched to and fro, which asks every
part of the page anew. The clock of the browser starts with the click and stops when Streamlit says that no script runs and nothing on the page is stale.
The first switch to either window finds nothing cached and stands in a column of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from playwright.sync_api import Page

from dashboard.navigation import PAGES
from tests.browser.serving import ROOT, launch, open_page, serve, settle_drawing, weir_command

WINDOWS = ("7d", "24h")
PAUSE_MS = 200
_SWITCH = """label => new Promise(resolve => {
    const app = document.querySelector('[data-testid=stApp]')
    const button = [...document.querySelectorAll('.st-key-window button')].find(one => one.innerText.trim() === label)
    let began = 0, ended = 0
    const note = () => {
        if (app.dataset.testScriptState !== 'notRunning') { began ||= performance.now(); ended = 0 }
        else if (began) ended ||= performance.now()
    }
    const observer = new MutationObserver(note)
    observer.observe(app, {attributes: true})
    const look = () => {
        if (!ended || document.querySelector('[data-stale=true]')) return requestAnimationFrame(look)
        observer.disconnect()
        resolve([performance.now() - start, ended - start])
    }
    const start = performance.now()
    button.click()
    look()
})"""


@dataclass(frozen=True, slots=True)
class Rerun:
    """Milliseconds from the click until nothing is stale, and until the script has ended."""

    settled: float
    ran: float


def switch(page: Page, count: int) -> list[Rerun]:
    """Reruns of the open page, each by a switch to the other window."""
    reruns = []
    for number in range(count):
        reruns.append(Rerun(*page.evaluate(_SWITCH, WINDOWS[number % 2])))
        settle_drawing(page)
        page.wait_for_timeout(PAUSE_MS)
    return reruns


def measure(home: Path, count: int) -> None:
    """Prints a row for each page at once: a run takes some minutes."""
    print(
        f"| page, {count} reruns | first switch | p50 | p95 | longest | until the script has ended, p50 | load |\n"
        "|---|---:|---:|---:|---:|---:|---:|"
    )
    with serve(home) as server, launch() as browser:
        for spec in PAGES.values():
            page = browser.new_page(viewport={"width": 1440, "height": 1000})
            open_page(page, server, f"{spec.url_path}?window={WINDOWS[1]}")
            settle_drawing(page)
            first, *others = switch(page, count + 1)
            p50, p95, longest = np.quantile([rerun.settled for rerun in others], (0.5, 0.95, 1))
            ran = np.median([rerun.ran for rerun in others])
            figures = " | ".join(f"{value:.0f}" for value in (first.settled, p50, p95, longest, ran))
            print(f"| {spec.title} | {figures} | {os.getloadavg()[0]:.1f} |", flush=True)
            page.close()


def main(arguments: list[str]) -> None:
    """Measures the demo home, or the one that is given; milliseconds."""
    count = int(arguments[0]) if arguments else 40
    if len(arguments) > 1:
        measure(Path(arguments[1]), count)
        return
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        subprocess.run([*weir_command(), "demo", "--home", str(home)], check=True, cwd=ROOT, capture_output=True)
        measure(home, count)


if __name__ == "__main__":
    main(sys.argv[1:])
