"""Whether the shipped rules find a shift by a quarter and a silence in demo traffic: `python -m benchmarks.demo_faults [--seeds 20]`.

A seed is a world of the demo's kind, with its texts, conversations, hostile users and rhythm of the day, at the demo's
volume. Its enforced classifier starts to trigger 1.25 times as often on the same texts, and its guard model falls silent
(`ingest.demo.world.make_fault_plan`). At 2,000 turns a day it is the weeks that can tell so small a shift; with
`--rule rate-day --turns 30000` the same is asked of days.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from benchmarks.alert_power import RATE_HOUR, SILENCE, open_stores
from benchmarks.quiet_weeks import store_simulation
from core.clock import to_utc
from core.settings import DEFAULT_ALERTS, AlertRule
from incidents.alerts.replay import replay_alerts
from ingest.demo.simulate import simulate
from ingest.demo.world import TURNS_PER_DAY, make_fault_plan
from metrics.alarms.grid import BASELINE

RATE_DAY, RATE_WEEK = (next(rule for rule in DEFAULT_ALERTS if rule.name == name) for name in ("rate-day", "rate-week"))
RATES = (RATE_HOUR, RATE_DAY, RATE_WEEK)
# The last windows end here: a Monday, and a Thursday so that no day of the shift is one of the weekend.
_UNTIL = {
    RATE_WEEK.name: datetime.fromisoformat("2026-03-02T00:00:00"),
    RATE_DAY.name: datetime.fromisoformat("2026-03-05T00:00:00"),
}
_WINDOWS = 2


@dataclass(frozen=True, slots=True)
class Found:
    """What the rules raised in one world.

    Attributes:
        factor: By how much the shifted filter's rate truly moved.
        shift_windows: Windows of the rule after which the shift fired; None = not within two.
        expected: Triggers of the silent filter that its own rate leads one to expect in an hour.
        silence_hours: Hours after which the silence fired; None = not while it lasted.
        others: Alarms about anything else.
    """

    factor: float
    shift_windows: int | None
    expected: float
    silence_hours: int | None
    others: int


def find_faults(seed: int, *, rule: AlertRule = RATE_WEEK, turns_per_day: int = TURNS_PER_DAY) -> Found:
    """Replays the rules over two windows of `rule`, in which one world's filter has shifted, after four weeks of history."""
    window, until = timedelta(minutes=rule.window_min), _UNTIL[rule.name]
    span = _WINDOWS * window
    simulation = simulate(
        (BASELINE + span).days,
        seed=seed,
        until=until,
        turns_per_day=turns_per_day,
        course=partial(make_fault_plan, shift_days=span.days),
    )
    shift, silence = simulation.facts["shift"], simulation.facts["silence"]
    with open_stores() as (events, records):
        events.write(lambda connection: store_simulation(connection, simulation))
        alarms = replay_alerts(events, records, rules=(*RATES, SILENCE), since=until - span, until=until)
    shift_windows = silence_hours = None
    others = 0
    for alarm in alarms:
        if alarm.filter_name == shift["filter_name"] and alarm.rule == rule.name:
            shift_windows = (alarm.fired_at - _read(shift["since"])) // window
        elif alarm.filter_name == silence["filter_name"] and alarm.rule == SILENCE.name:
            silence_hours = (alarm.fired_at - _read(silence["since"])) // timedelta(hours=1)
        elif alarm.filter_name not in (shift["filter_name"], silence["filter_name"]):
            others += 1
    hours = (_read(silence["until"]) - _read(silence["since"])) / timedelta(hours=1)
    return Found(
        factor=shift["trigger_rate_after"] / shift["trigger_rate_before"],
        shift_windows=shift_windows,
        expected=silence["triggers_expected"] / hours,
        silence_hours=silence_hours,
        others=others,
    )


def _read(text: str) -> datetime:
    return to_utc(datetime.fromisoformat(text))


def main() -> None:
    """Prints a row for each seed, and the share of worlds in which the shift was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--turns", type=int, default=TURNS_PER_DAY)
    parser.add_argument("--rule", choices=list(_UNTIL), default=RATE_WEEK.name)
    arguments = parser.parse_args()
    rule = next(rule for rule in RATES if rule.name == arguments.rule)
    print("| seed | true factor | shift fired after windows | an hour expects | silence fired after hours | others |")
    print("|---|---|---|---|---|---|")
    found = []
    for seed in range(1, arguments.seeds + 1):
        world = find_faults(seed, rule=rule, turns_per_day=arguments.turns)
        found.append(world)
        print(
            f"| {seed} | {world.factor:.3f} | {world.shift_windows or '–'} | {world.expected:.1f} "
            f"| {world.silence_hours or '–'} | {world.others} |",
            flush=True,
        )
    seen = sum(world.shift_windows is not None for world in found)
    print(f"Shift found within two windows of `{rule.name}`: {seen} of {len(found)} worlds.")


if __name__ == "__main__":
    main()
