"""Checks that did not decide: filters without data, errors, holes in the coverage."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
from scipy.special import betaln

from metrics.alarms.grid import SCHEMA, Grid, find_baseline
from metrics.estimate import Floats, divide, wilson_bounds

# Many windows are looked at, and none of them shall alarm by chance.
_CONFIDENCE = 0.999
_DAYS, _DAY_S = 7, 86_400


def judge_no_data(grid: Grid, *, least: float, chance: float) -> pl.DataFrame:
    """Breached where a filter, or every filter, ran not once though `least` checks or more were expected.

    A filter is expected to run as often, per check of the filter that ran most, as in the four weeks before; that it did
    not must also be less probable than `chance`. All filters together (the subject without a name) are expected to run
    as often as at this hour of the last seven days, in each of which they ran.

    Returns:
        `grid.SCHEMA`: observed and expected checks; trials = checks of the filter that ran most, or days compared with.
    """
    checks = _checks(grid)
    if not grid.subjects.height:
        return pl.DataFrame(schema=SCHEMA)
    widest = np.broadcast_to(checks.max(axis=0), checks.shape)
    baseline = find_baseline(checks, widest, window_s=grid.window_s)
    expected = widest * divide(baseline.hits, baseline.trials)
    spread = baseline.dispersion
    a, b = baseline.hits / spread + 0.5, (baseline.trials - baseline.hits) / spread + 0.5
    p_values = np.exp(betaln(a, b + widest / spread) - betaln(a, b))
    is_known = (widest > 0) & (baseline.trials > 0)
    breached = (checks == 0) & (np.nan_to_num(expected) >= least) & (p_values < chance)
    filters = grid.judge(
        is_breached=np.where(is_known, breached, np.nan),
        observed=checks,
        expected=expected,
        trials=widest,
        p_value=np.where(is_known, p_values, np.nan),
    )
    return pl.concat([filters, _judge_standstill(grid, checks.sum(axis=0, keepdims=True), least)])


def _judge_standstill(grid: Grid, checks: Floats, least: float) -> pl.DataFrame:
    same_hours = np.full((_DAYS, *checks.shape), np.nan)
    for day in range(1, _DAYS + 1):
        shift = max(1, _DAY_S // grid.window_s) * day
        if shift < checks.shape[1]:
            same_hours[day - 1, :, shift:] = checks[:, :-shift]
    compared = (~np.isnan(same_hours)).sum(axis=0).astype(np.float64)
    expected = divide(np.nan_to_num(same_hours).sum(axis=0), compared)
    always_ran = np.where(np.isnan(same_hours), 0.0, same_hours).min(axis=0) > 0
    breached = (checks == 0) & always_ran & (np.nan_to_num(expected) >= least)
    whole = replace(
        grid, subjects=pl.DataFrame({"filter_name": [None], "rule_id": [None]}, schema=grid.subjects.schema)
    )
    return whole.judge(
        is_breached=np.where(compared == _DAYS, breached, np.nan),
        observed=checks,
        expected=expected,
        trials=compared,
        p_value=np.full(checks.shape, np.nan),
    )


def judge_error_share(grid: Grid, *, limit: float) -> pl.DataFrame:
    """Breached where the share of checks that failed lies above `limit` with 99.9 % confidence.

    Returns:
        `grid.SCHEMA`: observed share, expected = share of the four weeks before, trials = checks.
    """
    return _judge_share(grid, grid.counts["errors"], limit=limit)


def judge_coverage(grid: Grid, *, limit: float) -> pl.DataFrame:
    """Breached where the share of checks that decided lies below `limit` with 99.9 % confidence.

    Returns:
        `grid.SCHEMA`: observed share, expected = share of the four weeks before, trials = checks.
    """
    judged = _judge_share(grid, _checks(grid) - grid.counts["evaluated"], limit=1 - limit)
    return judged.with_columns(observed=1 - pl.col("observed"), expected=1 - pl.col("expected"))


def _judge_share(grid: Grid, hits: Floats, *, limit: float) -> pl.DataFrame:
    checks = _checks(grid)
    low, _ = wilson_bounds(hits, checks, confidence=_CONFIDENCE)
    baseline = find_baseline(hits, checks, window_s=grid.window_s)
    with np.errstate(invalid="ignore"):
        is_breached = np.where(checks > 0, low > limit, np.nan)
    return grid.judge(
        is_breached=is_breached,
        observed=divide(hits, checks),
        expected=divide(baseline.hits, baseline.trials),
        trials=checks,
        p_value=np.full(checks.shape, np.nan),
    )


def _checks(grid: Grid) -> Floats:
    counts = grid.counts
    total: Floats = counts["evaluated"] + counts["errors"] + counts["not_run"] + counts["undecided"]
    return total
