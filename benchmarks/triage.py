"""Reviewers at once over a served home: `python -m benchmarks.triage [CASES [REVIEWERS]]`.

Four shifts: reviewers who look at each case for a second on average, those again with one case in ten judged by a second
person and the server killed twice, reviewers who do not look at all, and those with the server killed twice. "Next item" is measured by the reviewer, from asking to having the case.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import numpy as np

from tests.service.triage_shift import check_shift, fill_queue, work_shift

LEAVERS = 3


def main() -> None:
    """Prints a table with a line per shift, after checking that nothing was lost or judged twice."""
    cases = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    reviewers = int(sys.argv[2]) if len(sys.argv) > 2 else 20
    kills = (cases // 3, 2 * cases // 3)
    shifts = (
        ("a second's look at each", 1.0, 0.0, ()),
        ("a second's look, one in ten twice, server killed twice", 1.0, 0.1, kills),
        ("no look", 0.0, 0.0, ()),
        ("no look, server killed twice", 0.0, 0.0, kills),
    )
    print(f"| {reviewers} reviewers, {cases:,} cases | next item p50 | p95 | p99 | longest | verdicts/s | load |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for title, think_s, double_share, kill_after in shifts:
        with tempfile.TemporaryDirectory() as folder:
            home = Path(folder) / "home"
            fill_queue(home, cases, double_share=double_share)
            shift = work_shift(home, reviewers=reviewers, leavers=LEAVERS, kill_after=kill_after, think_s=think_s)
            check_shift(home, shift, cases=cases)
        quantiles = " | ".join(f"{value * 1000:,.0f} ms" for value in np.quantile(shift.waits_s, [0.5, 0.95, 0.99, 1]))
        rate, load = shift.count() / shift.seconds, os.getloadavg()[0]
        print(f"| {title} | {quantiles} | {rate:.0f} | {load:.1f} |", flush=True)


if __name__ == "__main__":
    main()
