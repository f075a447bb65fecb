"""Reports on demo traffic against its truth, which no log holds."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pytest

from core.clock import to_utc
from core.events import EventStore
from core.records import RecordStore
from core.settings import DEFAULT_ALERTS, Settings
from incidents import MIGRATIONS
from incidents.alerts.replay import Replayed, replay_alerts
from ingest.demo.fill import fill_demo
from ingest.schema import create_tables
from metrics.overblocking import rank_rules
from metrics.query import Query
from metrics.run import run_report
from metrics.thresholds import find_smallest
from metrics.whatif import CheckVerdict, FilterChange, check_change

UNTIL = datetime(2026, 3, 2, 9)
# The simulated reviewers are wrong now and then: an interval holds what they would say of all turns, which is not quite the truth.
REVIEWER_ERROR = 0.002


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[EventStore, dict[str, Any]]]:
    home = Settings(home=tmp_path_factory.mktemp("demo"))
    events = EventStore(home.events_path, threads=1)
    create_tables(events)
    summary = fill_demo(events, settings=home, days=30, seed=1, until=UNTIL)
    yield events, {**summary.facts, "truth": pl.read_parquet(summary.folder / "demo_truth.parquet")}
    events.close()


def test_the_rule_that_blocks_too_much_is_number_one(demo: tuple[EventStore, dict[str, Any]]) -> None:
    events, facts = demo
    truth = facts["over_blocking"]
    rules = rank_rules(events, Query()).drop_nulls("rule_id")
    first = rules.row(0, named=True)
    assert (first["filter_name"], first["rule_id"]) == (truth["filter_name"], truth["rule_id"])
    assert first["triggered"] == truth["triggered"]
    assert first["low_per_day"] * 30 <= truth["wrong_blocks"] * 1.01
    assert first["high_per_day"] * 30 >= truth["wrong_blocks"] * 0.99


def test_a_blunt_exclusion_of_that_rule_is_refused_and_a_narrow_one_is_estimated_right(
    demo: tuple[EventStore, dict[str, Any]],
) -> None:
    events, facts = demo
    rule = (facts["over_blocking"]["filter_name"], facts["over_blocking"]["rule_id"])
    blunt = check_change(events, FilterChange(*rule, languages=("en",)))
    assert blunt.verdict is CheckVerdict.LOSES_TRUE_POSITIVES
    narrow = FilterChange(*rule, phrases=("lens", "lente", "from a script", "print job", "browser tab"))
    found = check_change(events, narrow)
    stopped = events.read(
        "SELECT request_id FROM checks JOIN turns USING (request_id) WHERE rule_id = $rule AND triggered "
        "AND regexp_matches(lower(prompt), $pattern)",
        {"rule": rule[1], "pattern": "|".join(narrow.phrases)},
    ).join(facts["truth"], on="request_id")
    assert found.spared == stopped.height > 20
    truly_benign = (~stopped["harmful"]).mean()
    assert found.wrong_share["low"] - REVIEWER_ERROR <= truly_benign <= found.wrong_share["high"] + REVIEWER_ERROR


def test_a_threshold_within_the_budget_is_within_it_in_truth(demo: tuple[EventStore, dict[str, Any]]) -> None:
    events, facts = demo
    version = facts["shadow"]["reference"]
    filters = (("filter_name", "toxicity-clf"), ("filter_version", version))
    smallest = find_smallest(run_report(events, "thresholds", Query(filters=filters, budget=0.01)).rows)
    scores = events.read(
        "SELECT request_id, max(score) AS score FROM checks WHERE filter_name = 'toxicity-clf' AND filter_version = $version "
        "AND score IS NOT NULL GROUP BY ALL",
        {"version": version},
    ).join(facts["truth"].filter(~pl.col("harmful")), on="request_id")
    assert smallest is not None
    assert (scores["score"] >= smallest).mean() <= 0.01
    # And not needlessly far from it: a tenth lower would break the budget.
    assert (scores["score"] >= smallest - 0.1).mean() > 0.01


def test_the_frontier_holds_the_truth_of_the_cascade(demo: tuple[EventStore, dict[str, Any]]) -> None:
    events, facts = demo
    cascade = run_report(events, "frontier", Query()).rows.row(0, named=True)
    stopped = events.read(
        "SELECT DISTINCT request_id FROM checks WHERE triggered AND enforced AND decision IN ('block', 'modify', 'escalate')"
    )["request_id"]
    truth = facts["truth"].with_columns(is_stopped=pl.col("request_id").is_in(stopped.implode()))
    blocked = truth.filter(~pl.col("harmful"))["is_stopped"].mean()
    missed = 1 - truth.filter("harmful")["is_stopped"].mean()
    assert cascade["point"] == "cascade"
    for name, true in (("benign_blocked_rate", blocked), ("missed_harm_rate", missed)):
        assert cascade[name]["low"] - REVIEWER_ERROR <= true <= cascade[name]["high"] + REVIEWER_ERROR, name


def test_the_rollups_hold_the_escalated_turns(demo: tuple[EventStore, dict[str, Any]]) -> None:
    events, _ = demo
    counted = run_report(events, "escalations", Query(by=("day",))).rows
    walked = events.read(
        "SELECT ts::DATE AS day, count(*) AS turns, count(*) FILTER (outcome = 'human_escalation' OR request_id IN ("
        "SELECT request_id FROM checks WHERE enforced AND decision = 'escalate')) AS escalated FROM turns GROUP BY 1 ORDER BY 1"
    )
    assert counted.select(walked.columns).rows() == walked.rows()
    assert walked["escalated"].sum() > 0


def test_the_shadow_version_is_judged_right(demo: tuple[EventStore, dict[str, Any]]) -> None:
    events, facts = demo
    truth = facts["shadow"]
    (row,) = run_report(events, "shadow", Query()).rows.to_dicts()
    assert row["reference"] == f"{truth['filter_name']}@{truth['reference']}"
    assert row["candidate"] == f"{truth['filter_name']}@{truth['candidate']}"
    assert row["verdict"] == truth["verdict"]
    assert row["pairs"] == truth["pairs"]


def test_an_experiment_without_an_effect_shows_none(demo: tuple[EventStore, dict[str, Any]]) -> None:
    events, facts = demo
    truth = facts["experiment"]
    control, arm = run_report(events, "experiment", Query()).rows.to_dicts()
    assert (control["experiment"], [control["arm"], arm["arm"]]) == (truth["name"], truth["arms"])
    assert control["srm_p_value"] > 0.001
    assert control["crossed"] == 0
    assert min(control["turns"], arm["turns"]) > 10_000
    assert arm["difference"]["low"] <= truth["effect"] <= arm["difference"]["high"]
    assert arm["sequential_low"] < arm["difference"]["low"] < arm["difference"]["high"] < arm["sequential_high"]
    guardrail = arm["guardrail_difference"]
    assert guardrail["low"] - REVIEWER_ERROR <= 0 <= guardrail["high"] + REVIEWER_ERROR
    assert arm["verdict"] == truth["verdict"]


def test_a_threshold_s_rates_hold_the_truth_of_the_one_in_force(demo: tuple[EventStore, dict[str, Any]]) -> None:
    events, facts = demo
    version = facts["shadow"]["reference"]
    query = Query(filters=(("filter_name", "toxicity-clf"), ("filter_version", version)))
    rows = {row["threshold"]: row for row in run_report(events, "thresholds", query).rows.to_dicts()}
    truth = facts["filters"]["toxicity-clf"]
    row = rows[0.8]
    assert row["triggers"] == truth["tp"] + truth["fp"]
    assert row["precision"]["low"] <= 1 - truth["wrong_block_share"] <= row["precision"]["high"]
    assert row["recall"]["low"] <= 1 - truth["missed_harm_rate"] <= row["recall"]["high"]


@pytest.fixture(scope="module")
def alarms(demo: tuple[EventStore, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> list[Replayed]:
    """What the shipped rules would have raised over the last week."""
    settings = Settings(home=tmp_path_factory.mktemp("alarms"))
    records = RecordStore(settings.records_url)
    records.upgrade(MIGRATIONS)
    found = replay_alerts(demo[0], records, rules=DEFAULT_ALERTS, since=UNTIL - timedelta(days=7), until=UNTIL)
    records.close()
    return found


def test_the_silent_filter_fires_in_the_first_window_that_can_tell(
    demo: tuple[EventStore, dict[str, Any]], alarms: list[Replayed]
) -> None:
    truth = demo[1]["silence"]
    since, until = (to_utc(datetime.fromisoformat(truth[name])) for name in ("since", "until"))
    (silence,) = [alarm for alarm in alarms if alarm.rule == "silence"]
    assert silence.filter_name == truth["filter_name"]
    assert since < silence.breached_at == silence.fired_at <= until
    # Two or three triggers an hour: before so many are missing, a silence is as likely as the false alarms that the
    # rule may raise. (With more traffic one hour is enough: `test_alert_power.py`.)
    assert "14 triggers expected" in silence.sentence
    assert silence.ended_at is not None
    assert until < silence.ended_at <= until + timedelta(hours=3)


def test_the_rule_that_blocks_too_much_is_found_by_its_rate_and_by_its_reviews(
    demo: tuple[EventStore, dict[str, Any]], alarms: list[Replayed]
) -> None:
    truth = demo[1]["over_blocking"]
    since = to_utc(datetime.fromisoformat(truth["since"]))
    found = [
        alarm for alarm in alarms if (alarm.filter_name, alarm.rule_id) == (truth["filter_name"], truth["rule_id"])
    ]
    assert {alarm.rule for alarm in found} >= {"rate-day", "wrong-blocks"}
    first = {alarm.rule: alarm.fired_at for alarm in reversed(found)}
    assert since < first["rate-day"] < since + timedelta(days=1)
    assert first["wrong-blocks"] < since + timedelta(days=2)


def test_nothing_else_fires(demo: tuple[EventStore, dict[str, Any]], alarms: list[Replayed]) -> None:
    culprits = {demo[1]["over_blocking"]["filter_name"], demo[1]["silence"]["filter_name"]}
    assert {alarm.filter_name for alarm in alarms} == culprits


def test_the_changes_are_those_that_were_made(demo: tuple[EventStore, dict[str, Any]]) -> None:
    blocking, shadow = demo[1]["over_blocking"], demo[1]["shadow"]
    rows = run_report(demo[0], "changes", Query()).rows.to_dicts()
    versions = {(row["name"], row["from"], row["to"]) for row in rows if row["what"] == "filter version"}
    assert versions == {
        (blocking["filter_name"], blocking["version_before"], blocking["version_after"]),
        (shadow["filter_name"], shadow["reference"], shadow["candidate"]),
    }
    rules = {row["name"]: row for row in rows if row["what"] == "rule"}
    # Version 41 brought the rules from 113 on; those that fire often enough are known to be new.
    assert blocking["rule_id"] in rules
    assert all("kw-113" <= name <= "kw-120" for name in rules)
    assert rules[blocking["rule_id"]]["difference"]["low"] > 0
    assert {row["what"] for row in rows} == {"filter version", "rule"}
