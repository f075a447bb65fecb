"""The command `weir sample`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, TextIO

import typer

from service import render
from service.arguments import build_query, get_operator
from service.invocation import emit, opened_home
from service.options import FilterOption, HomeOption, JsonOption, SinceOption, UntilOption


def draw_reviews(
    n: Annotated[int, typer.Option("--n", min=1, help="Turns to draw.")],
    filters: FilterOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    target: Annotated[
        str, typer.Option(help="Rate whose interval to make narrow, e.g. missed_harm_rate; balanced = all of them.")
    ] = "balanced",
    dry_run: Annotated[
        bool, typer.Option(help="Print the plan with the expected intervals, and draw nothing.")
    ] = False,
    seed: Annotated[
        int | None, typer.Option(help="Of the first draw; later ones share it, so that they add up.")
    ] = None,
    disagreements: Annotated[
        bool,
        typer.Option(help="Only turns that a shadow version and the enforced one, or a pair, decided differently."),
    ] = False,
    pair: Annotated[
        tuple[str, str] | None,
        typer.Option(help="With --disagreements: reference and candidate, each filter_name@version."),
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draws a stratified review sample into the triage queue. Example: weir sample --filter filter_name=blocklist --n 200; weir sample --n 300 --target missed_harm_rate --dry-run; weir sample --disagreements --n 50"""
    from dataclasses import replace
    from functools import partial

    from incidents.disagreements import read_disagreements
    from incidents.sampling import draw_sample, plan_sample
    from metrics.report import plain

    with opened_home(home) as opened:
        query = build_query(opened.settings, since=since, until=until, filters=filters)
        query = replace(query, pair=pair)
        stores, settings = (opened.records, opened.events), opened.settings
        read = partial(read_disagreements, opened.events, query) if disagreements else None
        if dry_run:
            summary = plan_sample(*stores, query, n=n, target=target, seed=seed, settings=settings, read=read).summary
        else:
            summary = draw_sample(
                *stores, query, n=n, target=target, seed=seed, settings=settings, actor=get_operator(), read=read
            )
    document: Any = plain(asdict(summary))

    def show(out: TextIO) -> None:
        render.print_pairs({key: value for key, value in document.items() if key not in ("strata", "expected")}, out)
        render.print_rows(document["strata"], out)
        render.print_rows(document["expected"], out)

    emit(as_json, document, show)
