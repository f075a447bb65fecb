"""Counts of checks on a grid of subjects and windows, and what came before each window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeAlias

import numpy as np
import polars as pl
from ibis.backends import BaseBackend

from core.clock import EPOCH, MONDAY_S
from core.events import EventStore
from metrics.estimate import Floats, divide
from metrics.events import fetch, within
from metrics.query import Query
from metrics.series import count_checks, turn_series

Integers: TypeAlias = np.ndarray[tuple[int], np.dtype[np.int64]]
BASELINE = timedelta(days=28)
COUNTS = ("evaluated", "triggered", "errors", "not_run", "undecided")
KEYS = ("filter_name", "rule_id")
SUBJECT = (*KEYS, "source")
WEEK_S, DAY_S, _HOUR_S = 604_800, 86_400, 3_600
# Pairs of windows that the dispersion of kindred subjects counts for, beside a subject's own.
_PRIOR_PAIRS = 30
# The finest baseline that expects this many hits is taken: hour of the week, hour of the day, or all hours.
_ENOUGH_HITS = 30
SCHEMA = pl.Schema(
    {
        "end": pl.Datetime("us"),
        "filter_name": pl.String(),
        "rule_id": pl.String(),
        "source": pl.String(),
        "is_breached": pl.Boolean(),
        "observed": pl.Float64(),
        "expected": pl.Float64(),
        "trials": pl.Float64(),
        "p_value": pl.Float64(),
        "detectable": pl.Float64(),
    }
)
"""One judgement: a subject (filter, one of its rules, or a source; all null = everything) in the window that ends at `end`.

