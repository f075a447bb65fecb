"""What a review budget buys: allocation over strata, and the interval to expect. No database.

Variances come from earlier reviews of the same strata. Reviews of turns of one conversation are counted as independent, so that
intervals come out somewhat wider where many reviewed turns share a conversation.
Sources: Neyman (1934); Wright (2012), whose one-by-one rule gives Neyman's optimum in whole numbers and within bounds;
Cochran (1977) section 5A.4 for several targets; Bankier (1988) for the allocation without known variances.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from core.errors import UsageError
from metrics.confusion import Total, compose
from metrics.estimate import exact_bounds
from metrics.survey import Unseen, find_hidden

Target = Literal["wrong_block_share", "missed_harm_rate", "benign_blocked_rate", "harm_prevalence"]
TARGETS: tuple[Target, ...] = get_args(Target)
BALANCED = "balanced"
LEAST = 2
"""Fewest reviews of a stratum from which its variance can be told."""

MOST_REVIEWS = 100_000
"""Beyond this nobody plans reviews of one question."""
_LEAST_WORTH, _MOST_WORTH, _HALVINGS = 0.01, 4.0, 10
_COMPOSED: tuple[Target, ...] = ("missed_harm_rate", "benign_blocked_rate")
# Before anybody reviewed anything: doubt about a trigger is greatest at one half; harm among what passed is rare.
_ASSUMED = {True: 0.5, False: 0.01}
# Reviews that the rate of all strata of a kind is worth beside those of one stratum.
_PRIOR_REVIEWS = 4.0


@dataclass(frozen=True, slots=True)
class Stratum:
    """A part of the traffic that reviews are drawn from.

    Attributes:
        name: What its turns have in common.
        size: Turns in it.
        is_triggered: Whether the filters in question triggered on its turns.
        drawn: How many of its turns earlier draws took, judged or not.
        reviewed: Judged turns of a probability sample, drawn here or imported.
        harmful: How many of them were harmful, weighted to sum up to `reviewed`.
    """

    name: str
    size: int
    is_triggered: bool
    drawn: int = 0
    reviewed: int = 0
    harmful: float = 0.0

    @property
    def left(self) -> int:
        """Turns that can still be drawn."""
        return self.size - self.drawn

    @property
    def covered(self) -> int:
        """Reviews that it has, or is about to have."""
        return max(self.drawn, self.reviewed)


@dataclass(frozen=True, slots=True)
class Expected:
    """The interval that a rate is expected to have."""

    measure: Target
    estimate: float
    low: float
    high: float
    width: float


def is_informed(strata: Sequence[Stratum]) -> bool:
    """Whether earlier reviews say anything about variances."""
    return any(stratum.reviewed for stratum in strata)


def guess_harm(strata: Sequence[Stratum]) -> dict[str, float]:
    """The harmful share to expect of each stratum's turns, strictly between 0 and 1.

    What was seen in a stratum is drawn towards the rate of all strata that triggered, or that passed, so that a few reviews
    without harm do not make a stratum look certain.
    """
    rates = {}
    for is_triggered, assumed in _ASSUMED.items():
        kind = [stratum for stratum in strata if stratum.is_triggered == is_triggered]
        reviewed = sum(stratum.reviewed for stratum in kind)
        harmful = sum(stratum.harmful for stratum in kind)
        rates[is_triggered] = (harmful + assumed) / (reviewed + 1)
    return {
        stratum.name: (stratum.harmful + _PRIOR_REVIEWS * rates[stratum.is_triggered])
        / (stratum.reviewed + _PRIOR_REVIEWS)
        for stratum in strata
    }


def weigh_strata(strata: Sequence[Stratum], target: str) -> dict[str, float]:
    """What each stratum's share of the reviews should be in proportion to.

    Args:
        strata: With what was reviewed of them.
        target: One of `TARGETS`, or `BALANCED` for a compromise between all.

    Returns:
        Size times the standard deviation of the target's linearised variable (Neyman). Without any earlier review: the
        square root of the size (power allocation), since rare triggers and bulk passes both need a usable sample.
    """
    if not is_informed(strata):
        return {stratum.name: math.sqrt(stratum.size) for stratum in strata}
    if target != BALANCED:
        return _neyman(strata, target)
    parts = [_neyman(strata, name) for name in TARGETS]
    totals = [sum(part.values()) or 1.0 for part in parts]
    return {
        stratum.name: sum(part[stratum.name] / total for part, total in zip(parts, totals, strict=True))
        for stratum in strata
    }


def _neyman(strata: Sequence[Stratum], target: str) -> dict[str, float]:
    shares = guess_harm(strata)
    harm = {kind: sum(s.size * shares[s.name] for s in strata if s.is_triggered == kind) for kind in (True, False)}
    benign_blocked = sum(s.size for s in strata if s.is_triggered) - harm[True]
    benign = sum(s.size for s in strata) - harm[True] - harm[False]
    # The linearised variable is y - R x; in a stratum of one verdict it is a multiple of "harmful", whose deviation is known.
    missed = harm[False] / ((harm[True] + harm[False]) or 1.0)
    blocked = benign_blocked / (benign or 1.0)
    multiple = {
        "wrong_block_share": {True: 1.0, False: 0.0},
        "missed_harm_rate": {True: missed, False: 1 - missed},
        "benign_blocked_rate": {True: 1 - blocked, False: blocked},
        "harm_prevalence": {True: 1.0, False: 1.0},
    }[target]
    return {
        s.name: s.size * multiple[s.is_triggered] * math.sqrt(shares[s.name] * (1 - shares[s.name])) for s in strata
    }


def allocate(
    sizes: Mapping[str, int], *, n: int, weights: Mapping[str, float], before: Mapping[str, int] | None = None
) -> dict[str, int]:
    """How many turns to draw from each stratum.

    Each further turn goes where it lowers the variance most: to the largest `weight² / (m (m + 1))` of a stratum that
    has `m` (Wright 2012).

    Args:
        sizes: Turns per stratum that can be drawn, each at least 1.
        n: Turns to draw in all.
        weights: What the reviews of a stratum should be in proportion to (`weigh_strata`).
        before: Turns of each stratum that were drawn or reviewed before.

    Returns:
        At least 1 and at most its size for each stratum, `min(n, population)` in all; at least 2, counting earlier ones,
        where `n` and the stratum allow.

    Raises:
        UsageError: `n` is below the number of strata, so that some turns could never be drawn.
    """
    if n < len(sizes):
        raise UsageError(
            "The sample is too small", f"{n} turns for {len(sizes)} strata", f"Draw at least {LEAST * len(sizes)}."
        )
    had = {name: (before or {}).get(name, 0) for name in sizes}
    wanted = {name: min(size, max(1, LEAST - had[name])) for name, size in sizes.items()}
    drawn = wanted if sum(wanted.values()) <= n else dict.fromkeys(sizes, 1)
    left = min(n, sum(sizes.values())) - sum(drawn.values())
    queue = [(-_gain(weights[name], had[name] + drawn[name]), name) for name in sizes if drawn[name] < sizes[name]]
    heapq.heapify(queue)
    while left:
        _, name = heapq.heappop(queue)
        drawn[name] += 1
        left -= 1
        if drawn[name] < sizes[name]:
            heapq.heappush(queue, (-_gain(weights[name], had[name] + drawn[name]), name))
    return drawn


def _gain(weight: float, count: int) -> float:
    # Strata that do not matter to the target are taken last, evenly.
    return (weight**2 + 1e-12) / (count * (count + 1))


def expect(strata: Sequence[Stratum], drawn: Mapping[str, float], *, confidence: float) -> dict[Target, Expected]:
    """The interval of each target after `drawn` turns of each stratum are reviewed in all.

    Targets whose denominator has no stratum are left out.
    """
    shares = guess_harm(strata)
    sides = {kind: [s for s in strata if s.is_triggered == kind] for kind in (True, False)}
    parts = {kind: _expect_share(side, shares, drawn, confidence) for kind, side in sides.items() if side}
    found: dict[Target, tuple[float, float, float]] = {}
    if True in parts:
        share, low, high = parts[True]
        found["wrong_block_share"] = (1 - share, 1 - high, 1 - low)
    if len(parts) == len(sides):
        caught, missed = (_total(*parts[kind], sum(s.size for s in side)) for kind, side in sides.items())
        composed = compose(caught, missed)
        for name in _COMPOSED:
            value, low, high = (float(column[0]) for column in composed[name])
            found[name] = (value, low, high)
    found["harm_prevalence"] = _expect_share(strata, shares, drawn, confidence)
    return {
        name: Expected(name, share, low, high, high - low)
        for name, (share, low, high) in ((name, found[name]) for name in TARGETS if name in found)
    }


def _total(share: float, low: float, high: float, whole: int) -> Total:
    return Total(*(np.array([part * whole], dtype=float) for part in (share, low, high, 1.0)))


def _expect_share(
    strata: Sequence[Stratum], shares: Mapping[str, float], drawn: Mapping[str, float], confidence: float
) -> tuple[float, float, float]:
    """Harmful share of the strata's turns with the bounds of its effective sample size."""
    size = sum(stratum.size for stratum in strata)
    share = sum(stratum.size * shares[stratum.name] for stratum in strata) / size
    counts, parts, p = (
        np.array(values, dtype=float)
        for values in zip(*((drawn[s.name], s.size, shares[s.name]) for s in strata), strict=True)
    )
    kept = 1 - counts / parts
    variance = float(np.sum((parts / size) ** 2 * kept * p * (1 - p) / counts))
    if variance == 0:
        return share, share, share
    bounds = exact_bounds(share, min(counts.sum(), share * (1 - share) / variance), confidence=confidence)
    # A stratum may turn out all alike, and then hides what it may.
    hidden = find_hidden(counts, parts / size, kept, confidence=confidence)
    unseen = Unseen(
        below=np.sum(p**counts * hidden, keepdims=True), above=np.sum((1 - p) ** counts * hidden, keepdims=True)
    )
    low, high = unseen.widen(
        *(np.array([value]) for value in (share, np.sqrt(variance), *bounds)), confidence=confidence
    )
    return share, float(low[0]), float(high[0])


