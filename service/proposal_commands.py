"""The commands `weir proposals ...`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal, TextIO

import typer

from service import render
from service.arguments import get_operator
from service.invocation import emit, opened_home
from service.options import HomeOption, JsonOption

if TYPE_CHECKING:
    from incidents.proposals import ProposalView
    from metrics.whatif import ChangeCheck, FilterChange
    from service.home import Home

proposals_app = typer.Typer(help="Proposed changes of filters.", no_args_is_help=True)

FilterNameOption = Annotated[str, typer.Option("--filter-name", help="Filter that is to change.")]
RuleOption = Annotated[str | None, typer.Option("--rule", help="Rule that the exclusion belongs to (default: all).")]
VersionOption = Annotated[str | None, typer.Option("--filter-version", help="Version whose scores count.")]
PhraseOption = Annotated[
    list[str] | None,
    typer.Option("--phrase", help="Exclude texts that hold this, upper or lower case; repeat for alternatives."),
]
LanguageOption = Annotated[
    list[str] | None, typer.Option("--language", help="Exclude turns in this language; repeat for alternatives.")
]
AppOption = Annotated[
    list[str] | None, typer.Option("--app", help="Exclude turns of this application; repeat for alternatives.")
]
ThresholdOption = Annotated[float | None, typer.Option("--threshold", help="Score from which a turn triggers.")]
ProposalArgument = Annotated[int, typer.Argument(metavar="PROPOSAL", help="Number, as `weir proposals list` shows it.")]


@proposals_app.command("list")
def list_all(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Lists proposals, newest first. Example: weir proposals list"""
    from incidents.proposals import list_proposals

    with opened_home(home) as opened:
        views = list_proposals(opened.records, actor=get_operator())
    emit(
        as_json,
        {"proposals": [view.to_json() for view in views]},
        lambda out: render.print_rows([_summarise(view) for view in views], out),
    )


@proposals_app.command("show")
def show(proposal: ProposalArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Shows one proposal with the frozen numbers of its check. Example: weir proposals show 1"""
    from incidents.proposals import get_proposal

    with opened_home(home) as opened:
        view = get_proposal(opened.records, proposal, actor=get_operator())
    _emit_proposal(view, as_json)


@proposals_app.command("check")
def check(
    filter_name: FilterNameOption,
    rule: RuleOption = None,
    filter_version: VersionOption = None,
    phrases: PhraseOption = None,
    languages: LanguageOption = None,
    apps: AppOption = None,
    threshold: ThresholdOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Says what a change would have done to all labelled turns. Example: weir proposals check --filter-name blocklist --rule kw-113 --phrase "kill a process" """
    from metrics.report import plain
    from metrics.whatif import explain_check

    proposed = _build_change(filter_name, rule, filter_version, phrases, languages, apps, threshold)
    with opened_home(home) as opened:
        checked = _check(opened, proposed)
    document: Any = plain(asdict(checked))
    emit(
        as_json,
        document,
        lambda out: render.print_pairs({"finding": explain_check(document), **document}, out),
    )


@proposals_app.command("add")
def add(
    filter_name: FilterNameOption,
    reason: Annotated[str, typer.Option(help="Why the change is needed.")],
    rule: RuleOption = None,
    filter_version: VersionOption = None,
    phrases: PhraseOption = None,
    languages: LanguageOption = None,
    apps: AppOption = None,
    threshold: ThresholdOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Records a proposal with the numbers of its check. Example: weir proposals add --filter-name blocklist --rule kw-113 --language en --reason "refuses photographers" """
    from core.clock import now
    from incidents.proposals import add_proposal

    proposed = _build_change(filter_name, rule, filter_version, phrases, languages, apps, threshold)
    with opened_home(home) as opened:
        checked = _check(opened, proposed)
        view = add_proposal(opened.records, proposed, checked, reason=reason, actor=get_operator(), at=now())
    _emit_proposal(view, as_json)


@proposals_app.command("decide")
def decide(
    proposal: ProposalArgument,
    state: Annotated[Literal["tried", "accepted", "rejected"], typer.Option(help="What becomes of it.")],
    note: Annotated[str, typer.Option(help="Why.")],
    experiment: Annotated[str | None, typer.Option(help="With tried: the experiment's name in the model log.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Decides a proposal. Example: weir proposals decide 1 --state tried --experiment kw113-exclusion --note "one week" """
    from core.clock import now
    from incidents.enums import ProposalState
    from incidents.proposals import decide_proposal

    with opened_home(home) as opened:
        view = decide_proposal(
            opened.records,
            proposal,
            state=ProposalState(state),
            note=note,
            experiment=experiment,
            actor=get_operator(),
            at=now(),
        )
    _emit_proposal(view, as_json)


def _build_change(
    filter_name: str,
    rule: str | None,
    filter_version: str | None,
    phrases: list[str] | None,
    languages: list[str] | None,
    apps: list[str] | None,
    threshold: float | None,
) -> FilterChange:
    from metrics.whatif import FilterChange

    return FilterChange(
        filter_name,
        rule_id=rule,
        filter_version=filter_version,
        phrases=tuple(phrases or ()),
        languages=tuple(languages or ()),
        apps=tuple(apps or ()),
        threshold=threshold,
    )


def _check(home: Home, proposed: FilterChange) -> ChangeCheck:
    from metrics.whatif import check_change

    statistics = home.settings.statistics
    return check_change(home.events, proposed, min_sample=statistics.min_sample, confidence=statistics.confidence)


def _summarise(view: ProposalView) -> dict[str, Any]:
    return {
        "proposal": view.proposal_id,
        "state": view.state.value,
        "filter_name": view.change.filter_name,
        "rule_id": view.change.rule_id,
        "terms": view.change.terms(),
        "check": view.checked["verdict"],
        "by": view.history[0].actor,
        "reason": view.reason,
    }


def _emit_proposal(view: ProposalView, as_json: bool) -> None:
    from metrics.whatif import explain_check

    def show(out: TextIO) -> None:
        render.print_pairs({**_summarise(view), "finding": explain_check(view.checked)}, out)
        render.print_pairs(view.checked, out)
        render.print_rows([{"at": str(item.at), **asdict(item)} for item in view.history], out, title="history")

    emit(as_json, view.to_json(), show)
