"""The commands `weir cases ...`: the queue for scripts and for tools that judge elsewhere. They show no logged text."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from core.errors import UsageError
from core.settings import EVERYTHING
from service import render
from service.arguments import get_operator, get_reviewer
from service.invocation import emit, opened_home
from service.options import HomeOption, JsonOption

if TYPE_CHECKING:
    from incidents.views import CaseView

cases_app = typer.Typer(help="What waits for a person, and verdicts about it.", no_args_is_help=True)

CaseArgument = Annotated[str, typer.Argument(metavar="CASE", help="Id, as `weir cases next` shows it.")]
ReviewerOption = Annotated[str | None, typer.Option(help="Who judges (default: you).")]
QueueOption = Annotated[str, typer.Option(help="Queue; `weir cases queues` lists them.")]
VersionOption = Annotated[
    int | None, typer.Option(help="Version that was looked at; refused when the case has changed since.")
]
_HIDDEN = ("evidence", "harmful", "verdict_category")
_LISTED = (
    "case_id",
    "state",
    "priority",
    "category",
    "severity_hint",
    "opened_at",
    "due_at",
    "leased_by",
    "leased_until",
)


@cases_app.command("list")
def list_waiting(
    state: Annotated[Literal["open", "escalated", "decided", "closed"], typer.Option(help="State.")] = "open",
    queue: QueueOption = EVERYTHING,
    order: Annotated[Literal["priority", "due", "opened"], typer.Option(help="What comes first.")] = "priority",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Most cases to list.")] = 50,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Lists cases, without logged text. Example: weir cases list --queue self-harm --order due"""
    from incidents.cases import list_cases
    from incidents.enums import CaseState
    from incidents.queues import get_queue

    with opened_home(home) as opened:
        cases = list_cases(
            opened.records,
            actor=get_operator(),
            states=[CaseState(state)],
            queue=get_queue(opened.settings, queue),
            order=order,
            limit=limit,
        )
    rows = [_describe(case) for case in cases]
    shown = [{name: row[name] for name in _LISTED} for row in rows]
    emit(as_json, {"cases": rows}, lambda out: render.print_rows(shown, out))


