"""The commands `weir alerts ...`."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from core.clock import isoformat, now
from core.events import Connection
from incidents.alerts.watch import GRACE, evaluate_alerts
from service.home import Home
from tests.service.commands import run

END = (now() - GRACE).replace(minute=0, second=0, microsecond=0)
_HOURS = """INSERT INTO check_rollup BY NAME
SELECT $end::TIMESTAMP - to_hours(i::INTEGER) AS minute, 'guard' AS filter_name, 'guard_llm' AS layer, 'enforce' AS mode,
    'log' AS source, 500 AS evaluated, 5 AS triggered, 5 AS enforced, CASE WHEN i < 3 THEN 500 ELSE 0 END AS errors,
    0 AS not_run, 0 AS undecided FROM range(1, 6) t(i)"""

_STEADY = """INSERT INTO check_rollup BY NAME
SELECT $end::TIMESTAMP - to_hours(i::INTEGER) AS minute, 'guard' AS filter_name, 'guard_llm' AS layer, 'enforce' AS mode,
    'log' AS source, 1000 AS evaluated, 40 AS triggered, 40 AS enforced, 0 AS errors, 0 AS not_run, 0 AS undecided
    FROM range(1, 1000) t(i)"""


@pytest.fixture
def failing(home: Home) -> Home:
    """A home one of whose filters has failed in half of its checks for two hours."""

    def work(connection: Connection) -> None:
        connection.execute(_HOURS, {"end": END})

    home.events.write(work)
    rules = tuple(rule for rule in home.settings.alerts if rule.name == "errors")
    evaluate_alerts(home.records, home.events, settings=home.settings.model_copy(update={"alerts": rules}), at=now())
    return home


def test_list__says_what_fires_and_why(failing: Home) -> None:
    (alert,) = run("alerts", "list", "--json", home=failing).document["alerts"]
    assert (alert["rule_name"], alert["state"], alert["filter_name"]) == ("errors", "firing", "guard")
    assert alert["sentence"] == "failed in 50.0% of 1,000; the limit is 2.0%"
    assert alert["evidence"]["observed"] == 0.5
    assert alert["group_id"]
    assert "failed in 50.0%" in run("alerts", "list", home=failing).out


def test_ack_and_silence(failing: Home) -> None:
    (alert,) = run("alerts", "list", "--json", home=failing).document["alerts"]
    assert run("alerts", "ack", alert["alert_id"], "--json", home=failing).document["acked_by"]
    until = isoformat(now() + timedelta(days=1))
    refused = run("alerts", "silence", alert["alert_id"], "--until", until, "--reason", " ", home=failing)
    assert (refused.status, refused.out) == (2, "")
    done = run("alerts", "silence", alert["alert_id"], "--until", until, "--reason", "known", "--json", home=failing)
    assert done.document == {"alert_id": alert["alert_id"], "silenced_until": until}
    (alert,) = run("alerts", "list", "--json", home=failing).document["alerts"]
    assert (alert["state"], alert["silence_reason"]) == ("silenced", "known")
    assert run("alerts", "ack", "nosuch", home=failing).status == 1


def test_rules_and_set__say_what_was_changed(home: Home) -> None:
    rows = run("alerts", "rules", "--json", home=home).document["rules"]
    assert [row["name"] for row in rows] == [rule.name for rule in home.settings.alerts]
    assert all(row["limit"] is not None and row["changed"] == [] for row in rows)
    changed = run("alerts", "set", "latency", "--limit", "3", "--off", "--json", home=home).document
    assert (changed["limit"], changed["is_on"], changed["changed"]) == (3.0, False, ["is_on", "limit"])
    assert changed["configured"] == {"is_on": True, "limit": 2.0, "window_min": 60}
    (row,) = [row for row in run("alerts", "rules", "--json", home=home).document["rules"] if row["changed"]]
    assert row["name"] == "latency"
    assert run("alerts", "set", "latency", "--reset", "--json", home=home).document["changed"] == []
    for arguments in (("latency",), ("latency", "--reset", "--on"), ("latency", "--window-min", "7")):
        assert run("alerts", "set", *arguments, home=home).status == 2
    assert run("alerts", "set", "nosuch", "--on", home=home).status == 1


def test_replay__lists_what_would_have_fired_and_keeps_nothing(failing: Home, tmp_path: Path) -> None:
    before = run("alerts", "list", "--all", "--json", home=failing).document
    alarms = run("alerts", "replay", "--since", "1d", "--json", home=failing).document["alarms"]
    (errors,) = [alarm for alarm in alarms if alarm["rule"] == "errors"]
    assert errors["filter_name"] == "guard"
    assert datetime.fromisoformat(errors["fired_at"]).replace(tzinfo=None) == END
    assert errors["ended_at"] is None
    (tmp_path / "try.toml").write_text('[[alerts]]\nname = "strict"\nkind = "coverage"\nlimit = 0.9\n')
    tried = run(
        "alerts", "replay", "--since", "1d", "--rules", "try.toml", "--json", home=failing, folder=tmp_path
    ).document["alarms"]
    assert [alarm["rule"] for alarm in tried] == ["strict"]
    assert run("alerts", "list", "--all", "--json", home=failing).document == before
    missing = run("alerts", "replay", "--rules", "nowhere.toml", home=failing, folder=tmp_path)
    assert (missing.status, missing.out) == (1, "")
    assert "nowhere.toml" in missing.err


def test_power__says_how_small_a_rise_each_rule_sees(home: Home) -> None:
    def work(connection: Connection) -> None:
        connection.execute(_STEADY, {"end": END})

    home.events.write(work)
    rows = run("alerts", "power", "--json", home=home).document["power"]
    assert [(row["rule"], row["window_min"]) for row in rows] == [
        ("rate-hour", 60),
        ("rate-day", 1440),
        ("rate-week", 10080),
    ]
    hour, day, week = (row["detectable"] for row in rows)
    assert hour > day >= week >= 1.25
    assert rows[0]["expected"] == pytest.approx(40, rel=0.01)
    assert run("alerts", "set", "rate-hour", "--off", home=home).status == 0
    assert len(run("alerts", "power", "--json", home=home).document["power"]) == 2
