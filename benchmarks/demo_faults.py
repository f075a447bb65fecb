"""Whether the shipped rules find a shift by a quarter and a silence in simulated traffic: `python -m benchmarks.demo_faults [--seeds 10]`.

A seed is a world of the demo's kind, with its texts, conversations, hostile users and rhythm of the day, at the volume of
a team that serves 30,000 turns a day. Its enforced classifier starts to trigger 1.25 times as often on the same texts,
and its guard model falls silent (`ingest.demo.world.make_fault_plan`). Rates are judged by day, silence by hour.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from datetime import datetime, timedelta

from benchmarks.alert_power import RATE_HOUR, SILENCE, open_stores
from benchmarks.quiet_weeks import store_simulation
from core.clock import to_utc
from core.settings import DEFAULT_ALERTS
from incidents.alerts.replay import replay_alerts
from ingest.demo.simulate import simulate
from ingest.demo.world import make_fault_plan

UNTIL = datetime.fromisoformat("2026-03-05T00:00:00")
TURNS_PER_DAY = 30_000
# A week of history, the least that daily windows are judged on, a day more, and the two days of the shift.
DAYS = 10
RATE_DAY = next(rule for rule in DEFAULT_ALERTS if rule.name == "rate-day")
RULES = (RATE_HOUR, RATE_DAY, SILENCE)


@dataclass(frozen=True, slots=True)
class Found:
    """What the rules raised in one world.

    Attributes:
        factor: By how much the shifted filter's rate truly moved.
        expected: Triggers that the silent filter's own rate leads one to expect in the first silent hour.
        shift_windows: Days after which the shift fired; None = not within two.
        silence_windows: Hours after which the silence fired; None = not while it lasted.
        others: Alarms about anything else.
    """

    factor: float
    expected: float
    shift_windows: int | None
    silence_windows: int | None
    others: int


def find_faults(seed: int, *, turns_per_day: int = TURNS_PER_DAY, days: int = DAYS) -> Found:
    """Replays the rules over the last two days of one world."""
    simulation = simulate(days, seed=seed, until=UNTIL, turns_per_day=turns_per_day, course=make_fault_plan)
    shift, silence = simulation.facts["shift"], simulation.facts["silence"]
    with open_stores() as (events, records):
        events.write(lambda connection: store_simulation(connection, simulation))
        alarms = replay_alerts(events, records, rules=RULES, since=UNTIL - timedelta(days=2), until=UNTIL)
    windows: dict[str, int] = {}
    others = 0
    for alarm in alarms:
        if alarm.filter_name == shift["filter_name"] and alarm.rule == RATE_DAY.name:
            windows["shift"] = (alarm.fired_at - _read(shift["since"])) // timedelta(days=1)
        elif alarm.filter_name == silence["filter_name"] and alarm.rule == SILENCE.name:
            windows["silence"] = (alarm.fired_at - _read(silence["since"])) // timedelta(hours=1)
        elif alarm.filter_name not in (shift["filter_name"], silence["filter_name"]):
            others += 1
    hours = (_read(silence["until"]) - _read(silence["since"])) / timedelta(hours=1)
    return Found(
        factor=shift["trigger_rate_after"] / shift["trigger_rate_before"],
        expected=silence["triggers_expected"] / hours,
        shift_windows=windows.get("shift"),
        silence_windows=windows.get("silence"),
        others=others,
    )


def _read(text: str) -> datetime:
    return to_utc(datetime.fromisoformat(text))


def main() -> None:
    """Prints a row for each seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--turns", type=int, default=TURNS_PER_DAY)
    parser.add_argument("--days", type=int, default=DAYS)
    arguments = parser.parse_args()
    print(
        "| seed | true factor | shift fired after days | silent hour expected | silence fired after hours | other alarms |"
    )
    print("|---|---|---|---|---|---|")
    for seed in range(1, arguments.seeds + 1):
        found = find_faults(seed, turns_per_day=arguments.turns, days=arguments.days)
        print(
            f"| {seed} | {found.factor:.3f} | {found.shift_windows or '–'} | {found.expected:.1f} "
            f"| {found.silence_windows or '–'} | {found.others} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
