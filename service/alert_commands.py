"""The commands `weir alerts ...`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service import render
from service.arguments import get_operator
from service.invocation import absolute, emit, opened_home, progress
from service.options import HomeOption, JsonOption, SinceOption, UntilOption

if TYPE_CHECKING:
    from incidents.alerts.rules import RuleInForce

alerts_app = typer.Typer(help="Rules that watch the filters.", no_args_is_help=True)

AlertArgument = Annotated[str, typer.Argument(metavar="ALERT", help="Id, as `weir alerts list` shows it.")]
_SHOWN_OF_RULE = (
    "name",
    "kind",
    "is_on",
    "limit",
    "window_min",
    "windows",
    "filters",
    "changed",
    "changed_by",
    "changed_at",
)
_SHOWN = (
    "alert_id",
    "state",
    "rule_name",
    "filter_name",
    "rule_id",
    "source",
    "since",
    "sentence",
    "acked_by",
    "silenced_until",
)


@alerts_app.command("list")
def list_all(
    is_all: Annotated[bool, typer.Option("--all", help="Those that are over, too.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Lists alerts, those that fire first. Example: weir alerts list"""
    from core.clock import now
    from incidents.alerts.desk import list_alerts
    from metrics.report import plain

    with opened_home(home) as opened:
        views = list_alerts(opened.records, actor=get_operator(), at=now(), with_ok=is_all)
    rows: Any = [plain(asdict(view)) for view in views]
    shown = [{name: row[name] for name in _SHOWN} for row in rows]
    emit(as_json, {"alerts": rows}, lambda out: render.print_rows(shown, out))


@alerts_app.command("rules")
def rules(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Lists the rules in force. Example: weir alerts rules"""
    from incidents.alerts.rules import list_rules

    with opened_home(home) as opened:
        rows = [_describe_rule(entry) for entry in list_rules(opened.records, settings=opened.settings)]
    shown = [{name: row[name] for name in _SHOWN_OF_RULE} for row in rows]
    emit(as_json, {"rules": rows}, lambda out: render.print_rows(shown, out))


@alerts_app.command("power")
def power(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Says how small a rise of each filter's rate the rules see within two windows, with 90 %. Example: weir alerts power"""
    from core.clock import now
    from incidents.alerts.reach import list_reach
    from incidents.alerts.rules import list_rules
    from metrics.report import plain
    from service.jobs import find_moment

    with opened_home(home) as opened:
        in_force = [entry.rule for entry in list_rules(opened.records, settings=opened.settings)]
        at = find_moment(opened.events, at=now())
        found = list_reach(opened.records, opened.events, rules=in_force, at=at)
    rows: Any = [plain(row) for row in found.to_dicts()]
    emit(as_json, {"power": rows}, lambda out: render.print_rows(rows, out))


@alerts_app.command("set")
def set_rule(
    rule: Annotated[str, typer.Argument(help="Name, as `weir alerts rules` shows it.")],
    is_on: Annotated[bool | None, typer.Option("--on/--off", help="Whether it is judged.")] = None,
    limit: Annotated[float | None, typer.Option(help="Where it breaches, in the kind's unit.")] = None,
    window_min: Annotated[int | None, typer.Option(help="Minutes of a window.")] = None,
    is_reset: Annotated[bool, typer.Option("--reset", help="Back to what weir.toml says.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Changes a rule without weir.toml; audited. Example: weir alerts set latency --limit 3"""
    from core.clock import now
    from core.errors import UsageError
    from incidents.alerts.rules import change_rule, reset_rule

    if is_reset == any(value is not None for value in (is_on, limit, window_min)):
        raise UsageError("Nothing to set, or too much", rule, "Give --on, --off, --limit or --window-min, or --reset.")
    with opened_home(home) as opened:
        settings, actor = opened.settings, get_operator()
        if is_reset:
            entry = reset_rule(opened.records, rule, settings=settings, actor=actor, at=now())
        else:
            entry = change_rule(
                opened.records,
                rule,
                settings=settings,
                actor=actor,
                at=now(),
                is_on=is_on,
                limit=limit,
                window_min=window_min,
            )
    document = _describe_rule(entry)
    emit(as_json, document, lambda out: render.print_pairs(document, out))


def _describe_rule(entry: RuleInForce) -> dict[str, Any]:
    from incidents.alerts.kinds import get_limit
    from metrics.report import plain

    return {
        **entry.rule.model_dump(mode="json"),
        "limit": get_limit(entry.rule),
        "changed": list(entry.list_changed()),
        "changed_by": entry.changed_by,
        "changed_at": plain(entry.changed_at),
        "configured": {
            "is_on": entry.configured.is_on,
            "limit": get_limit(entry.configured),
            "window_min": entry.configured.window_min,
        },
    }


@alerts_app.command("replay")
def replay(
    since: SinceOption = "7d",
    until: UntilOption = None,
    rules_file: Annotated[
        Path | None, typer.Option("--rules", metavar="FILE", help="Rules to try: a TOML file with [[alerts]].")
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Lists the alarms that the rules would have raised. Example: weir alerts replay --since 30d; weir alerts replay --rules try.toml"""
    from core.clock import now, parse_when
    from incidents.alerts.replay import replay_alerts
    from incidents.alerts.rules import list_rules, read_rules
    from metrics.report import plain

    with opened_home(home) as opened, progress("replaying") as advance:
        if rules_file is None:
            chosen = [entry.rule for entry in list_rules(opened.records, settings=opened.settings)]
        else:
            chosen = list(read_rules(absolute(rules_file)))
        found = replay_alerts(
            opened.events,
            opened.records,
            rules=chosen,
            since=parse_when(since or "7d"),
            until=parse_when(until) if until else now(),
            on_progress=advance,
        )
    rows: Any = [plain(asdict(item)) for item in found]
    emit(as_json, {"alarms": rows}, lambda out: render.print_rows(rows, out))


@alerts_app.command("ack")
def acknowledge(alert: AlertArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Notes that you have taken an alert up. Example: weir alerts ack 3f2a9c01b7de"""
    from core.clock import now
    from incidents.alerts.desk import acknowledge_alert

    with opened_home(home) as opened:
        acknowledge_alert(opened.records, alert, actor=get_operator(), at=now())
    document = {"alert_id": alert, "acked_by": get_operator().name}
    emit(as_json, document, lambda out: render.print_pairs(document, out))


@alerts_app.command("silence")
def silence(
    alert: AlertArgument,
    until: Annotated[str, typer.Option(help="End of the silence, ISO 8601; at most 30 days ahead.")],
    reason: Annotated[str, typer.Option(help="Why nobody needs to be told.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Silences an alert; it is judged all the same. Example: weir alerts silence 3f2a9c01b7de --until 2026-03-03 --reason "known fault" """
    from core.clock import isoformat, now, parse_when
    from incidents.alerts.desk import silence_alert

    end = parse_when(until)
    with opened_home(home) as opened:
        silence_alert(opened.records, alert, actor=get_operator(), until=end, reason=reason, at=now())
    document = {"alert_id": alert, "silenced_until": isoformat(end)}
    emit(as_json, document, lambda out: render.print_pairs(document, out))