@cases_app.command("queues")
def list_all_queues(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Lists the queues: how much waits, is held, is late or put off. Example: weir cases queues"""
    from core.clock import now
    from incidents.queues import count_queues

    with opened_home(home) as opened:
        counts = count_queues(opened.records, opened.settings, actor=get_operator(), at=now())
    rows = [asdict(count) for count in counts]
    emit(as_json, {"queues": rows}, lambda out: render.print_rows(rows, out))


@cases_app.command("next")
def take_next(
    reviewer: ReviewerOption = None,
    queue: QueueOption = EVERYTHING,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Leases the case that a reviewer should judge next. Example: weir cases next --reviewer ana --json"""
    from core.clock import now
    from incidents.judgement.serving import take_next as serve
    from incidents.queues import get_queue

    with opened_home(home) as opened:
        case = serve(
            opened.records,
            actor=get_reviewer(reviewer),
            settings=opened.settings,
            queue=get_queue(opened.settings, queue),
            at=now(),
        )
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
    filter_name: Annotated[
        str | None, typer.Option("--filter-name", help="The filter that the verdict is about (default: the turn).")
    ] = None,
    reviewer: ReviewerOption = None,
    version: VersionOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Casts a verdict; a later one by the same person counts instead. Example: weir cases judge 3f2a9c01 --verdict benign --reviewer ana"""
    from core.clock import now
    from incidents.enums import VerdictReason
    from incidents.judgement.serving import judge_item
    from incidents.reviews import VoteCreate

    if reason is not None and reason not in list(VerdictReason):
        raise UsageError("Not a reason", repr(reason), f"Valid: {', '.join(VerdictReason)}.")
    vote = VoteCreate(
        case,
        harmful={"harmful": True, "benign": False}.get(verdict),
        category=category,
        severity=severity,
        reason=VerdictReason(reason) if reason else None,
        filter_name=filter_name,
        version=version,
    )
    with opened_home(home) as opened:
        judged = judge_item(opened.records, vote, actor=get_reviewer(reviewer), at=now())
    _emit_case(as_json, judged)


@cases_app.command("judge-all")
def judge_all(
    verdict: Annotated[
        Literal["harmful", "benign", "unsure"], typer.Option(help="Whether the turns are harmful under the policy.")
    ],
    queue: QueueOption = EVERYTHING,
    filter_name: Annotated[str | None, typer.Option("--filter-name", help="A filter that fired.")] = None,
    rule_id: Annotated[str | None, typer.Option("--rule-id", help="Its rule.")] = None,
    of_category: Annotated[str | None, typer.Option("--of-category", help="Category of the cases.")] = None,
    category: Annotated[str | None, typer.Option(help="Hazard that the verdict names.")] = None,
    reason: Annotated[str | None, typer.Option(help="Why, e.g. false_match.")] = None,
    shown: Annotated[
        str | None, typer.Option(help="What was shown, as COUNT:DIGEST; without it nothing is decided, only shown.")
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Decides about every open case of a selection, exactly as it was shown. Example: weir cases judge-all --rule-id kw-113 --verdict benign --reason false_match"""
    from core.clock import now
    from incidents.bulk import Selection, Shown, count_selected, judge_selected
    from incidents.enums import VerdictReason
    from incidents.queues import get_queue
    from incidents.reviews import VoteCreate

    if reason is not None and reason not in list(VerdictReason):
        raise UsageError("Not a reason", repr(reason), f"Valid: {', '.join(VerdictReason)}.")
    vote = VoteCreate(
        "",
        harmful={"harmful": True, "benign": False}.get(verdict),
        category=category,
        reason=VerdictReason(reason) if reason else None,
    )
    with opened_home(home) as opened:
        selection = Selection(get_queue(opened.settings, queue), filter_name, rule_id, of_category)
        if shown is None:
            seen = count_selected(opened.records, selection, actor=get_operator(), at=now())
            document: dict[str, Any] = {"selection": str(selection), "shown": f"{seen.count}:{seen.digest}"}
        else:
            count, _, digest = shown.partition(":")
            if not count.isdecimal() or not digest:
                raise UsageError("Not what was shown", repr(shown), "Run the command without --shown first.")
            applied = judge_selected(
                opened.records, selection, vote, shown=Shown(int(count), digest), actor=get_operator(), at=now()
            )
            document = {"selection": str(selection), **asdict(applied)}
    emit(as_json, document, lambda out: render.print_pairs(document, out))


@cases_app.command("undo-all")
def undo_all(
    bulk_id: Annotated[str, typer.Argument(metavar="DECISION", help="Id, as `weir cases judge-all` shows it.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Withdraws every verdict of one decision over many cases. Example: weir cases undo-all 3f2a9c01b7de"""
    from core.clock import now
    from incidents.bulk import undo_bulk

    with opened_home(home) as opened:
        count = undo_bulk(opened.records, bulk_id, actor=get_operator(), at=now())
    document = {"bulk_id": bulk_id, "withdrawn": count}
    emit(as_json, document, lambda out: render.print_pairs(document, out))


@cases_app.command("undo")
def undo(
    case: CaseArgument, reviewer: ReviewerOption = None, home: HomeOption = None, as_json: JsonOption = False
) -> None:
    """Withdraws a reviewer's verdict on a case. Example: weir cases undo 3f2a9c01 --reviewer ana"""
    from core.clock import now
    from incidents.judgement.serving import undo_item

    with opened_home(home) as opened:
        lease_s = opened.settings.cases.lease_s
        reopened = undo_item(opened.records, case, actor=get_reviewer(reviewer), lease_s=lease_s, at=now())
    _emit_case(as_json, reopened)


@cases_app.command("skip")
def skip(
    case: CaseArgument, reviewer: ReviewerOption = None, home: HomeOption = None, as_json: JsonOption = False
) -> None:
    """Leaves a case to others; this reviewer gets it last. Example: weir cases skip 3f2a9c01 --reviewer ana"""
    from core.clock import now
    from incidents.judgement.serving import skip_item

    with opened_home(home) as opened:
        skipped = skip_item(opened.records, case, actor=get_reviewer(reviewer), at=now())
    _emit_case(as_json, skipped)


@cases_app.command("snooze")
def snooze(
    case: CaseArgument,
    until: Annotated[str, typer.Option(help="End, ISO 8601; at most 30 days ahead.")],
    reviewer: ReviewerOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Puts a case off; its service level goes on. Example: weir cases snooze 3f2a9c01 --until 2026-03-03T08:00Z"""
    from core.clock import now, parse_when
    from incidents.judgement.serving import snooze_item

    end = parse_when(until)
    with opened_home(home) as opened:
        snoozed = snooze_item(opened.records, case, actor=get_reviewer(reviewer), until=end, at=now())
    _emit_case(as_json, snoozed)


@cases_app.command("hand-over")
def hand_over(
    case: CaseArgument,
    to: Annotated[str, typer.Option(help="Colleague who should judge it.")],
    note: Annotated[str, typer.Option(help="For the colleague.")] = "",
    reviewer: ReviewerOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Keeps a case for a colleague, who gets it next. Example: weir cases hand-over 3f2a9c01 --to ben"""
    from datetime import timedelta

    from core.clock import now
    from incidents.judgement.serving import hand_over_item

    moment = now()
    with opened_home(home) as opened:
        until = moment + timedelta(hours=opened.settings.cases.hand_over_h)
        handed = hand_over_item(
            opened.records, case, actor=get_reviewer(reviewer), to=to, note=note, until=until, at=moment
        )
    _emit_case(as_json, handed)


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
    from incidents.enums import EscalationReason
    from incidents.judgement.serving import escalate_item

    if reason not in list(EscalationReason):
        raise UsageError("Not a reason", repr(reason), f"Valid: {', '.join(EscalationReason)}.")
    with opened_home(home) as opened:
        handed = escalate_item(
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
