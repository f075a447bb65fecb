"""The commands `weir incidents ...`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from core.errors import UsageError
from incidents.response.enums import IncidentAction, IncidentState, LinkKind, ReportKind, Severity
from service import render
from service.arguments import get_operator
from service.invocation import absolute, emit, opened_home
from service.options import HomeOption, JsonOption

if TYPE_CHECKING:
    from incidents.response.document import Document
    from incidents.response.work import IncidentView

incidents_app = typer.Typer(help="What went wrong, from the alarm to the postmortem.", no_args_is_help=True)

NumberArgument = Annotated[int, typer.Argument(metavar="NUMBER", help="Incident, as `weir incidents list` shows it.")]
_SHOWN = ("number", "state", "severity", "owner", "since", "title")


@incidents_app.command("list")
def list_all(
    is_all: Annotated[bool, typer.Option("--all", help="Closed ones, too.")] = False,
    least: Annotated[Severity, typer.Option("--severity", help="This severity or graver.")] = Severity.LOW,
    owner: Annotated[str | None, typer.Option(help="Of this person only.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Lists incidents, the gravest first. Example: weir incidents list --severity high"""
    from incidents.response.work import list_incidents

    states = None if is_all else [state for state in IncidentState if state is not IncidentState.CLOSED]
    with opened_home(home) as opened:
        views = list_incidents(opened.records, actor=get_operator(), states=states, least=least, owner=owner)
    rows = [_describe(view) for view in views]
    shown = [{name: row[name] for name in _SHOWN} for row in rows]
    emit(as_json, {"incidents": rows}, lambda out: render.print_rows(shown, out))


