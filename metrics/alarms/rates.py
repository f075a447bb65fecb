"""Trigger rates that moved, and filters that fell silent."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import polars as pl
from scipy.special import betaln, ndtri
from scipy.stats import betabinom

from metrics.alarms.grid import DAY_S, Grid
from metrics.alarms.power import Prediction, find_detectable
from metrics.compare import Counts, discoveries, log_ratio
from metrics.estimate import Floats, divide

Booleans: TypeAlias = np.ndarray[tuple[int, int], np.dtype[np.bool_]]
MINIMUM_EFFECT = 1.25
# An effect just at the limit must count as one: the interval that has to hold it is a wide one.
_REACH = float(ndtri(0.995))
# Below this distance a p-value cannot count: it is left at 1 unasked.
_SCREEN = 1.3
# A subject of which a window can tell the least effect: it moves the rate by so many standard errors.
_ABLE = 3.0
# The shares of the false discoveries that go to those subjects together; the others share the rest.
_FOR_THE_ABLE = 0.5


def judge_rate_change(
    grid: Grid, *, effect: float, chance: float, in_a_row: int, find_conversations: Callable[[], pl.DataFrame]
) -> pl.DataFrame:
    """Breached where the trigger rate is surprising under what came before, either way, and a change by `effect` or more fits.

    The p-value is the beta-binomial predictive one, doubled; false discoveries among the subjects of one window are held
    to `chance`. Most rules trigger too seldom for a window to tell `effect`, and would take the power from those that
    do not: half of `chance` is for the subjects of which it can be told, however many the others are (weights that do
    not depend on the window's triggers: Genovese, Roeder, Wasserman 2006). Counts are divided by the dispersion first, and a rise rests on no more hits than conversations had one:
    somebody who tries the same thing eight times in a row is one event.

    Args:
        grid: Counts.
        effect: Least ratio that matters, above 1.
        chance: Most false discoveries per window.
        in_a_row: Windows that must breach before the alarm is raised; for what it can be expected to see.
        find_conversations: Rows of `queries.count_conversations`; asked only if something rose.

    Returns:
        `grid.SCHEMA`: observed and expected triggers, trials, detectable factor.
    """
    hits, trials = grid.counts["triggered"], grid.counts["evaluated"]
    baseline = grid.baseline()
    spread = baseline.dispersion
    now = Counts(hits / spread, trials / spread)
    before = Counts(baseline.hits / spread, baseline.trials / spread)
    is_known = (trials > 0) & (baseline.trials > 0) & (baseline.windows >= _least_windows(grid.window_s))
    logs, errors = log_ratio(now, before)
    surprise = divide(np.abs(logs), np.where(errors > 0, errors, 0.0))
    p_values = np.full(hits.shape, np.nan)
    p_values[is_known] = 1.0
    asked = np.zeros_like(is_known)
    asked[:, grid.judged] = (is_known & (np.nan_to_num(surprise) > _SCREEN))[:, grid.judged]
    p_values[asked] = _predict(now, before, asked)
    with np.errstate(invalid="ignore"):
        fits = np.abs(logs) + _REACH * errors >= np.log(effect)
    foreseen = Prediction(trials * divide(before.successes, before.trials) / spread, before.successes)
    weights = _weigh(foreseen, effect)
    stands = _find_discoveries(p_values / weights, grid, chance=chance)
    rose = stands & fits & asked & (logs > 0)
    if rose.any():
        conversations = grid.place(find_conversations(), "conversations")
        fewer = Counts(np.minimum(now.successes, np.where(rose, conversations, np.inf)), now.trials)
        p_values[rose] = _predict(fewer, before, rose)
        stands = _find_discoveries(p_values / weights, grid, chance=chance)
    is_breached = np.where(is_known, stands & fits, np.nan)
    expected = trials * divide(baseline.hits, baseline.trials)
    detectable = np.full(hits.shape, np.nan)
    detectable[:, grid.judged] = find_detectable(
        foreseen.at(grid.judged),
        effect=effect,
        chance=(chance * weights / len(hits))[:, grid.judged],
        in_a_row=in_a_row,
    )
    return grid.judge(
        is_breached=is_breached,
        observed=hits,
        expected=expected,
        trials=trials,
        p_value=p_values,
        detectable=np.where(is_known, detectable, np.nan),
    )


def judge_silence(grid: Grid, *, chance: float) -> pl.DataFrame:
    """Breached where no trigger for so many checks is less probable than `chance` under the four weeks before.

    Checks are counted since the last window that had a trigger.

    Returns:
        `grid.SCHEMA`: observed 0, expected triggers, trials since the last one.
    """
    hits, trials = grid.counts["triggered"], grid.counts["evaluated"]
    windows = grid.starts.size
    position = np.arange(windows)
    # Of every window: the last one up to it that had a trigger; -1 where there is none.
    last = np.maximum.accumulate(np.where(hits > 0, position, -1), axis=1)
    sums = {
        name: np.concatenate([np.zeros((counts.shape[0], 1)), np.cumsum(counts, axis=1)], axis=1)
        for name, counts in (("hits", hits), ("trials", trials))
    }
    rows = np.arange(hits.shape[0])[:, None]
    before_hits, before_trials = sums["hits"][rows, last + 1], sums["trials"][rows, last + 1]
    quiet = sums["trials"][:, 1:] - before_trials
    spread = grid.baseline().dispersion
    a, b = before_hits / spread + 0.5, (before_trials - before_hits) / spread + 0.5
    p_values = np.exp(betaln(a, b + quiet / spread) - betaln(a, b))
    is_known = (last >= 0) & (trials > 0)
    is_breached = np.where(is_known, (p_values < chance) & (quiet > 0), np.nan)
    expected = quiet * divide(before_hits, before_trials)
    return grid.judge(
        is_breached=is_breached,
        observed=np.where(is_known, np.where(quiet > 0, 0.0, hits), np.nan),
        expected=expected,
        trials=quiet,
        p_value=np.where(is_known, p_values, np.nan),
    )


def _weigh(foreseen: Prediction, effect: float) -> Floats:
    """Of each subject and window, its share of the false discoveries as a multiple of an equal one."""
    is_able = np.nan_to_num(np.log(effect) / foreseen.error(1.0)) >= _ABLE
    total, able = len(is_able), is_able.sum(axis=0)
    weights: Floats = np.where(
        is_able,
        _FOR_THE_ABLE * total / np.maximum(able, 1),
        (1 - _FOR_THE_ABLE) * total / np.maximum(total - able, 1),
    )
    return np.where((able > 0) & (able < total), weights, 1.0)


def _find_discoveries(p_values: Floats, grid: Grid, *, chance: float) -> Booleans:
    """Which p-values stand, window by window."""
    stands: Booleans = np.zeros((p_values.shape[0], p_values.shape[1]), dtype=bool)
    for window in grid.judged:
        stands[:, window] = discoveries(p_values[:, window], rate=chance)
    return stands


def _predict(now: Counts, before: Counts, asked: Booleans) -> Floats:
    """Two-sided predictive p-values under Jeffreys' prior."""
    trials = np.maximum(np.round(now.trials[asked]), 1)
    hits = np.minimum(np.round(now.successes[asked]), trials)
    a, b = before.successes[asked] + 0.5, before.trials[asked] - before.successes[asked] + 0.5
    lower = betabinom.cdf(hits, trials, a, b)
    upper = betabinom.sf(hits - 1, trials, a, b)
    p_values: Floats = np.minimum(2 * np.minimum(lower, upper), 1.0)
    return p_values


def _least_windows(window_s: int) -> int:
    """A day of history, a week of it where windows are days, three where they are longer."""
    return min(24, max(7, DAY_S // window_s)) if window_s <= DAY_S else 3
