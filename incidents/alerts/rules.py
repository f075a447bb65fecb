"""The rules in force: those of `weir.toml`, with what a lead changed since."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from sqlmodel import select

from core.errors import ConfigError, NotFoundError, UsageError
from core.records import RecordStore
from core.settings import AlertRule, Settings
from incidents.alerts.models import AlertOverride
from incidents.audit import change
from incidents.people import Actor, Role

CHANGEABLE = ("is_on", "limit", "window_min")
"""What of a rule can be changed without `weir.toml`."""


@dataclass(frozen=True, slots=True)
class RuleInForce:
    """A rule as it is judged.

    Attributes:
        rule: What is judged.
        configured: What `weir.toml` says, or ships.
        changed_by: Who changed it since; None = nobody.
        changed_at: When, naive UTC.
    """

    rule: AlertRule
    configured: AlertRule
    changed_by: str | None = None
    changed_at: datetime | None = None

    def list_changed(self) -> tuple[str, ...]:
        """Names out of `CHANGEABLE` in which it differs from what is configured."""
        return tuple(name for name in CHANGEABLE if getattr(self.rule, name) != getattr(self.configured, name))


def list_rules(records: RecordStore, *, settings: Settings) -> list[RuleInForce]:
    """The configured rules, in their order, each with what was changed since."""
    with records.session() as session:
        overrides = {row.rule_name: row for row in session.exec(select(AlertOverride))}
    return [_apply(rule, overrides.get(rule.name)) for rule in settings.alerts]


def change_rule(
    records: RecordStore,
    name: str,
    *,
    settings: Settings,
    actor: Actor,
    at: datetime,
    is_on: bool | None = None,
    limit: float | None = None,
    window_min: int | None = None,
) -> RuleInForce:
    """Changes what is given of a rule until it is reset; audited. The rule starts anew at its next window.

    Raises:
        NotFoundError: No rule has the name.
        UsageError: A value is not one that the rule could have in `weir.toml`.
    """
    actor.require(Role.LEAD)
    configured = _find(settings, name)
    given = {"is_on": is_on, "limit": limit, "window_min": window_min}
    with change(records, actor=actor, at=at) as current:
        row = current.session.get(AlertOverride, name)
        if row is None:
            row = AlertOverride(
                rule_name=name, is_on=None, limit=None, window_min=None, changed_by=actor.name, changed_at=at
            )
        for key, value in given.items():
            if value is not None:
                setattr(row, key, value)
        row.changed_by, row.changed_at = actor.name, at
        _check(configured, row)
        current.session.add(row)
        current.record("alert.rule.change", name, {key: value for key, value in given.items() if value is not None})
        return _apply(configured, row)


def reset_rule(records: RecordStore, name: str, *, settings: Settings, actor: Actor, at: datetime) -> RuleInForce:
    """Lets a rule be what `weir.toml` says again; audited.

    Raises:
        NotFoundError: No rule has the name.
    """
    actor.require(Role.LEAD)
    configured = _find(settings, name)
    with change(records, actor=actor, at=at) as current:
        row = current.session.get(AlertOverride, name)
        if row is not None:
            current.session.delete(row)
            current.record("alert.rule.reset", name)
    return RuleInForce(configured, configured)


def read_rules(path: Path) -> tuple[AlertRule, ...]:
    """The rules of a TOML file with tables `[[alerts]]`, as in `weir.toml`.

    Raises:
        ConfigError: It cannot be read, or a rule in it is invalid.
    """
    try:
        tables: Any = tomllib.loads(path.read_text(encoding="utf-8")).get("alerts")
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError("Rules cannot be read", f"{path}: {error}") from error
    if not isinstance(tables, list) or not tables:
        raise ConfigError("Rules cannot be read", f"{path}: no rule", "Write each rule as a table [[alerts]].")
    rules = []
    for number, table in enumerate(tables, start=1):
        try:
            rules.append(AlertRule.model_validate(table))
        except ValidationError as error:
            raise ConfigError("A rule is invalid", f"{path}: rule {number}: {_explain(error)}") from error
    names = [rule.name for rule in rules]
    if len(set(names)) != len(names):
        raise ConfigError("A rule is invalid", f"{path}: two rules have one name")
    return tuple(rules)


def _apply(configured: AlertRule, row: AlertOverride | None) -> RuleInForce:
    if row is None:
        return RuleInForce(configured, configured)
    return RuleInForce(_merge(configured, row), configured, row.changed_by, row.changed_at)


def _merge(configured: AlertRule, row: AlertOverride) -> AlertRule:
    changed = {name: getattr(row, name) for name in CHANGEABLE if getattr(row, name) is not None}
    return configured.model_copy(update=changed)


def _check(configured: AlertRule, row: AlertOverride) -> None:
    try:
        AlertRule.model_validate(_merge(configured, row).model_dump())
    except ValidationError as error:
        raise UsageError(
            "Not a rule", _explain(error), "Choose a window that divides a day, or a week: 5, 15, 60, 1440, 10080."
        ) from error


def _find(settings: Settings, name: str) -> AlertRule:
    for rule in settings.alerts:
        if rule.name == name:
            return rule
    raise NotFoundError("No such rule", repr(name), f"Rules: {', '.join(rule.name for rule in settings.alerts)}.")


def _explain(error: ValidationError) -> str:
    first = error.errors()[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
