"""Commands about the constitution and its stress tests: `weir constitution`, `weir stress`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from core.errors import UsageError
from service import render
from service.arguments import get_operator
from service.invocation import absolute, emit, opened_home, progress
from service.options import HomeOption, JsonOption

constitution_app = typer.Typer(help="Principles that verdicts cite.", no_args_is_help=True)
stress_app = typer.Typer(help="Adversarial prompts against the principles.", no_args_is_help=True)

SuiteArgument = Annotated[str, typer.Argument(help="Name of the suite.")]
ArmOption = Annotated[str, typer.Option(help="Name of the run.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Ask the model; without it, only the estimate is printed.")]


@constitution_app.command("adopt")
def adopt(
    file: Annotated[Path, typer.Argument(help="TOML file with the principles.")],
    note: Annotated[str, typer.Option(help="Why it changed.")] = "",
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Records a file as the next version. Example: weir constitution adopt sample_suites/financial-literacy/constitution.toml"""
    from core.clock import now
    from incidents.constitution.principles import list_versions, parse_constitution, save_constitution

    constitution = parse_constitution(absolute(file).read_text(encoding="utf-8"))
    with opened_home(home) as opened:
        versions = list_versions(opened.records)
        number = save_constitution(
            opened.records,
            opened.settings,
            constitution,
            actor=get_operator(),
            at=now(),
            base=versions[0].number if versions else 0,
            note=note,
        )
    document = {"version": number, "principles": len(constitution.principles)}
    emit(as_json, document, lambda out: render.print_pairs(document, out))


@constitution_app.command("show")
def show(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Prints the coverage matrix: what stands behind each principle. Example: weir constitution show"""
    from incidents.constitution.coverage import build_coverage
    from incidents.reviews import mirror_votes

    with opened_home(home) as opened:
        mirror_votes(opened.records, opened.events, settings=opened.settings)
        rows = build_coverage(opened.events, opened.records, settings=opened.settings).to_dicts()
    emit(as_json, {"principles": rows}, lambda out: render.print_rows(rows, out))


@constitution_app.command("history")
def history(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Lists the versions, newest first. Example: weir constitution history"""
    from core.clock import isoformat
    from incidents.constitution.principles import list_versions

    with opened_home(home) as opened:
        versions = list_versions(opened.records)
    rows = [
        {
            "version": item.number,
            "at": isoformat(item.at),
            "author": item.author,
            "changes": item.changes,
            "note": item.note,
        }
        for item in versions
    ]
    emit(as_json, {"versions": rows}, lambda out: render.print_rows(rows, out))


@stress_app.command("load")
def load(
    file: Annotated[Path, typer.Argument(help="JSONL file: prompt_id, principle_id, prompt, attack.")],
    suite: Annotated[str | None, typer.Option(help="Name of the suite (default: the file's folder).")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Stores a suite of adversarial prompts. Example: weir stress load sample_suites/financial-literacy/prompts.jsonl"""
    from core.clock import now
    from incidents.constitution.suites import load_suite

    path = absolute(file)
    with opened_home(home) as opened:
        summary = load_suite(
            opened.records,
            suite or path.parent.name,
            path.read_text(encoding="utf-8"),
            actor=get_operator(),
            at=now(),
        )
    document = asdict(summary)
    emit(as_json, document, lambda out: render.print_pairs(document, out))


@stress_app.command("run")
def run(
    suite: SuiteArgument,
    arm: ArmOption,
    with_constitution: Annotated[
        bool, typer.Option("--with-constitution", help="Give the model the principles as its system prompt.")
    ] = False,
    is_confirmed: YesOption = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Puts a suite to the configured model. Example: weir stress run financial-literacy --arm before --yes"""
    from incidents.constitution.asking import plan_asking, run_asking
    from incidents.constitution.endpoint import Endpoint
    from incidents.constitution.principles import read_constitution

    with opened_home(home) as opened, progress("asking") as advance:
        constitution = read_constitution(opened.settings) if with_constitution else None
        if with_constitution and constitution is None:
            raise UsageError("There is no constitution", "", "Try: weir constitution adopt FILE.")
        endpoint = Endpoint(opened.settings.critique)
        work = plan_asking(opened.events, opened.records, suite=suite, arm=arm, constitution=constitution)
        document: dict[str, Any] = {"estimate": asdict(work.estimate(opened.settings)), "known": work.known}
        if is_confirmed:
            document["asked"] = run_asking(
                opened.events,
                opened.records,
                work,
                endpoint,
                settings=opened.settings,
                actor=get_operator(),
                on_progress=advance,
            )
    emit(as_json, document, lambda out: render.print_pairs(document, out))


@stress_app.command("critique")
def critique(
    suite: SuiteArgument,
    arm: ArmOption,
    is_confirmed: YesOption = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Has the model criticise and revise a run's answers. Example: weir stress critique financial-literacy --arm before --yes"""
    from incidents.constitution.critique import plan_critique, run_critique
    from incidents.constitution.endpoint import Endpoint

    with opened_home(home) as opened, progress("criticising") as advance:
        endpoint = Endpoint(opened.settings.critique)
        work = plan_critique(opened.events, opened.records, settings=opened.settings, suite=suite, arm=arm)
        document: dict[str, Any] = {"estimate": asdict(work.estimate(opened.settings)), "known": work.known}
        if is_confirmed:
            done = run_critique(opened.records, work, endpoint, actor=get_operator(), on_progress=advance)
            document |= asdict(done)
    emit(as_json, document, lambda out: render.print_pairs(document, out))


@stress_app.command("report")
def report(
    suite: SuiteArgument,
    before: Annotated[str, typer.Option(help="Run before the change.")] = "before",
    after: Annotated[str | None, typer.Option(help="Run after the change.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Prints violation rates per principle, their change, and the gaps. Example: weir stress report financial-literacy --after after"""
    from incidents.constitution.stress import build_stress_report
    from incidents.reviews import mirror_votes

    with opened_home(home) as opened:
        mirror_votes(opened.records, opened.events, settings=opened.settings)
        found = build_stress_report(
            opened.events, opened.records, settings=opened.settings, suite=suite, before=before, after=after
        )
    document = asdict(found)

    def display(out: Any) -> None:
        render.print_rows([_flatten(row) for row in found.rows], out, title=suite)
        render.print_rows(found.gaps, out, title="gaps")

    emit(as_json, document, display)


def _flatten(row: dict[str, Any]) -> dict[str, Any]:
    """A row for a table: the change and its test in columns of their own."""
    shown = {key: value for key, value in row.items() if key != "change"}
    change = row["change"]
    if change is None or change["estimate"] is None:
        return {**shown, "change": None, "pairs": None, "p_value": None}
    text = f"{change['estimate']:+z.1%} ({change['low']:+z.1%} to {change['high']:+z.1%})"
    return {**shown, "change": text, "pairs": change["pairs"], "p_value": change["p_value"]}
