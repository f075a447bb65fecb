"""The command `weir report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from core.errors import ConfigError
from service import render
from service.arguments import build_query, get_operator
from service.invocation import absolute, emit, opened_home
from service.options import FilterOption, HomeOption, JsonOption, SinceOption, UntilOption

if TYPE_CHECKING:
    from ibis.backends import BaseBackend


def print_report(
    name: Annotated[str, typer.Argument(help="Report; see docs/reports.md.")],
    by: Annotated[list[str] | None, typer.Option(help="Dimension to group by; repeat for several.")] = None,
    since: SinceOption = None,
    until: UntilOption = None,
    filters: FilterOption = None,
    field: Annotated[str, typer.Option(help="agreement: harmful, category or severity.")] = "harmful",
    groups: Annotated[
        str | None,
        typer.Option(
            help="agreement: within each group of reviewers by what they declared: languages, regions or expertise."
        ),
    ] = None,
    pair: Annotated[
        tuple[str, str] | None, typer.Option(help="shadow: reference and candidate, each filter_name@version.")
    ] = None,
    budget: Annotated[
        float | None, typer.Option(help="thresholds: largest benign-blocked rate, a share such as 0.01.")
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(help="Another store of the tables: clickhouse://host:8123/database; see docs/clickhouse.md."),
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="CSV file to write, besides what is printed.")] = None,
    html: Annotated[Path | None, typer.Option(help="HTML file to write that prints, likewise.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Prints one report's numbers with intervals and coverage. Example: weir report errors --by filter_name --json; weir report transparency --since 30d --csv dsa.csv --html dsa.html"""
    from dataclasses import replace

    from core.clock import now
    from incidents.audit_log import note_deed
    from incidents.judgement.profiles import group_reviewers
    from incidents.response.document import write_html
    from metrics import REPORTS
    from service.report_files import build_document, write_csv
    from service.reports import run_home_report

    with opened_home(home) as opened:
        query = build_query(opened.settings, since=since, until=until, filters=filters, by=by)
        query = replace(query, field=field, pair=pair, budget=budget)
        if groups is not None:
            query = replace(query, groups=group_reviewers(opened.records, groups))
        result = run_home_report(opened, name, query, engine=_open(engine))
        if written := [kind for kind, path in (("csv", csv), ("html", html)) if path is not None]:
            note_deed(opened.records, "report.export", name, {"kinds": written}, actor=get_operator(), at=now())
    document: Any = result.to_json()
    if csv is not None:
        # A byte order mark, without which spreadsheets take the file for another encoding.
        absolute(csv).write_text(write_csv(result), encoding="utf-8-sig", newline="")
    if html is not None:
        absolute(html).write_text(write_html(build_document(result, REPORTS[name])), encoding="utf-8")

    def show(out: TextIO) -> None:
        render.print_rows(document["rows"], out, title=name)
        render.print_pairs({"coverage": document["coverage"]}, out)
        for note in document["notes"]:
            render.print_pairs({"note": note}, out)

    emit(as_json, document, show)


def _open(url: str | None) -> BaseBackend | None:
    if url is None:
        return None
    try:
        from core.clickhouse import open_clickhouse
    except ImportError as error:
        raise ConfigError("ClickHouse's client is not installed", str(error), "Install weir[clickhouse].") from error
    return open_clickhouse(url)
