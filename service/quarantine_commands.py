"""The commands `weir quarantine ...`."""

from __future__ import annotations

from typing import Annotated

import typer

from service import render
from service.arguments import get_operator
from service.invocation import OK, PARTLY, emit, opened_home
from service.options import HomeOption, JsonOption

quarantine_app = typer.Typer(help="Rejected records.", no_args_is_help=True)


@quarantine_app.command("list")
def quarantine_list(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Lists rejected records with reason, file and line. Example: weir quarantine list"""
    from ingest.quarantine import list_rejects
    from metrics.report import plain

    with opened_home(home) as opened:
        rows = list_rejects(opened.events).to_dicts()
    shown = [
        {key: row[key] for key in ("reject_id", "source", "file", "line_no", "reason", "field", "detail")}
        for row in rows
    ]
    emit(as_json, {"rejects": plain(rows)}, lambda out: render.print_rows(shown, out))


@quarantine_app.command("show")
def quarantine_show(
    reject_id: Annotated[str, typer.Argument(help="Id, or its first characters.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Shows one rejected record. Example: weir quarantine show 3f2a"""
    from core.clock import now
    from incidents.audit_log import note_deed
    from ingest.quarantine import get_reject
    from metrics.report import plain

    with opened_home(home) as opened:
        row = get_reject(opened.events, reject_id)
        note_deed(opened.records, "quarantine.reveal", str(row["reject_id"]), actor=get_operator(), at=now())
    emit(as_json, plain(row), lambda out: render.print_pairs(row, out))


@quarantine_app.command("ignore")
def quarantine_ignore(
    reject_ids: Annotated[list[str], typer.Argument(help="Ids, or their first characters.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sets rejected records aside that are no data; they stay stored. Example: weir quarantine ignore 3f2a 90bc"""
    from ingest.quarantine import get_reject
    from service.quarantine import ignore

    with opened_home(home) as opened:
        named = [str(get_reject(opened.events, reject_id)["reject_id"]) for reject_id in reject_ids]
        document = {"ignored": ignore(opened, named, actor=get_operator())}
    emit(as_json, document, lambda out: render.print_pairs(document, out))


@quarantine_app.command("retry")
def quarantine_retry(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Reads every rejected record again after a fix. Example: weir quarantine retry"""
    from service.quarantine import retry_all

    with opened_home(home) as opened:
        summary = retry_all(opened, actor=get_operator())
    emit(as_json, summary.to_json(), lambda out: render.print_pairs(summary.to_json(), out))
    raise typer.Exit(PARTLY if summary.rejected else OK)
