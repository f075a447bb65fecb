"""The commands `weir notify ...`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from service import render
from service.arguments import get_operator
from service.invocation import emit, opened_home, progress
from service.options import HomeOption, JsonOption

notify_app = typer.Typer(help="Telling people what happens.", no_args_is_help=True)

_SHOWN = ("created_at", "target", "event", "state", "attempts", "title", "error")


@notify_app.command("test")
def send_test(
    target: Annotated[str, typer.Argument(help="Name of a [[notify]] entry.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sends a message that says it is a test, at once. Example: weir notify test oncall"""
    from core.clock import now
    from incidents.notify.outbox import add_test
    from incidents.notify.sending import send_now
    from metrics.report import plain

    with opened_home(home) as opened, progress("sending"):
        key = add_test(opened.records, target, settings=opened.settings, actor=get_operator(), at=now())
        outcome = send_now(opened.records, key, settings=opened.settings, at=now())
    document: Any = plain(asdict(outcome))
    emit(as_json, document, lambda out: render.print_pairs(document, out))
    raise typer.Exit(1 if outcome.error else 0)


@notify_app.command("log")
def list_log(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Most rows.")] = 50,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Lists messages, the newest first, with how they fared. Example: weir notify log"""
    from incidents.notify.outbox import list_deliveries
    from metrics.report import plain

    with opened_home(home) as opened:
        views = list_deliveries(opened.records, actor=get_operator(), limit=limit)
    rows: Any = [plain(asdict(view)) for view in views]
    shown = [{name: row[name] for name in _SHOWN} for row in rows]
    emit(as_json, {"deliveries": rows}, lambda out: render.print_rows(shown, out))
