"""The trigger rate that a filter's own past leads one to expect, window by window."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
from scipy.stats import betabinom

from core.events import EventStore
from metrics.alarms.grid import build_grid, list_ends
from metrics.estimate import divide
from metrics.query import Query

SCHEMA: dict[str, pl.DataType] = {
    "bucket": pl.Datetime("us"),
    "expected": pl.Float64(),
    "low": pl.Float64(),
    "high": pl.Float64(),
}
"""A window (start, naive UTC), the expected trigger rate, and the band that holds the window's with 95 %."""
# Fewer windows of history give no band.
_LEAST_WINDOWS = 24
_TAIL = 0.025


def expected_series(events: EventStore, query: Query, *, bucket_s: int) -> pl.DataFrame:
    """What the four weeks before each window lead one to expect of one filter, as `rate_change` alerts do.

    The band is the beta-binomial prediction for as many checks as the window had, at the dispersion of the past.

    Args:
        events: The store.
        query: Window and filters, one of which names the filter; an open window gives no row.
        bucket_s: Width of a window, seconds, whole minutes.

    Returns:
        Rows of `SCHEMA`, in order; windows without checks or with too short a history have none.
    """
    if query.since is None or query.until is None:
        return pl.DataFrame(schema=SCHEMA)
    ends = list_ends(query.since, query.until, window_s=bucket_s)
    if not ends:
        return pl.DataFrame(schema=SCHEMA)
    grid = build_grid(events.backend(), replace(query, by=()), ends, window_s=bucket_s, rules=False, in_force_only=True)
    if grid.subjects.height != 1:
        return pl.DataFrame(schema=SCHEMA)
    trials, past = grid.counts["evaluated"], grid.baseline()
    at = grid.judged
    is_known = (trials[0, at] > 0) & (past.trials[0, at] > 0) & (past.windows[0, at] >= _LEAST_WINDOWS)
    at = at[is_known]
    spread = past.dispersion[0, at]
    tried = np.maximum(np.round(trials[0, at] / spread), 1)
    before, before_tried = past.hits[0, at] / spread, past.trials[0, at] / spread
    a, b = before + 0.5, before_tried - before + 0.5
    return pl.DataFrame(
        {
            "bucket": pl.from_epoch(pl.Series(grid.starts[at].astype(np.int64)), time_unit="s").cast(pl.Datetime("us")),
            "expected": divide(past.hits[0, at], past.trials[0, at]),
            "low": betabinom.ppf(_TAIL, tried, a, b) / tried,
            "high": betabinom.ppf(1 - _TAIL, tried, a, b) / tried,
        },
        schema=SCHEMA,
    )
