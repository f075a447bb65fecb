"""The commands `weir ranking ...`: responses that people rank, and the pairs that follow."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from service import render
from service.arguments import build_query, get_operator
from service.invocation import absolute, emit, opened_home
from service.options import FilterOption, HomeOption, JsonOption, SinceOption, UntilOption

ranking_app = typer.Typer(help="Responses that people rank.", no_args_is_help=True)

SetArgument = Annotated[str, typer.Argument(metavar="SET", help="Name of the ranking set.")]


@ranking_app.command("import")
def import_prompts(
    file: Annotated[Path, typer.Argument(help="JSONL: prompt_id, prompt, responses (two to nine), request_id.")],
    ranking_set: Annotated[str | None, typer.Option("--set", help="Name of the set (default: the file's).")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Adds prompts with several responses each. Example: weir ranking import sample_rankings/prompts.jsonl --set money"""
    from core.clock import now
    from incidents.ranking.prompts import load_prompts, parse_prompts

    path = absolute(file)
    prompts = parse_prompts(path.read_text(encoding="utf-8"))
    with opened_home(home) as opened:
        summary = load_prompts(opened.records, ranking_set or path.stem, prompts, actor=get_operator(), at=now())
    document = asdict(summary)
    emit(as_json, document, lambda out: render.print_pairs(document, out))


@ranking_app.command("candidates")
def import_candidates(
    ranking_set: SetArgument,
    filters: FilterOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Adds logged turns whose model log holds other sampled responses. Example: weir ranking candidates samples --filter app=tutor"""
    from core.clock import now
    from incidents.ranking.prompts import find_candidates, load_prompts

    with opened_home(home) as opened:
        query = build_query(opened.settings, since=since, until=until, filters=filters)
        prompts = find_candidates(opened.events, query)
        summary = load_prompts(opened.records, ranking_set, prompts, actor=get_operator(), at=now())
    document = asdict(summary)
    emit(as_json, document, lambda out: render.print_pairs(document, out))


@ranking_app.command("answers")
def import_answers(
    ranking_set: SetArgument,
    file: Annotated[Path, typer.Argument(help="JSONL: prompt_id, rater, ranks (id to rank, 1 = best), rationale.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Brings in orders that people gave elsewhere. Example: weir ranking answers money sample_rankings/answers.jsonl"""
    from core.clock import now
    from incidents.ranking.answers import load_answers, parse_answers

    answers = parse_answers(absolute(file).read_text(encoding="utf-8"))
    with opened_home(home) as opened:
        count = load_answers(opened.records, ranking_set, answers, actor=get_operator(), at=now())
    document = {"ranking_set": ranking_set, "rankings": count}
    emit(as_json, document, lambda out: render.print_pairs(document, out))


@ranking_app.command("report")
def report(ranking_set: SetArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Prints progress, agreement and pairs of a set, without texts. Example: weir ranking report money"""
    from incidents.ranking.pairs import derive_pairs, describe_set
    from incidents.ranking.ranks import list_standing

    with opened_home(home) as opened:
        statistics = opened.settings.statistics
        facts = describe_set(
            opened.records, ranking_set, min_sample=statistics.min_sample, confidence=statistics.confidence
        )
        pairs = [asdict(pair) for pair in derive_pairs(list_standing(opened.records, ranking_set))]
    document: dict[str, Any] = {**facts, "rows": pairs}

    def show(out: TextIO) -> None:
        render.print_pairs(facts, out)
        render.print_rows(pairs, out, title="pairs")

    emit(as_json, document, show)
