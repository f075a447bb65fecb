"""The commands `weir calibration ...` and `weir guidelines ...`: how people come to judge alike."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Annotated, Any

import typer

from service import render
from service.arguments import get_operator
from service.invocation import emit, opened_home
from service.options import HomeOption, JsonOption, SeedOption

calibration_app = typer.Typer(help="Sets of cases that everybody judges.", no_args_is_help=True)
guidelines_app = typer.Typer(help="Versions of the reviewers' guidelines.", no_args_is_help=True)


@calibration_app.command("start")
def start(
    title: Annotated[str, typer.Option(help="What the round is about.")],
    n: Annotated[int, typer.Option("--n", min=2, max=200, help="Cases in it.")] = 20,
    seed: SeedOption = 0,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Begins a round: everybody is served its cases before others. Example: weir calibration start --title "Quotations" --n 20"""
    from core.clock import now
    from incidents.judgement.calibration import start_round

    with opened_home(home) as opened:
        round_id = start_round(opened.records, title=title, n=n, seed=seed, actor=get_operator(), at=now())
    document = {"round_id": round_id, "items": n}
    emit(as_json, document, lambda out: render.print_pairs(document, out))


@calibration_app.command("end")
def end(
    round_id: Annotated[str, typer.Argument(metavar="ROUND", help="Id, as `weir calibration show` lists it.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ends a round. Example: weir calibration end c1"""
    from core.clock import now
    from incidents.judgement.calibration import end_round

    with opened_home(home) as opened:
        end_round(opened.records, round_id, actor=get_operator(), at=now())
    emit(as_json, {"round_id": round_id}, lambda out: render.print_pairs({"round_id": round_id}, out))


@calibration_app.command("show")
def show(
    round_id: Annotated[str | None, typer.Argument(metavar="ROUND", help="Id; without it, all rounds.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Lists the rounds, or compares the answers of one, without names. Example: weir calibration show; weir calibration show c1"""
    from incidents.judgement.calibration import compare_round, list_rounds
    from metrics.report import plain

    with opened_home(home) as opened:
        if round_id is None:
            rows: Any = [plain(item.model_dump()) for item in list_rounds(opened.records, actor=get_operator())]
            emit(as_json, {"rounds": rows}, lambda out: render.print_rows(rows, out))
            return
        found = compare_round(opened.records, round_id, actor=get_operator(), statistics=opened.settings.statistics)
    document: Any = plain(_without_nan(asdict(found)))
    for item in document["items"]:
        item.pop("own")
    document.pop("own_accuracy")
    facts = {name: value for name, value in document.items() if name != "items"}

    def display(out: Any) -> None:
        render.print_pairs(facts, out)
        render.print_rows(document["items"], out)

    emit(as_json, document, display)


@guidelines_app.command("declare")
def declare(
    name: Annotated[str, typer.Argument(help="Name of the version, e.g. 2026-04.")],
    changed: Annotated[
        list[str] | None, typer.Option("--changed", help="Category whose meaning changed, or * for all; repeat.")
    ] = None,
    note: Annotated[str, typer.Option(help="What changed.")] = "",
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Declares the guidelines in force from now on. Example: weir guidelines declare 2026-04 --changed hate --note "Reclaimed slurs" """
    from core.clock import now
    from incidents.judgement.guidelines import declare_version

    with opened_home(home) as opened:
        done = declare_version(
            opened.records,
            opened.events,
            name=name,
            categories=changed or [],
            note=note,
            actor=get_operator(),
            at=now(),
        )
    document = asdict(done)
    emit(as_json, document, lambda out: render.print_pairs(document, out))


@guidelines_app.command("show")
def show_guidelines(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Lists the versions, and what is contested since, by category and reason. Example: weir guidelines show"""
    from incidents.judgement.guidelines import group_contested, list_versions
    from metrics.report import plain

    with opened_home(home) as opened:
        versions: Any = [plain(asdict(item)) for item in list_versions(opened.records, actor=get_operator())]
        contested: Any = [plain(asdict(item)) for item in group_contested(opened.records, actor=get_operator())]

    def display(out: Any) -> None:
        render.print_rows(versions, out, title="versions")
        render.print_rows(contested, out, title="contested")

    emit(as_json, {"versions": versions, "contested": contested}, display)


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nan(part) for name, part in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value