`is_breached` is null where the window cannot tell; `observed`, `expected`, `trials` and `p_value` are the numbers
behind it, in the unit of the alarm's kind. `detectable` is known of rates: the smallest factor by which the subject's
would have to rise to be seen (`power.find_detectable`).
"""


@dataclass(frozen=True, slots=True)
class Grid:
    """Counts by subject and window. Windows are aligned to the clock and follow each other without a gap.

    Attributes:
        subjects: filter_name and rule_id (null = the whole filter), or source; one row per subject.
        starts: Start of each window, seconds since 1970, ascending; the baseline's windows come first.
        window_s: Length of a window, seconds.
        judged: Positions of the windows to judge.
        counts: By name of `COUNTS`: array of subjects x windows.
        finer: The same counts in shorter windows; None where these are an hour or less.
    """

    subjects: pl.DataFrame
    starts: Floats
    window_s: int
    judged: Integers
    counts: dict[str, Floats]
    finer: Grid | None = None

    def place(self, rows: pl.DataFrame, name: str) -> Floats:
        """A column of rows of the subjects' columns and bucket (start, naive UTC) as an array of subjects x windows, summed."""
        at = rows["bucket"].dt.epoch("s").cast(pl.Float64).to_numpy() - self.starts[0]
        window = (at // self.window_s).astype(int)
        keys, subjects = self.subjects.columns, self.subjects.with_row_index("subject")
        found = rows.select(keys).join(subjects, on=keys, how="left", nulls_equal=True, maintain_order="left")
        subject = found["subject"].cast(pl.Int64).fill_null(-1).to_numpy()
        is_inside = (window >= 0) & (window < self.starts.size) & (subject >= 0)
        table = np.zeros((self.subjects.height, self.starts.size))
        values = rows[name].cast(pl.Float64).to_numpy()
        np.add.at(table, (subject[is_inside], window[is_inside]), values[is_inside])
        return table

    def pools(self) -> Integers:
        """Of each subject the number of its kin: the filters, or the rules of one filter."""
        kin = self.subjects.select(pl.when(pl.col("rule_id").is_not_null()).then("filter_name"))
        return kin.to_series().rank("dense").fill_null(0).cast(pl.Int64).to_numpy()

    def baseline(self) -> Baseline:
        """What the triggers of each window are compared with."""
        hits, trials = self.counts["triggered"], self.counts["evaluated"]
        return find_baseline(hits, trials, window_s=self.window_s, pools=self.pools(), finer=self._disperse_finer())

    def coarsen(self, window_s: int) -> Grid:
        """The same counts in windows that are a multiple as long; none of them is to be judged yet."""
        step = window_s // self.window_s
        counts = {
            name: values.reshape(len(values), values.shape[1] // step, step).sum(axis=2)
            for name, values in self.counts.items()
        }
        return Grid(self.subjects, self.starts[::step], window_s, self.judged, counts, finer=self)

    def _disperse_finer(self) -> Floats | None:
        """The dispersion of triggers in shorter windows, as known when each window starts."""
        if self.finer is None:
            return None
        counts, windows = self.finer.counts, round(BASELINE.total_seconds() / self.finer.window_s)
        found = _disperse(
            counts["triggered"], counts["evaluated"], windows, self.pools(), finer=self.finer._disperse_finer()
        )
        return found[:, :: self.window_s // self.finer.window_s]

    def judge(
        self,
        *,
        is_breached: Floats,
        observed: Floats,
        expected: Floats,
        trials: Floats,
        p_value: Floats,
        detectable: Floats | None = None,
    ) -> pl.DataFrame:
        """Judgements of the windows to judge, from arrays of subjects x windows; NaN in `is_breached` = cannot tell."""
        columns = {
            "is_breached": is_breached,
            "observed": observed,
            "expected": expected,
            "trials": trials,
            "p_value": p_value,
            "detectable": np.full_like(p_value, np.nan) if detectable is None else detectable,
        }
        ends = pl.Series("end", (self.starts[self.judged] + self.window_s).astype(np.int64))
        named = self.subjects.with_columns(
            pl.lit(None, dtype=pl.String).alias(name) for name in SUBJECT if name not in self.subjects.columns
        )
        frame = named.join(ends.to_frame(), how="cross", maintain_order="left_right")
        return (
            frame.with_columns(
                pl.from_epoch("end", time_unit="s").cast(pl.Datetime("us")),
                *(
                    pl.Series(name, values[:, self.judged].ravel(), dtype=pl.Float64).fill_nan(None)
                    for name, values in columns.items()
                ),
            )
            .with_columns(pl.col("is_breached").cast(pl.Boolean))
            .select(SCHEMA.names())
            .cast(SCHEMA)
        )


@dataclass(frozen=True, slots=True)
class Baseline:
    """What came before each window, as arrays of subjects x windows.

    Attributes:
        hits: Hits in the windows taken for comparison.
        trials: Trials in them.
        windows: Windows of the last four weeks that had trials.
        dispersion: Variance of window to window as a multiple of the binomial one, at least 1: hits of one conversation
            come together. A subject with little history of its own is taken to be like its kin, and long windows of
            which there are few like the shorter ones in them.
    """

    hits: Floats
    trials: Floats
    windows: Floats
    dispersion: Floats


def list_ends(after: datetime, until: datetime, *, window_s: int) -> list[datetime]:
    """Ends of the windows, aligned to the clock (weeks to Mondays), that closed after `after` and by `until`; naive UTC."""
    first, last = (int((moment - EPOCH).total_seconds() - MONDAY_S) // window_s for moment in (after, until))
    return [EPOCH + timedelta(seconds=MONDAY_S + window_s * number) for number in range(first + 1, last + 1)]


def build_grid(
    backend: BaseBackend,
    query: Query,
    ends: Sequence[datetime],
    *,
    window_s: int,
    rules: bool,
    in_force_only: bool = False,
) -> Grid:
    """Counts of the windows that end at `ends` (consecutive) and of the four weeks before them.

    Args:
        backend: The events.
        query: Its filters apply; its window and `by` do not.
        ends: Ends of the windows to judge, ascending.
        window_s: Their length, seconds: whole minutes.
        rules: Whether rules are subjects of their own, beside the filters.
        in_force_only: Leave out the shadow checks of filters that also have others (`keep_in_force`).
    """
    first = ends[0] - timedelta(seconds=window_s)
    keys = KEYS if rules else KEYS[:1]
    by = (*keys, "mode") if in_force_only else keys
    asked = replace(query, by=by, since=first - BASELINE, until=ends[-1])
    # Windows that hold whole hours are put together from hours, which say how triggers clump.
    step_s = _HOUR_S if window_s % _HOUR_S == 0 else window_s
    rows = count_checks(backend, asked, bucket_s=step_s, names=COUNTS).drop_nulls("filter_name")
    if in_force_only:
        rows = keep_in_force(rows).group_by(*keys, "bucket").agg(pl.col(COUNTS).sum())
    if rules:
        rows = pl.concat([_sum_filters(rows), _with_trials(rows)])
    else:
        rows = rows.with_columns(rule_id=pl.lit(None, dtype=pl.String))
    start_s, end_s = ((moment - EPOCH).total_seconds() for moment in (first, ends[-1]))
    begin_s = start_s - BASELINE.total_seconds() // window_s * window_s
    subjects = rows.select(KEYS).unique().sort(KEYS, nulls_last=False)
    grid = Grid(subjects, np.arange(begin_s, end_s, step_s), step_s, np.zeros(0, dtype=np.int64), {})
    grid = replace(grid, counts={name: grid.place(rows, name) for name in COUNTS})
    for longer_s in sorted({DAY_S, window_s}):
        if step_s < longer_s <= window_s:
            grid = grid.coarsen(longer_s)
    return replace(grid, judged=np.flatnonzero(grid.starts >= start_s).astype(np.int64))


def build_turn_grid(events: EventStore, query: Query, ends: Sequence[datetime], *, window_s: int) -> Grid:
    """Turns that a model log told of, as `evaluated` of one subject without a name; windows as in `build_grid`."""
    first = ends[0] - timedelta(seconds=window_s)
    asked = replace(query, by=(), since=first - BASELINE, until=ends[-1])
    logged = turn_series(events, asked, bucket_s=window_s).with_columns(evaluated=pl.col("turns") - pl.col("orphans"))
    start_s, end_s = ((moment - EPOCH).total_seconds() for moment in (first, ends[-1]))
    begin_s = start_s - BASELINE.total_seconds() // window_s * window_s
    subjects = pl.DataFrame({key: [None] for key in KEYS}, schema=dict.fromkeys(KEYS, pl.String))
    grid = Grid(subjects, np.arange(begin_s, end_s, window_s), window_s, np.zeros(0, dtype=np.int64), {})
    rows = logged.with_columns(pl.lit(None, dtype=pl.String).alias(key) for key in KEYS)
    judged = np.flatnonzero(grid.starts >= start_s).astype(np.int64)
    return replace(grid, counts={"evaluated": grid.place(rows, "evaluated")}, judged=judged)


def build_source_grid(backend: BaseBackend, ends: Sequence[datetime], *, window_s: int, leave_out: str) -> Grid:
    """Records that each source brought, by the time at which they came, as `evaluated`; windows as in `build_grid`.

    Args:
        backend: The events.
        ends: Ends of the windows to judge, ascending.
        window_s: Their length, seconds: whole minutes.
        leave_out: A source that is no log.
    """
    first = ends[0] - timedelta(seconds=window_s)
    start_s, end_s = ((moment - EPOCH).total_seconds() for moment in (first, ends[-1]))
    begin_s = start_s - BASELINE.total_seconds() // window_s * window_s
    ingests = within(backend.table("ingests"), "ingested_at", EPOCH + timedelta(seconds=begin_s), ends[-1])
    ingests = ingests.filter(ingests.source.notnull(), ingests.source != leave_out)
    rows = fetch(backend, ingests.select("source", "read_count", bucket="ingested_at"))
    subjects = rows.select("source").unique().sort("source")
    grid = Grid(subjects, np.arange(begin_s, end_s, window_s), window_s, np.zeros(0, dtype=np.int64), {})
    judged = np.flatnonzero(grid.starts >= start_s).astype(np.int64)
    return replace(grid, counts={"evaluated": grid.place(rows, "read_count")}, judged=judged)


def keep_in_force(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of filter_name and mode without the shadow ones of filters that also have others.

    A candidate beside the version in force triggers at a rate of its own: together they would seem a change when the
    candidate starts or stops, and one would hide the other's silence. A filter that runs in shadow only is kept.
    """
    is_shadow = (pl.col("mode") == "shadow").fill_null(value=False)
    return rows.filter(~is_shadow | is_shadow.all().over("filter_name"))


def find_baseline(
    hits: Floats, trials: Floats, *, window_s: int, pools: Integers, finer: Floats | None = None
) -> Baseline:
    """What each window is compared with, from the four weeks before it.

    Args:
        hits: Of subjects x windows.
        trials: Likewise.
        window_s: Length of a window, seconds.
        pools: Number of each subject's kin.
        finer: The dispersion that shorter windows tell; None = not known.
    """
    windows = round(BASELINE.total_seconds() / window_s)
    chosen = [sum_before(counts, 1, windows) for counts in (hits, trials)]
    for step_s in (DAY_S, WEEK_S):
        if step_s <= window_s:
            continue
        step = step_s // window_s
        seasonal = [sum_before(counts, step, round(BASELINE.total_seconds() / step_s)) for counts in (hits, trials)]
        is_enough = seasonal[0] >= _ENOUGH_HITS
        chosen = [np.where(is_enough, fine, coarse) for fine, coarse in zip(seasonal, chosen, strict=True)]
    had = sum_before((trials > 0).astype(np.float64), 1, windows)
    return Baseline(chosen[0], chosen[1], had, _disperse(hits, trials, windows, pools, finer=finer))


def _sum_filters(rows: pl.DataFrame) -> pl.DataFrame:
    sums = rows.group_by("filter_name", "bucket").agg(pl.col(COUNTS).sum())
    return sums.with_columns(rule_id=pl.lit(None, dtype=pl.String)).select(rows.columns)


def _with_trials(rows: pl.DataFrame) -> pl.DataFrame:
    """Rules in every window in which their filter ran; a rule that logs only its hits is tried as often as its filter."""
    own = rows.drop_nulls("rule_id")
    whole = rows.group_by("filter_name", "bucket").agg(pl.col("evaluated").sum().alias("of_filter"))
    logs_passes = own.group_by(KEYS).agg((pl.col("evaluated").sum() > pl.col("triggered").sum()).alias("logs_passes"))
    grid = logs_passes.join(whole, on="filter_name").join(own, on=(*KEYS, "bucket"), how="left")
    return (
        grid.with_columns(
            pl.col(COUNTS).fill_null(0),
        )
        .with_columns(
            evaluated=pl.when("logs_passes").then("evaluated").otherwise(pl.col("of_filter")),
        )
        .select(rows.columns)
    )


def sum_before(values: Floats, step: int, times: int) -> Floats:
    """Sums over the windows `step`, 2 x `step`, ... `times` x `step` before each one."""
    total = np.zeros_like(values)
    if step == 1:
        sums = np.concatenate([np.zeros((values.shape[0], 1)), np.cumsum(values, axis=1)], axis=1)
        position = np.arange(values.shape[1])
        earlier: Floats = sums[:, position] - sums[:, np.maximum(position - times, 0)]
        return earlier
    for number in range(1, times + 1):
        shift = step * number
        if shift < values.shape[1]:
            total[:, shift:] += values[:, :-shift]
    return total


def _disperse(hits: Floats, trials: Floats, windows: int, pools: Integers, *, finer: Floats | None) -> Floats:
    """Mean squared successive difference of rates over its binomial expectation, at least 1, shrunk towards the kin's.

    Differences of neighbours, because a level that shifted once must not pass for noise (von Neumann 1941). Pairs
    without a hit say nothing and are left out: given their hits, the others have expectation 1 under chance. A rule
    with few hits has few pairs, and one jump would be all of them: hence the kin's mean, which counts for as many pairs
    as `_PRIOR_PAIRS`; the kin's own, towards 1, likewise. Four weeks hold few days and fewer weeks: what the same
    subject's shorter windows say (`finer`) takes the place of the kin.
    """
    if hits.shape[1] < 2:
        return np.ones_like(hits)
    rates = divide(hits, trials)
    pooled = divide(hits[:, 1:] + hits[:, :-1], trials[:, 1:] + trials[:, :-1])
    scale = (
        pooled
        * (1 - pooled)
        * (divide(np.ones_like(pooled), trials[:, 1:]) + divide(np.ones_like(pooled), trials[:, :-1]))
    )
    squares = divide(np.square(np.diff(rates, axis=1)), np.where(np.isnan(scale), 0.0, scale))
    # A pair belongs to its later window.
    squares = np.concatenate([np.full((hits.shape[0], 1), np.nan), squares], axis=1)
    known = (~np.isnan(squares)).astype(np.float64)
    own, pairs = sum_before(np.nan_to_num(squares), 1, windows), sum_before(known, 1, windows)
    if finer is None:
        kin, kin_pairs = (_sum_by(values, pools)[pools] for values in (own, pairs))
        finer = (kin + _PRIOR_PAIRS) / (kin_pairs + _PRIOR_PAIRS)
    shrunk: Floats = (own + _PRIOR_PAIRS * finer) / (pairs + _PRIOR_PAIRS)
    return np.maximum(shrunk, 1.0)


def _sum_by(values: Floats, pools: Integers) -> Floats:
    sums = np.zeros((int(pools.max(initial=0)) + 1, values.shape[1]))
    np.add.at(sums, pools, values)
    return sums
