"""The commands `weir changes ...`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from service import render
from service.arguments import build_query, get_operator
from service.invocation import emit, opened_home
from service.options import FilterOption, HomeOption, JsonOption, SinceOption, UntilOption

changes_app = typer.Typer(help="What changed about the filters.", no_args_is_help=True)


@changes_app.command("add")
def add(
    at: Annotated[str, typer.Option(help="When it took effect: ISO 8601, or an age such as 2h.")],
    note: Annotated[str, typer.Option(help="What was done.")],
    filter_name: Annotated[str | None, typer.Option("--filter", help="The filter (default: all).")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Registers a change that no log tells. Example: weir changes add --at 2026-03-02T09:12Z --filter blocklist --note "list cleaned" """
    from core.clock import isoformat, now, parse_when
    from incidents.changes import register_change

    with opened_home(home) as opened:
        row = register_change(
            opened.records, at=parse_when(at), filter_name=filter_name, note=note, actor=get_operator(), now=now()
        )
    document = {"at": isoformat(row.at), "filter_name": row.filter_name, "note": row.note}
    emit(as_json, document, lambda out: render.print_pairs(document, out))


@changes_app.command("list")
def list_all(
    since: SinceOption = None,
    until: UntilOption = None,
    filters: FilterOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Lists changes, seen in the data or registered, with trigger rates before and after. Example: weir changes list --since 30d"""
    from incidents.changes import list_registered
    from metrics.changes import list_changes
    from metrics.report import plain

    with opened_home(home) as opened:
        query = build_query(opened.settings, since=since, until=until, filters=filters)
        rows = list_changes(opened.events, query, noted=tuple(list_registered(opened.records)))
    found: Any = [plain(row) for row in rows.to_dicts()]
    emit(as_json, {"changes": found}, lambda out: render.print_rows(found, out))
