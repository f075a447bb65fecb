"""Checks that did not decide: filters without data, errors, holes in the coverage."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
from scipy.special import betainc, betaln

from metrics.alarms.grid import BASELINE, SCHEMA, Grid, find_baseline, sum_before
from metrics.estimate import Floats, divide

_DAYS, _DAY_S = 7, 86_400


def judge_no_data(grid: Grid, *, least: float, chance: float) -> pl.DataFrame:
    """Breached where a filter, or every filter, ran not once though `least` checks or more were expected.

    A filter is expected to run as often, per check of the filter that ran most, as in the four weeks before. All filters
    together (the subject without a name) are expected to run as often as at this hour of the last seven days, in each of
    which they ran. That they did not must also be less probable than `chance`.

    Returns:
        `grid.SCHEMA`: observed and expected checks; trials = checks of the filter that ran most, or days compared with.
    """
    checks = _checks(grid)
    if not grid.subjects.height:
        return pl.DataFrame(schema=SCHEMA)
    widest = np.broadcast_to(checks.max(axis=0), checks.shape)
    baseline = find_baseline(checks, widest, window_s=grid.window_s, pools=grid.pools())
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
    whole = replace(
        grid, subjects=pl.DataFrame({"filter_name": [None], "rule_id": [None]}, schema=grid.subjects.schema)
    )
    return pl.concat([filters, _judge_standstill(whole, checks.sum(axis=0, keepdims=True), least, chance)])


def judge_no_turns(grid: Grid, *, least: float, chance: float) -> pl.DataFrame:
    """Breached where no turn was logged, though `least` or more were at this hour of the last seven days, and some in each.

    Args:
        grid: What `build_turn_grid` counts.
        least: Turns that must be expected.
        chance: That so many stay away must be less probable.

    Returns:
        `grid.SCHEMA`: observed and expected turns; trials = days compared with.
    """
    return _judge_standstill(grid, grid.counts["evaluated"], least, chance)


def judge_source_stopped(grid: Grid, *, least: float, chance: float) -> pl.DataFrame:
    """Breached where a source brought nothing, though `least` or more records came at this hour of the last seven days, and some in each.

    A window in which no source brought anything says nothing of one: all have stopped, or nobody took in what they brought.

    Args:
        grid: What `build_source_grid` counts.
        least: Records that must be expected.
        chance: That so many stay away must be less probable, for the sources together.

    Returns:
        `grid.SCHEMA`: observed and expected records; trials = days compared with.
    """
    records = grid.counts["evaluated"]
    judged = _judge_standstill(grid, records, least, chance / max(1, len(records)))
    has_come = pl.Series("has_come", np.broadcast_to(records.sum(axis=0) > 0, records.shape)[:, grid.judged].ravel())
    return judged.with_columns(is_breached=pl.when(has_come).then("is_breached"))


def _judge_standstill(grid: Grid, checks: Floats, least: float, chance: float) -> pl.DataFrame:
    same_hours = np.full((_DAYS, *checks.shape), np.nan)
    for day in range(1, _DAYS + 1):
        shift = max(1, _DAY_S // grid.window_s) * day
        if shift < checks.shape[1]:
            same_hours[day - 1, :, shift:] = checks[:, :-shift]
    compared = (~np.isnan(same_hours)).sum(axis=0).astype(np.float64)
    expected = divide(np.nan_to_num(same_hours).sum(axis=0), compared)
    always_ran = np.where(np.isnan(same_hours), 0.0, same_hours).min(axis=0) > 0
    # Checks come in conversations, several of a turn at once: so many of them are one arrival.
    p_values = np.exp(-expected / _clump(checks, same_hours[0], window_s=grid.window_s))
    breached = (checks == 0) & always_ran & (np.nan_to_num(expected) >= least) & (np.nan_to_num(p_values) < chance)
    return grid.judge(
        is_breached=np.where(compared == _DAYS, breached, np.nan),
        observed=checks,
        expected=expected,
        trials=compared,
        p_value=np.where(compared == _DAYS, p_values, np.nan),
    )


def _clump(checks: Floats, day_before: Floats, *, window_s: int) -> Floats:
    """Variance of counts from a day to the next, as a multiple of Poisson's, over the four weeks before; at least 1."""
    known = ~np.isnan(day_before)
    before = np.nan_to_num(day_before)
    windows = round(BASELINE.total_seconds() / window_s)
    squares = sum_before(np.where(known, np.square(checks - before), 0.0), 1, windows)
    sizes = sum_before(np.where(known, checks + before, 0.0), 1, windows)
    return np.maximum(np.nan_to_num(divide(squares, sizes), nan=1.0), 1.0)


def judge_error_share(grid: Grid, *, limit: float, chance: float) -> pl.DataFrame:
    """Breached where so many checks failed that, were the share `limit`, it would happen with less than `chance`.

    Returns:
        `grid.SCHEMA`: observed share, expected = share of the four weeks before, trials = checks.
    """
    return _judge_share(grid, grid.counts["errors"], limit=limit, chance=chance)


def judge_coverage(grid: Grid, *, limit: float, chance: float) -> pl.DataFrame:
    """Breached where so few checks decided that, were the share `limit`, it would happen with less than `chance`.

    Returns:
        `grid.SCHEMA`: observed share, expected = share of the four weeks before, trials = checks.
    """
    judged = _judge_share(grid, _checks(grid) - grid.counts["evaluated"], limit=1 - limit, chance=chance)
    return judged.with_columns(observed=1 - pl.col("observed"), expected=1 - pl.col("expected"))


def find_tail(hits: Floats, trials: Floats, *, limit: float) -> Floats:
    """P(so many hits or more) under a share of `limit`: the exact binomial tail, because a handful of checks proves little."""
    tail: Floats = np.where(hits > 0, betainc(np.maximum(hits, 1), np.maximum(trials - hits, 0) + 1, limit), 1.0)
    return tail


def _judge_share(grid: Grid, hits: Floats, *, limit: float, chance: float) -> pl.DataFrame:
    checks = _checks(grid)
    p_values = np.where(checks > 0, find_tail(hits, checks, limit=limit), np.nan)
    baseline = find_baseline(hits, checks, window_s=grid.window_s, pools=grid.pools())
    return grid.judge(
        is_breached=np.where(checks > 0, p_values < chance, np.nan),
        observed=divide(hits, checks),
        expected=divide(baseline.hits, baseline.trials),
        trials=checks,
        p_value=p_values,
    )


def _checks(grid: Grid) -> Floats:
    counts = grid.counts
    total: Floats = counts["evaluated"] + counts["errors"] + counts["not_run"] + counts["undecided"]
    return total