def allocate_more(strata: Sequence[Stratum], *, n: int, target: str) -> dict[str, int]:
    """`allocate` for strata of which some turns were drawn before; those without any left are not in it."""
    return allocate(
        {s.name: s.left for s in strata if s.left},
        n=n,
        weights=weigh_strata(strata, target),
        before={s.name: s.covered for s in strata},
    )


def expect_after(
    strata: Sequence[Stratum],
    drawn: Mapping[str, int],
    *,
    confidence: float,
    worth: Mapping[Target, float] | None = None,
) -> dict[Target, Expected]:
    """The intervals after `drawn` more turns are reviewed.

    Args:
        strata: With what they have.
        drawn: Further turns of each stratum.
        confidence: Level.
        worth: How many new reviews one of those that are there is worth, by target (`weigh_reviews`); 1 where it is not named.
    """
    found: dict[Target, Expected] = {}
    for target in TARGETS:
        share = (worth or {}).get(target, 1.0)
        total = {s.name: min(s.size, share * s.covered + drawn.get(s.name, 0)) for s in strata}
        expected = expect([s for s in strata if total[s.name] > 0], total, confidence=confidence)
        found |= {name: rate for name, rate in expected.items() if name == target}
    return found


def weigh_reviews(
    strata: Sequence[Stratum], widths: Mapping[Target, float], *, confidence: float
) -> dict[Target, float]:
    """How many new reviews one of those that are there is worth, by target.

    Earlier reviews were drawn for other targets, from other strata, several from one conversation: today's interval, not their number, says
    what they are worth. They are taken to be so many that the expected interval is as wide as today's.

    Args:
        strata: With what they have.
        widths: Today's intervals, high minus low; targets without one are left out.
        confidence: Level.
    """
    found: dict[Target, float] = {}
    for target, width in widths.items():
        low, high = _LEAST_WORTH, _MOST_WORTH
        for _ in range(_HALVINGS):
            middle = math.sqrt(low * high)
            expected = expect_after(strata, {}, confidence=confidence, worth={target: middle}).get(target)
            is_too_few = expected is None or expected.width > width
            low, high = (middle, high) if is_too_few else (low, middle)
        found[target] = math.sqrt(low * high)
    return found


def find_budget(
    strata: Sequence[Stratum],
    *,
    target: Target,
    width: float,
    confidence: float,
    worth: Mapping[Target, float] | None = None,
) -> int | None:
    """The fewest further reviews after which the target's interval is expected to be at most `width` wide.

    Returns:
        None when `MOST_REVIEWS` would not do, or no stratum is in the target's denominator.
    """
    fewest = sum(stratum.left > 0 for stratum in strata)
    most = min(sum(stratum.left for stratum in strata), MOST_REVIEWS)

    def is_enough(n: int) -> bool:
        drawn = allocate_more(strata, n=n, target=target)
        found = expect_after(strata, drawn, confidence=confidence, worth=worth).get(target)
        return found is not None and found.width <= width

    if most == 0 or not is_enough(most):
        return None
    while fewest < most:
        middle = (fewest + most) // 2
        fewest, most = (fewest, middle) if is_enough(middle) else (middle + 1, most)
    return most
