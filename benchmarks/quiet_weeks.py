"""False alarms of the shipped rules in quiet weeks: `python -m benchmarks.quiet_weeks [--seeds 100] [--rules rate-week silence]`.

A seed is a world of its own: five weeks of the demo's traffic in which nothing happens to the filters. The rules are
replayed over the last week; whatever they raise is false. The escalation backlog is left out: nobody works the queue
of a simulated week, so that it would rightly fire.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

from scipy.stats import chi2

from benchmarks.alert_power import open_stores
from core.events import Connection
from core.settings import DEFAULT_ALERTS, AlertRule
from incidents.alerts.kinds import KINDS
from incidents.alerts.replay import Replayed, replay_alerts
from ingest.demo.simulate import Simulation, simulate
from ingest.demo.world import make_quiet_plan
from metrics.alarms.grid import BASELINE

UNTIL = datetime.fromisoformat("2026-03-02T00:00:00")
WEEK = timedelta(days=7)
RULES = tuple(rule for rule in DEFAULT_ALERTS if rule.kind != "escalation_backlog")
FIRST_SEED = 10_001

# Straight into the tables, an order of magnitude faster than through ingest; the rules read nothing else.
_STATUS = "CASE decision WHEN 'error' THEN 'error' WHEN 'skipped' THEN 'not_run' ELSE 'ok' END"
_STORE = (
    f"""INSERT INTO checks BY NAME SELECT uuid() AS check_id, ts, request_id, conversation_id, layer, stage, filter_name,
    filter_version, rule_id, category, score, 'probability' AS score_kind, threshold, triggered, decision, enforced, mode,
    {_STATUS} AS status, latency_ms, model, 'demo' AS source, 1 AS ingest_id FROM filter_log""",
    """INSERT INTO turns BY NAME SELECT request_id, ts, conversation_id, model, app, language, outcome, 'demo' AS source,
    true AS is_logged, 1 AS ingest_id FROM model_log""",
    """INSERT INTO labels BY NAME SELECT uuid() AS label_id, ts, request_id, conversation_id, reviewer, harmful, selection,
    stratum, inclusion_probability, 'demo' AS source, 1 AS ingest_id FROM label_log""",
    """INSERT INTO check_rollup BY NAME SELECT date_trunc('minute', ts) AS minute, filter_name, filter_version, layer,
    stage, mode, rule_id, category, model, source, count(*) FILTER (status = 'ok') AS evaluated,
    count(*) FILTER (triggered) AS triggered, count(*) FILTER (enforced) AS enforced,
    count(*) FILTER (status = 'error') AS errors, count(*) FILTER (status = 'not_run') AS not_run, 0 AS undecided
    FROM checks GROUP BY ALL""",
)


def find_false_alarms(seed: int, *, rules: Sequence[AlertRule] = RULES) -> list[Replayed]:
    """What the rules raise in the quiet week of one seed."""
    days = (BASELINE + WEEK).days
    simulation = simulate(days, seed=seed, until=UNTIL, course=make_quiet_plan)
    with open_stores() as (events, records):
        events.write(lambda connection: store_simulation(connection, simulation))
        return replay_alerts(events, records, rules=rules, since=UNTIL - WEEK, until=UNTIL)


def store_simulation(connection: Connection, simulation: Simulation) -> None:
    """Puts simulated logs straight into the tables that rules read."""
    for name in ("filter_log", "model_log", "label_log"):
        connection.register(name, getattr(simulation, name).to_arrow())
    for statement in _STORE:
        connection.execute(statement)


def bound_rate(alarms: int, weeks: int) -> tuple[float, float]:
    """The exact 95 % interval of a Poisson rate per week (Garwood 1936)."""
    low = float(chi2.ppf(0.025, 2 * alarms)) / 2 if alarms else 0.0
    return low / weeks, float(chi2.ppf(0.975, 2 * alarms + 2)) / 2 / weeks


def main() -> None:
    """Prints a table of false alarms per rule, and every one of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=FIRST_SEED)
    parser.add_argument("--rules", nargs="+", default=[rule.name for rule in RULES])
    arguments = parser.parse_args()
    rules = [rule for rule in RULES if rule.name in arguments.rules]
    counts: Counter[str] = Counter()
    for place in range(arguments.seeds):
        for alarm in find_false_alarms(arguments.first + place, rules=rules):
            counts[alarm.rule] += 1
            name = " · ".join(part for part in (alarm.filter_name, alarm.rule_id) if part)
            print(
                f"seed {arguments.first + place}: {alarm.rule}: {name} {alarm.sentence} ({alarm.fired_at})", flush=True
            )
        print(f"{place + 1} of {arguments.seeds} weeks", file=sys.stderr, flush=True)
    print("| rule | false alarms | per week | 95 % interval | configured |\n|---|---|---|---|---|")
    for rule in rules:
        low, high = bound_rate(counts[rule.name], arguments.seeds)
        configured = f"{rule.false_alarms_per_week:g}" if KINDS[rule.kind].has_false_alarm_rate else "–"
        alarms = counts[rule.name]
        print(f"| `{rule.name}` | {alarms} | {alarms / arguments.seeds:.3f} | {low:.3f}–{high:.3f} | {configured} |")


if __name__ == "__main__":
    main()
