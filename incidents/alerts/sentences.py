"""What an alert says, after its subject's name: the numbers that made a window breach."""

from __future__ import annotations

from collections.abc import Callable

from incidents.alerts.judgement import Judgement


def say_rate(found: Judgement, _limit: float) -> str:
    observed, expected = found.observed or 0.0, found.expected or 0.0
    times = f", {_times(observed / expected)}" if expected >= 1 else ""
    return f"triggered {observed:,.0f} times; {_count(expected)} expected{times} (n {found.trials or 0:,.0f})"


def say_silence(found: Judgement, _limit: float) -> str:
    return f"has not triggered in {found.trials or 0:,.0f} checks; {_count(found.expected or 0)} triggers expected"


def say_no_data(found: Judgement, _limit: float) -> str:
    return f"ran no check; {found.expected or 0:,.0f} expected"


def say_no_turns(found: Judgement, _limit: float) -> str:
    return f"no turn was logged; {found.expected or 0:,.0f} expected"


def say_source_stopped(found: Judgement, _limit: float) -> str:
    return f"brought nothing; {found.expected or 0:,.0f} records expected"


def say_share(what: str) -> Callable[[Judgement, float], str]:
    def say(found: Judgement, limit: float) -> str:
        return f"{what} {found.observed or 0:.1%} of {found.trials or 0:,.0f}; the limit is {limit:.1%}"

    return say


def say_latency(found: Judgement, _limit: float) -> str:
    return (
        f"took {found.observed or 0:,.0f} ms at the 95th percentile; {found.expected or 0:,.0f} ms in the week before "
        f"(n {found.trials or 0:,.0f})"
    )


def say_drift(found: Judgement, _limit: float) -> str:
    return f"scores moved: PSI {found.observed or 0:.2f} over {found.trials or 0:,.0f} scores; the limit is {found.expected or 0:.2f}"


def say_backlog(found: Judgement, _limit: float) -> str:
    noun = "escalation waits" if found.trials == 1 else "escalations wait"
    return f"{found.trials or 0:,.0f} {noun} for a person, the oldest for {found.observed or 0:,.0f} min"


def _count(number: float) -> str:
    return f"{number:,.0f}" if number >= 10 else f"{number:.1f}"


def _times(ratio: float) -> str:
    return f"{ratio:.1f}x" if ratio >= 2 else f"{ratio:.2f}x"
