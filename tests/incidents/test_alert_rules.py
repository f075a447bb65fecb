"""Rules of `weir.toml`, changed on the page or by command, and rules of another file."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from alert_traffic import START, put_hours
from case_house import ANA, LEA, House
from sqlmodel import select

from core.errors import AccessError, ConfigError, NotFoundError, UsageError
from incidents.alerts import desk
from incidents.alerts.rules import RuleInForce, change_rule, list_rules, read_rules, reset_rule
from incidents.alerts.watch import GRACE, evaluate_alerts
from incidents.models import AuditEntry


def find(house: House, name: str) -> RuleInForce:
    return next(entry for entry in list_rules(house.records, settings=house.settings) if entry.rule.name == name)


def test_rules_are_the_configured_ones_until_somebody_changes_them(house: House) -> None:
    entries = list_rules(house.records, settings=house.settings)
    assert [entry.rule for entry in entries] == list(house.settings.alerts)
    assert not any(entry.list_changed() for entry in entries)


def test_a_change_is_kept_audited_and_undone(house: House) -> None:
    change_rule(house.records, "latency", settings=house.settings, actor=LEA, at=START, limit=3.5)
    at = START + timedelta(hours=1)
    change_rule(house.records, "latency", settings=house.settings, actor=LEA, at=at, is_on=False, window_min=15)
    entry = find(house, "latency")
    assert (entry.rule.is_on, entry.rule.limit, entry.rule.window_min) == (False, 3.5, 15)
    assert (entry.configured.is_on, entry.configured.limit, entry.configured.window_min) == (True, None, 60)
    assert (entry.list_changed(), entry.changed_by, entry.changed_at) == (("is_on", "limit", "window_min"), "lea", at)
    reset_rule(house.records, "latency", settings=house.settings, actor=LEA, at=at)
    assert find(house, "latency") == RuleInForce(entry.configured, entry.configured)
    with house.records.session() as session:
        actions = [row.action for row in session.exec(select(AuditEntry)) if row.subject == "latency"]
    assert actions == ["alert.rule.change", "alert.rule.change", "alert.rule.reset"]


def test_what_is_judged_is_the_rule_in_force(house: House) -> None:
    end = put_hours(house.events, [10, 10], errors=1000)
    change_rule(house.records, "coverage", settings=house.settings, actor=LEA, at=START, is_on=False)
    change_rule(house.records, "errors", settings=house.settings, actor=LEA, at=START, limit=0.9)
    rules = tuple(rule for rule in house.settings.alerts if rule.name in ("coverage", "errors"))
    settings = house.settings.model_copy(update={"alerts": rules})
    assert evaluate_alerts(house.records, house.events, settings=settings, at=end + GRACE) == []
    assert desk.list_alerts(house.records, actor=ANA, at=end) == []


def test_what_is_refused(house: House) -> None:
    with pytest.raises(AccessError):
        change_rule(house.records, "latency", settings=house.settings, actor=ANA, at=START, limit=3.0)
    with pytest.raises(NotFoundError, match="nosuch"):
        change_rule(house.records, "nosuch", settings=house.settings, actor=LEA, at=START, limit=3.0)
    with pytest.raises(UsageError, match="window_min"):
        change_rule(house.records, "latency", settings=house.settings, actor=LEA, at=START, window_min=7)
    with pytest.raises(AccessError):
        reset_rule(house.records, "latency", settings=house.settings, actor=ANA, at=START)
    assert not any(entry.changed_by for entry in list_rules(house.records, settings=house.settings))


def test_rules_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "try.toml"
    path.write_text('[[alerts]]\nname = "a"\nkind = "silence"\nwindow_min = 15\n')
    (rule,) = read_rules(path)
    assert (rule.name, rule.kind, rule.window_min) == ("a", "silence", 15)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[[alerts]\n", "try.toml"),
        ("", "no rule"),
        ('[[alerts]]\nname = "a"\nkind = "noise"\n', "rule 1: kind"),
        ('[[alerts]]\nname = "a"\nkind = "silence"\n' * 2, "one name"),
    ],
)
def test_a_file_that_holds_no_rules_says_why(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "try.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=named):
        read_rules(path)
