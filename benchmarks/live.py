"""From a line appended to a log file to the number on the Overview, in Chromium: `python -m benchmarks.live [SAMPLES]`.

The served home holds the 30 demo days. The clock starts before the append and stops when the page has changed in place.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import numpy as np

from core.clock import now
from tests.browser.serving import ROOT, launch, open_page, serve, weir_command
from tests.browser.traffic import append_lines, make_turn

TILE = ".st-key-tile_turns [data-testid=stMetricValue]"
CHANGED = "([selector, text]) => document.querySelector(selector)?.innerText !== text"
EARLIER = timedelta(hours=1)
TURNS = 9  # more than leave the window of 24 hours meanwhile


def main() -> None:
    """Prints the median, the 95th percentile and the longest wait."""
    samples = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    waits = []
    with tempfile.TemporaryDirectory() as name:
        home = Path(name) / "home"
        subprocess.run([*weir_command(), "demo", "--home", str(home)], check=True, cwd=ROOT, capture_output=True)
        with serve(home) as server, launch() as browser:
            page = browser.new_page(viewport={"width": 1440, "height": 1000})
            open_page(page, server)
            page.locator(TILE).wait_for()
            log = server.inbox / "gateway-model_log.jsonl"
            for sample in range(samples + 1):
                page.wait_for_timeout(1000 + 137 * (sample % 7))
                shown = page.locator(TILE).inner_text()
                started = time.perf_counter()
                append_lines(log, [make_turn(sample * TURNS + place, now() - EARLIER) for place in range(TURNS)])
                page.wait_for_function(CHANGED, arg=[TILE, shown])
                waits.append(time.perf_counter() - started)
    quantiles = np.quantile(waits[1:], [0.5, 0.95, 1])  # the first one loads code
    print(f"| file append to visible number, {samples} appends | median | p95 | longest |\n|---|---:|---:|---:|")
    print("| seconds | " + " | ".join(f"{value:.2f}" for value in quantiles) + " |")


if __name__ == "__main__":
    main()
