"""What a rule says about one subject in one window."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple


class Subject(NamedTuple):
    """What an alert is about: a filter, one of its rules, or a source; all None = everything.

    Attributes:
        filter_name: The filter, as logged.
        rule_id: The filter's rule, as logged; None = the whole filter.
        source: The source of logs, of an alert about one.
    """

    filter_name: str | None
    rule_id: str | None
    source: str | None


@dataclass(frozen=True, slots=True)
class Judgement:
    """One row of `metrics.alarms.grid.SCHEMA`."""

    end: datetime
    filter_name: str | None
    rule_id: str | None
    source: str | None = None
    is_breached: bool | None = None
    observed: float | None = None
    expected: float | None = None
    trials: float | None = None
    p_value: float | None = None
    detectable: float | None = None

    @property
    def subject(self) -> Subject:
        """What it is about."""
        return Subject(self.filter_name, self.rule_id, self.source)

    def evidence(self) -> dict[str, float]:
        """The numbers behind it that are known."""
        numbers = {
            "observed": self.observed,
            "expected": self.expected,
            "trials": self.trials,
            "p_value": self.p_value,
            "detectable": self.detectable,
        }
        return {name: value for name, value in numbers.items() if value is not None}


def fill_windows(
    judged: Sequence[Judgement], ends: Sequence[datetime], *, also: Iterable[Subject] = ()
) -> dict[Subject, list[Judgement]]:
    """Judgements by subject, one for each window; where the rule says nothing, one that cannot tell.

    Args:
        judged: In order of subject.
        ends: Ends of the windows, ascending.
        also: Subjects to list even if no window speaks of them.
    """
    said: dict[Subject, dict[datetime, Judgement]] = {}
    for found in judged:
        said.setdefault(found.subject, {})[found.end] = found
    for subject in also:
        said.setdefault(subject, {})
    return {subject: [found.get(end) or Judgement(end, *subject) for end in ends] for subject, found in said.items()}
