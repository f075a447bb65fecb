"""The commands `weir cases ...`: the queue for scripts and for tools that judge elsewhere. They show no logged text."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from core.errors import UsageError
from service import render
from service.arguments import get_operator, get_reviewer
from service.invocation import emit, opened_home
from service.options import HomeOption, JsonOption

if TYPE_CHECKING:
    from incidents.views import CaseView

cases_app = typer.Typer(help="What waits for a person, and verdicts about it.", no_args_is_help=True)

CaseArgument = Annotated[str, typer.Argument(metavar="CASE", help="Id, as `weir cases next` shows it.")]
ReviewerOption = Annotated[str | None, typer.Option(help="Who judges (default: you).")]
VersionOption = Annotated[
    int | None, typer.Option(help="Version that was looked at; refused when the case has changed since.")
]
_HIDDEN = ("evidence", "harmful", "verdict_category")
_LISTED = ("case_id", "state", "priority", "category", "severity_hint", "opened_at", "leased_by", "leased_until")


@cases_app.command("list")
def list_waiting(
    state: Annotated[Literal["open", "escalated", "decided", "closed"], typer.Option(help="State.")] = "open",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Most cases to list.")] = 50,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Lists cases in the order in which they are served. Example: weir cases list --state escalated"""
    from incidents.cases import list_cases
    from incidents.enums import CaseState

    with opened_home(home) as opened:
        cases = list_cases(opened.records, actor=get_operator(), states=[CaseState(state)], limit=limit)
    rows = [_describe(case) for case in cases]
    shown = [{name: row[name] for name in _LISTED} for row in rows]
    emit(as_json, {"cases": rows}, lambda out: render.print_rows(shown, out))


@cases_app.command("next")
def take_next(reviewer: ReviewerOption = None, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Leases the case that a reviewer should judge next. Example: weir cases next --reviewer ana --json"""
    from core.clock import now
    from incidents.cases import lease_next

    with opened_home(home) as opened:
        case = lease_next(opened.records, actor=get_reviewer(reviewer), lease_s=opened.settings.cases.lease_s, at=now())
    _emit_case(as_json, case)


@cases_app.command("judge")
def judge(
    case: CaseArgument,
    verdict: Annotated[
        Literal["harmful", "benign", "unsure"], typer.Option(help="Whether the turn is harmful under the policy.")
    ],
    category: Annotated[str | None, typer.Option(help="Hazard, e.g. hate.")] = None,
    severity: Annotated[int | None, typer.Option(min=0, max=4, help="0 (none) to 4 (extreme).")] = None,
    reason: Annotated[str | None, typer.Option(help="Why, e.g. benign_topic.")] = None,
    reviewer: ReviewerOption = None,
    version: VersionOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Casts a verdict; a later one by the same person counts instead. Example: weir cases judge 3f2a9c01 --verdict benign --reviewer ana"""
    from core.clock import now
    from incidents.enums import VerdictReason
    from incidents.reviews import VoteCreate, cast_vote

    if reason is not None and reason not in list(VerdictReason):
        raise UsageError("Not a reason", repr(reason), f"Valid: {', '.join(VerdictReason)}.")
    vote = VoteCreate(
        case,
        harmful={"harmful": True, "benign": False}.get(verdict),
        category=category,
        severity=severity,
        reason=VerdictReason(reason) if reason else None,
        version=version,
    )
    with opened_home(home) as opened:
        judged = cast_vote(opened.records, vote, actor=get_reviewer(reviewer), at=now())
    _emit_case(as_json, judged)


@cases_app.command("undo")
def undo(
    case: CaseArgument, reviewer: ReviewerOption = None, home: HomeOption = None, as_json: JsonOption = False
) -> None:
    """Withdraws a reviewer's verdict on a case. Example: weir cases undo 3f2a9c01 --reviewer ana"""
    from core.clock import now
    from incidents.reviews import undo_vote

    with opened_home(home) as opened:
        reopened = undo_vote(opened.records, case, actor=get_reviewer(reviewer), at=now())
    _emit_case(as_json, reopened)


@cases_app.command("skip")
def skip(
    case: CaseArgument, reviewer: ReviewerOption = None, home: HomeOption = None, as_json: JsonOption = False
) -> None:
    """Leaves a case to others; this reviewer gets it last. Example: weir cases skip 3f2a9c01 --reviewer ana"""
    from core.clock import now
    from incidents.cases import skip_case

    with opened_home(home) as opened:
        skipped = skip_case(opened.records, case, actor=get_reviewer(reviewer), at=now())
    _emit_case(as_json, skipped)


@cases_app.command("escalate")
def escalate(
    case: CaseArgument,
    reason: Annotated[str, typer.Option(help="Why, e.g. imminent_harm.")],
    note: Annotated[str, typer.Option(help="For whoever takes it.")] = "",
    reviewer: ReviewerOption = None,
    version: VersionOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Hands a case to someone with more authority. Example: weir cases escalate 3f2a9c01 --reason imminent_harm"""
    from core.clock import now
    from incidents.cases import escalate_case
    from incidents.enums import EscalationReason

    if reason not in list(EscalationReason):
        raise UsageError("Not a reason", repr(reason), f"Valid: {', '.join(EscalationReason)}.")
    with opened_home(home) as opened:
        handed = escalate_case(
            opened.records,
            case,
            actor=get_reviewer(reviewer),
            reason=EscalationReason(reason),
            note=note,
            at=now(),
            version=version,
        )
    _emit_case(as_json, handed)


def _emit_case(as_json: bool, case: CaseView | None) -> None:
    row = _describe(case) if case else None
    emit(as_json, {"case": row}, lambda out: render.print_pairs(row or {"case": None}, out))


def _describe(case: CaseView) -> dict[str, Any]:
    """What may be shown without revealing: no text, and not what others said."""
    from metrics.report import plain

    return {field.name: plain(getattr(case, field.name)) for field in fields(case) if field.name not in _HIDDEN}
