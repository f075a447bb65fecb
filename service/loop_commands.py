"""Commands that close the loop: `weir loop`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from service import render
from service.arguments import build_query, get_operator
from service.invocation import absolute, emit, opened_home, progress
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
