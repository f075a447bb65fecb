"""Commands that close the loop: `weir loop`, `weir regress`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from service import render
from service.arguments import build_query, get_operator
from service.invocation import FAILED, OK, PARTLY, absolute, emit, opened_home, progress
from service.options import FilterOption, HomeOption, JsonOption, SinceOption, UntilOption


def close_loop(
    folder: Annotated[Path, typer.Argument(help="Feedback set that `weir export classifier` built.")],
    filters: FilterOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    keep: Annotated[
        float, typer.Option(help="Share of harmful training turns that must stay caught; sets the threshold.")
    ] = 0.95,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Trains a classifier on a set, runs it in shadow over held-out traffic, and compares it with a rule. Example: weir loop set/ --filter filter_name=blocklist --filter rule_id=kw-113"""
    from incidents.loop.run import run_loop
    from incidents.reviews import mirror_votes

    with opened_home(home) as opened, progress("reading") as advance:
        mirror_votes(opened.records, opened.events, settings=opened.settings)
        result = run_loop(
            opened.events,
            opened.records,
            absolute(folder),
            build_query(opened.settings, since=since, until=until, filters=filters),
            settings=opened.settings,
            actor=get_operator(),
            keep=keep,
            on_progress=advance,
        )
    document: dict[str, Any] = result.to_json()

    def show(out: TextIO) -> None:
        facts = ("training", "candidate", "stage", "threshold", "heldout", "counts", "reviewed", "log")
        render.print_pairs({name: document[name] for name in facts}, out)
        render.print_rows(document["rows"], out, title="before and after, on the same held-out turns")
        render.print_rows(document["verdicts"], out, title="verdicts")

    emit(as_json, document, show)


def check_regressions(
    against: Annotated[Path, typer.Option(help="Log of the candidate: filter_log, or any format that yields checks.")],
    filters: FilterOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    reopen: Annotated[
        bool, typer.Option("--reopen", help="Put the cases that came back into the queue again.")
    ] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Checks a candidate filter's log against every confirmed verdict; status 1 when something came back, 3 when it left cases out. Example: weir regress --against candidate.jsonl --filter filter_name=blocklist"""
    from core.clock import now
    from incidents.loop.regression import CAME_BACK, Finding, check_candidate, read_candidate, reopen_cases
    from incidents.reviews import mirror_votes

    with opened_home(home) as opened:
        mirror_votes(opened.records, opened.events, settings=opened.settings)
        candidate = read_candidate(absolute(against), settings=opened.settings)
        query = build_query(opened.settings, since=since, until=until, filters=filters)
        report = check_candidate(opened.events, opened.records, candidate, query)
        came_back = report.of(*CAME_BACK)
        document: dict[str, Any] = {**report.to_json(), "reopened": 0}
        if reopen:
            turns = came_back["request_id"].to_list()
            document["reopened"] = reopen_cases(
                opened.records, turns, candidate=report.candidate, actor=get_operator(), at=now()
            )

    def show(out: TextIO) -> None:
        facts = ("candidate", "pinned_to", "cases", "counts", "rejections", "reopened")
        render.print_pairs({name: document[name] for name in facts}, out)
        render.print_rows(document["came_back"], out, title="came back")

    emit(as_json, document, show)
    is_whole = not report.counts[Finding.NOT_EVALUATED.value] and not report.rejected
    raise typer.Exit(FAILED if came_back.height else OK if is_whole else PARTLY)
