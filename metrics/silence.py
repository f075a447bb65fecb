"""Filters that fell silent, or stopped running, while traffic went on. No database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import polars as pl
from scipy.special import betaln

SURPRISE = 1e-3
"""Probability below which a silence needs a person."""


@dataclass(frozen=True, slots=True)
class Silence:
    """A filter without triggers (or without evaluations) up to the end of the window.

    Attributes:
        filter_name: The filter.
        is_stopped: It evaluated nothing, whereas other filters did.
        since: End of the last bucket in which it triggered (or evaluated).
        trials: Checks it evaluated since then; checks of all filters, if it stopped.
        expected: Triggers (or evaluations) expected among them.
        probability: That there would be none.
    """

    filter_name: str
    is_stopped: bool
    since: datetime
    trials: int
    expected: float
    probability: float


def find_silences(counts: pl.DataFrame, *, bucket_s: int) -> list[Silence]:
    """Silences that are unlikely under what came before them, least likely first.

    Args:
        counts: filter_name, bucket (start), evaluated, triggered.
        bucket_s: Width of a bucket, seconds.
    """
    found = []
    whole = counts.group_by("bucket").agg(pl.col("evaluated").sum())
    for (name,), part in counts.group_by("filter_name"):
        if not isinstance(name, str):
            continue
        silence = _stop(name, part, whole, bucket_s) or _hush(name, part, bucket_s)
        if silence is not None and silence.probability < SURPRISE:
            found.append(silence)
    return sorted(found, key=lambda silence: (silence.probability, -silence.expected, silence.filter_name))


def chance_of_none(hits: int, trials: int, new_trials: int) -> float:
    """P(no hit in `new_trials`), given `hits` in `trials` before: the beta-binomial prediction with Jeffreys' prior."""
    a, b = hits + 0.5, trials - hits + 0.5
    return float(np.exp(betaln(a, b + new_trials) - betaln(a, b)))


def _hush(name: str, part: pl.DataFrame, bucket_s: int) -> Silence | None:
    """No trigger since the last one, though the filter went on evaluating."""
    return _silence(name, part.rename({"evaluated": "trials", "triggered": "hits"}), bucket_s, is_stopped=False)


def _stop(name: str, part: pl.DataFrame, whole: pl.DataFrame, bucket_s: int) -> Silence | None:
    """No evaluation since the last one, though the other filters went on."""
    own = part.select("bucket", hits="evaluated")
    joined = whole.rename({"evaluated": "trials"}).join(own, on="bucket", how="left").fill_null(0)
    return _silence(name, joined, bucket_s, is_stopped=True)


def _silence(name: str, counts: pl.DataFrame, bucket_s: int, *, is_stopped: bool) -> Silence | None:
    last = counts.filter(pl.col("hits") > 0)["bucket"].max()
    if not isinstance(last, datetime):
        return None
    before, after = counts.filter(pl.col("bucket") <= last), counts.filter(pl.col("bucket") > last)
    hits, trials, quiet = (int(column.sum()) for column in (before["hits"], before["trials"], after["trials"]))
    if not quiet or not trials:
        return None
    # A filter that stopped is missing from the checks of all filters: what it had per check of the others counts.
    others = max(trials - hits, 1) if is_stopped else trials
    return Silence(
        filter_name=name,
        is_stopped=is_stopped,
        since=last + timedelta(seconds=bucket_s),
        trials=quiet,
        expected=quiet * hits / others,
        probability=chance_of_none(hits, trials, quiet),
    )