@incidents_app.command("open")
def open_one(
    title: Annotated[str, typer.Option(help="One line; an alert brings its own.")] = "",
    severity: Annotated[Severity, typer.Option(help="How grave.")] = Severity.MEDIUM,
    alert: Annotated[str | None, typer.Option(help="Open it from this alert.")] = None,
    case: Annotated[str | None, typer.Option(help="Open it from this case.")] = None,
    since: Annotated[str | None, typer.Option(help="When it began: ISO 8601, or an age such as 2h.")] = None,
    links: Annotated[list[str] | None, typer.Option("--link", help="kind=id: case, alert, filter or rule.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Opens an incident. Example: weir incidents open --title "Guard blocks recipes" --severity medium --link filter=guard"""
    from core.clock import now, parse_when
    from incidents.response import work

    actor, at = get_operator(), now()
    if not alert and not title.strip():
        raise UsageError("An incident needs a title", "", "Add --title, or --alert.")
    if (alert or case) and (since or links):
        raise UsageError("An alert or case brings its own beginning and links", "", "Leave out --since and --link.")
    with opened_home(home) as opened:
        if alert:
            view = work.open_from_alert(opened.records, alert, actor=actor, severity=severity, at=at)
        elif case:
            view = work.open_from_case(opened.records, case, actor=actor, title=title, severity=severity, at=at)
        else:
            view = work.open_incident(
                opened.records,
                actor=actor,
                title=title,
                severity=severity,
                at=at,
                started_at=parse_when(since) if since else None,
                links=[_parse_link(link) for link in links or ()],
            )
    _emit_view(view, as_json)


@incidents_app.command("show")
def show(number: NumberArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Shows an incident with its events and legal next steps. Example: weir incidents show 3"""
    from incidents.response.work import get_incident

    with opened_home(home) as opened:
        view = get_incident(opened.records, number, actor=get_operator())
    _emit_view(view, as_json)


@incidents_app.command("act")
def act_on(
    number: NumberArgument,
    action: Annotated[IncidentAction, typer.Argument(metavar="ACTION", help="See `weir incidents show`.")],
    facts: Annotated[list[str] | None, typer.Option("--set", help="name=value, as the action needs.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Moves an incident on. Example: weir incidents act 3 triage --set severity=high --set owner=ana"""
    pairs = {}
    for fact in facts or ():
        name, equals, value = fact.partition("=")
        if not equals:
            raise UsageError("Not a fact", repr(fact), "Write name=value, e.g. owner=ana.")
        pairs[name] = value
    _act(number, action, pairs, home, as_json)


@incidents_app.command("note")
def note(
    number: NumberArgument,
    text: Annotated[str, typer.Argument(help="What colleagues should know.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Adds a note to the timeline. Example: weir incidents note 3 "Vendor confirms the fault" """
    _act(number, IncidentAction.NOTE, {"text": text}, home, as_json)


@incidents_app.command("follow-up")
def follow_up(
    number: NumberArgument,
    title: Annotated[str, typer.Option(help="What is to be done.")] = "",
    owner: Annotated[str, typer.Option(help="Who does it.")] = "",
    due: Annotated[str, typer.Option(help="Day by which it is done, e.g. 2026-04-01.")] = "",
    done: Annotated[int | None, typer.Option(help="Number of the follow-up that is done.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Adds a follow-up, or finishes one. Example: weir incidents follow-up 3 --title "Add recipes to the test suite" --owner ana --due 2026-04-01; weir incidents follow-up 3 --done 9"""
    if done is not None:
        _act(number, IncidentAction.FINISH_FOLLOW_UP, {"follow_up": str(done)}, home, as_json)
    else:
        facts = {"title": title, "owner": owner, "due": due}
        _act(number, IncidentAction.ADD_FOLLOW_UP, facts, home, as_json)


@incidents_app.command("postmortem")
def postmortem(
    number: NumberArgument,
    out: Annotated[
        Path | None, typer.Option(help="File to write: .md or .html; without it, Markdown is printed.")
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Writes the postmortem from the timeline. Example: weir incidents postmortem 3 --out postmortem.html"""
    from core.clock import now
    from service.incidents import prepare_postmortem

    with opened_home(home) as opened:
        document = prepare_postmortem(opened, number, actor=get_operator(), at=now())
    _emit_document(document, out, as_json)


@incidents_app.command("report")
def report(
    number: NumberArgument,
    kind: Annotated[
        ReportKind, typer.Option(help="The first report, or the one that completes it.")
    ] = ReportKind.INITIAL,
    out: Annotated[
        Path | None, typer.Option(help="File to write: .md or .html; without it, Markdown is printed.")
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Writes the report of a possibly serious incident; nothing is sent. Example: weir incidents report 3 --kind initial --out report.html; weir incidents act 3 mark_serious --set kind=health --set aware_at=2026-03-02T09:00"""
    from core.clock import now
    from service.incidents import export_report

    with opened_home(home) as opened:
        document = export_report(opened, number, kind, actor=get_operator(), at=now())
    _emit_document(document, out, as_json)


def _emit_document(document: Document, out: Path | None, as_json: bool) -> None:
    from incidents.response.document import write_html, write_markdown

    text = write_html(document) if out is not None and out.suffix in (".html", ".htm") else write_markdown(document)
    if out is None:
        emit(as_json, {"title": document.title, "markdown": text}, lambda stream: print(text, end="", file=stream))
        return
    path = absolute(out)
    path.write_text(text, encoding="utf-8")
    written = {"title": document.title, "file": str(path)}
    emit(as_json, written, lambda stream: render.print_pairs(written, stream))


def _act(number: int, action: IncidentAction, facts: dict[str, str], home: Any, as_json: bool) -> None:
    from core.clock import now
    from incidents.response.serious import get_kind
    from incidents.response.work import act

    with opened_home(home) as opened:
        if action is IncidentAction.MARK_SERIOUS:
            get_kind(opened.settings, facts.get("kind", ""))
        view = act(opened.records, number, action, facts, actor=get_operator(), at=now())
    _emit_view(view, as_json)


def _emit_view(view: IncidentView, as_json: bool) -> None:
    from metrics.report import plain

    document = _describe(view) | {"events": [plain(asdict(entry)) for entry in view.entries]}
    shown = ("seq", "at", "actor", "action", "state")

    def show(out: TextIO) -> None:
        render.print_pairs(
            {name: value for name, value in document.items() if name not in ("events", "follow_ups")}, out
        )
        render.print_rows(document["follow_ups"], out, title="follow-ups")
        render.print_rows([{name: event[name] for name in shown} for event in document["events"]], out, title="events")

    emit(as_json, document, show)


def _describe(view: IncidentView) -> Any:
    """An incident as plain values."""
    from incidents.response.life import measure
    from incidents.response.states import TRANSITIONS, list_steps
    from metrics.report import plain

    life = view.life
    steps = {step.value: list(TRANSITIONS[life.state, step].requires) for step in list_steps(life.state)}
    return plain(
        {
            "number": view.number,
            **asdict(life),
            "owner": life.owner,
            **measure(life),
            "links": [f"{kind.value}={ref}" for kind, ref in life.links],
            "next_steps": steps,
        }
    )


def _parse_link(text: str) -> tuple[LinkKind, str]:
    kind, equals, ref = text.partition("=")
    if not equals or kind not in list(LinkKind):
        raise UsageError("Not a link", repr(text), f"Write kind=id; kinds: {', '.join(LinkKind)}.")
    return LinkKind(kind), ref
