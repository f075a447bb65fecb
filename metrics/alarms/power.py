"""What a rule about rates can be expected to see of a subject: the smallest rise that it finds at its volume."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from metrics.alarms.grid import Integers
from metrics.estimate import Floats

POWER = 0.9
"""Probability with which a rise of the detectable factor is seen within two windows."""
# Factors between the least effect and this one are tried; beyond it nothing is said.
_LARGEST = 50.0
_STEPS = 24


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a window is expected to hold, as arrays of one shape; both are divided by the dispersion.

    Attributes:
        expected: Triggers expected in the window.
        before: Triggers of the windows that it is compared with.
    """

    expected: Floats
    before: Floats

    def at(self, windows: Integers) -> Prediction:
        """Of some windows only."""
        return Prediction(self.expected[:, windows], self.before[:, windows])

    def error(self, factor: Floats | float) -> Floats:
        """Standard error of the logarithm of the rate's ratio to the past when it is `factor` times the expected one."""
        found: Floats = np.sqrt(1 / np.maximum(factor * self.expected, 1e-9) + 1 / np.maximum(self.before, 1e-9))
        return found


def find_power(foreseen: Prediction, *, factor: Floats | float, chance: Floats, in_a_row: int) -> Floats:
    """Probability that a rate which is `factor` times as high breaches within two windows, and fires.

    Normal approximation of the logarithm of the ratio. In the second window the past holds the first one.

    Args:
        foreseen: What is expected.
        factor: Above 1 is a rise, below a fall.
        chance: P-value below which a window breaches.
        in_a_row: Windows that must breach: 1 or 2; more cannot fire within two.
    """
    surprise = -ndtri(chance / 2) * foreseen.error(1.0)
    # The first window's share of what the second one is compared with.
    share = foreseen.expected / np.maximum(foreseen.before, foreseen.expected + 1e-9)
    first, second = (
        ndtr((np.abs(np.log(ratio)) - surprise) / foreseen.error(factor))
        for ratio in (factor, factor / (1 + (factor - 1) * share))
    )
    found: Floats = 1 - (1 - first) * (1 - second) if in_a_row == 1 else first * second * (in_a_row == 2)
    return found


def find_detectable(foreseen: Prediction, *, effect: float, chance: Floats, in_a_row: int) -> Floats:
    """The smallest rise, as a factor of `effect` or more, that fires within two windows with probability `POWER`.

    Args:
        foreseen: What is expected.
        effect: Least ratio that matters.
        chance: P-value below which a window breaches.
        in_a_row: Windows that must breach.

    Returns:
        Factors; NaN where none up to 50 does.
    """
    low = np.full(foreseen.expected.shape, np.log(effect))
    high = np.full_like(low, np.log(_LARGEST))
    is_seen = find_power(foreseen, factor=np.exp(high), chance=chance, in_a_row=in_a_row) >= POWER
    at_once = find_power(foreseen, factor=effect, chance=chance, in_a_row=in_a_row) >= POWER
    for _ in range(_STEPS):
        middle = (low + high) / 2
        enough = find_power(foreseen, factor=np.exp(middle), chance=chance, in_a_row=in_a_row) >= POWER
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return np.where(is_seen, np.where(at_once, effect, np.exp(high)), np.nan)
