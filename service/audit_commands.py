"""The commands `weir audit ...`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from service import render
from service.arguments import get_operator
from service.invocation import absolute, emit, opened_home
from service.options import HomeOption, JsonOption, SinceOption, UntilOption

audit_app = typer.Typer(help="Who changed or revealed what.", no_args_is_help=True)


@audit_app.command("verify")
def verify(
    heads: Annotated[
        Path | None, typer.Option(help="File of noted heads (default: audit-heads.jsonl of the home).")
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Finds a changed, deleted, moved or rewritten audit entry; status 1 when there is one. Example: weir audit verify"""
    from incidents.audit_log import HEADS, verify_audit

    with opened_home(home) as opened:
        check = verify_audit(opened.records, absolute(heads) if heads else opened.settings.home / HEADS)
    document: Any = asdict(check) | {"is_whole": check.broken is None}
    emit(as_json, document, lambda out: render.print_pairs(document, out))
    raise typer.Exit(0 if check.broken is None else 1)


@audit_app.command("list")
def list_entries(
    by: Annotated[str | None, typer.Option("--actor", help="Of this person only.")] = None,
    action: Annotated[str, typer.Option(help="Beginning of the action, for example case.")] = "",
    subject: Annotated[str | None, typer.Option(help="About this only: a case, an incident, a setting.")] = None,
    since: SinceOption = None,
    until: UntilOption = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="Most entries.")] = 100,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Lists audit entries, the newest first. Example: weir audit list --action case.reveal --since 7d"""
    from core.clock import parse_when
    from incidents.audit_log import list_audit
    from metrics.report import plain

    with opened_home(home) as opened:
        entries = list_audit(
            opened.records,
            actor=get_operator(),
            by=by,
            action=action,
            subject=subject,
            since=parse_when(since) if since else None,
            until=parse_when(until) if until else None,
            limit=limit,
        )
    rows: Any = [plain(asdict(entry)) for entry in entries]
    shown = [{name: row[name] for name in row if name != "digest"} for row in rows]
    emit(as_json, {"entries": rows}, lambda out: render.print_rows(shown, out))
