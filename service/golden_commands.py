"""The commands `weir golden ...`: items whose verdict is known."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from service import render
from service.arguments import get_operator
from service.invocation import absolute, emit, opened_home
from service.options import HomeOption, JsonOption

golden_app = typer.Typer(help="Items whose verdict is known, served among the others.", no_args_is_help=True)

CaseArgument = Annotated[str, typer.Argument(metavar="CASE", help="Id, as `weir golden list` shows it.")]


@golden_app.command("import")
def import_items(
    file: Annotated[Path, typer.Argument(help="label_log whose rows have the selection golden.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Makes golden items of known verdicts; their turns must have been ingested. Example: weir golden import golden.jsonl"""
    from core.clock import now
    from incidents.judgement.golden import pin_imported
    from ingest.files import ingest_paths

    with opened_home(home) as opened:
        summary = ingest_paths(
            opened.events, [absolute(file)], settings=opened.settings, format_key="label_log", source="golden"
        )
        done = pin_imported(opened.records, opened.events, settings=opened.settings, actor=get_operator(), at=now())
    document = {"read": summary.read, "rejected": summary.rejected, **asdict(done)}
    emit(as_json, document, lambda out: render.print_pairs(document, out))
    raise typer.Exit(3 if summary.rejected or done.unlogged else 0)


@golden_app.command("pin")
def pin(
    case: Annotated[str, typer.Argument(metavar="CASE", help="An adjudicated case.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Makes a golden item of an adjudicated case. Example: weir golden pin 3f2a9c01b7de"""
    from core.clock import now
    from incidents.judgement.golden import pin_case

    with opened_home(home) as opened:
        pin_case(opened.records, case, actor=get_operator(), at=now())
    emit(as_json, {"case_id": case}, lambda out: render.print_pairs({"case_id": case}, out))


@golden_app.command("retire")
def retire(case: CaseArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Serves a golden item no more. Example: weir golden retire 3f2a9c01b7de"""
    from core.clock import now
    from incidents.judgement.golden import retire_item

    with opened_home(home) as opened:
        retire_item(opened.records, case, actor=get_operator(), at=now())
    emit(as_json, {"case_id": case}, lambda out: render.print_pairs({"case_id": case}, out))


@golden_app.command("list")
def list_all(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Lists the golden items in use. Example: weir golden list"""
    from incidents.judgement.golden import list_items
    from metrics.report import plain

    with opened_home(home) as opened:
        items = list_items(opened.records, actor=get_operator())
    rows: Any = [plain(item.model_dump(exclude={"retired_at"})) for item in items]
    emit(as_json, {"items": rows}, lambda out: render.print_rows(rows, out))


@golden_app.command("accuracy")
def accuracy(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Prints how accurately golden items are judged, in aggregate. Example: weir golden accuracy"""
    from incidents.judgement.golden import measure_accuracy

    with opened_home(home) as opened:
        found = measure_accuracy(opened.records, actor=get_operator(), statistics=opened.settings.statistics)
    rows = [{"category": name, "accuracy": rate} for name, rate in [("all", found.all), *found.by_category]]
    document = {"items": found.items, "people": found.people, "rows": rows}
    emit(as_json, document, lambda out: render.print_rows(rows, out))
