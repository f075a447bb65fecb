"""The commands `weir export ...`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from service import render
from service.arguments import build_query, get_operator, parse_set, parse_split
from service.invocation import absolute, emit, opened_home, progress
from service.options import FilterOption, HomeOption, JsonOption, SeedOption, SinceOption, UntilOption

OK, FAILED, PARTLY = 0, 1, 3
_LISTED = ("number", "name", "at", "actor", "rows", "new_since", "folder")


class ExportGroup(TyperGroup):
    """`weir export NAME` builds; any other word is a command of its own."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that the first word names, else the one that builds."""
        return super().resolve_command(ctx, args if args[0] in self.commands else ["build", *args])


export_app = typer.Typer(cls=ExportGroup, help="Feedback sets: decisions as training rows.", no_args_is_help=True)


@export_app.command("build")
def build(
    name: Annotated[str, typer.Argument(help="Format of the feedback set.")],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    split: Annotated[str, typer.Option(help="Share of each split.")] = "train=0.8,test=0.2",
    since: SinceOption = None,
    until: UntilOption = None,
    filters: FilterOption = None,
    seed: SeedOption = 0,
    include_contested: Annotated[
        bool | None, typer.Option(help="Take turns on which reviewers disagree (default: as the format does).")
    ] = None,
    variant: Annotated[
        Literal["conversational", "plain"] | None,
        typer.Option(help="conversational (lists of messages) or plain (text), where a format has both."),
    ] = None,
    soft_labels: Annotated[
        bool, typer.Option("--soft-labels", help="Rows hold the distribution of votes; undecided turns are rows, too.")
    ] = False,
    new_since: Annotated[
        str | None, typer.Option(help="Only rows new since a set of this format: its number, or `last`.")
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Builds a feedback set; `build` may be left out. Example: weir export build trl-kto --out kto/; weir export trl-kto --out kto/"""
    from incidents.exports.build import build_export
    from incidents.reviews import mirror_votes

    with opened_home(home) as opened, progress("building") as advance:
        mirror_votes(opened.records, opened.events, settings=opened.settings)
        summary = build_export(
            opened.events,
            name,
            out=absolute(out),
            query=build_query(opened.settings, since=since, until=until, filters=filters),
            split=parse_split(split),
            seed=seed,
            actor=get_operator(),
            records=opened.records,
            include_contested=include_contested,
            variant=variant,
            soft_labels=soft_labels,
            new_since=parse_set(new_since),
            on_progress=lambda share, step: advance(step, share),
        )
    document = {
        "number": summary.number,
        "rows": summary.rows,
        "refused": summary.refused,
        "balance": summary.balance,
        "files": [str(path) for path in summary.files],
        "manifest": str(summary.manifest_path),
        "notes": list(summary.notes),
    }
    emit(as_json, document, lambda stream: render.print_pairs(document, stream))
    raise typer.Exit(PARTLY if any(summary.refused.values()) else OK)


@export_app.command("verify")
def verify(
    folder: Annotated[Path, typer.Argument(help="The feedback set.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compares a set with its manifest and with the store as it is now. Example: weir export verify kto/"""
    from incidents.exports.verify import verify_export

    with opened_home(home) as opened:
        result = verify_export(opened.events, absolute(folder), records=opened.records)
    document = result.to_json()
    emit(as_json, document, lambda out: render.print_pairs(document, out))
    raise typer.Exit(OK if result.is_intact and not result.has_drifted else FAILED)


@export_app.command("list")
def list_sets(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Lists the sets built so far, the newest first. Example: weir export list"""
    from incidents.exports.ledger import list_exports
    from metrics.report import plain

    with opened_home(home) as opened:
        entries = list_exports(opened.records, actor=get_operator())
    rows: Any = [plain({**asdict(entry), "folder": str(entry.folder)}) for entry in entries]
    shown = [{name: row[name] for name in _LISTED} for row in rows]
    emit(as_json, {"exports": rows}, lambda out: render.print_rows(shown, out))


@export_app.command("find")
def find(
    conversation: Annotated[str | None, typer.Option(help="Conversation id.")] = None,
    user: Annotated[str | None, typer.Option(help="User id or pseudonym.")] = None,
    turn: Annotated[str | None, typer.Option(help="Request id.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Lists the sets that hold a conversation, a user or a turn. Example: weir export find --user u-17"""
    from incidents.exports.ledger import find_holdings
    from metrics.report import plain

    with opened_home(home) as opened:
        holdings = find_holdings(
            opened.records, actor=get_operator(), conversation_id=conversation, user_id=user, request_id=turn
        )
    rows: Any = [
        plain(
            {
                **asdict(holding.entry),
                "folder": str(holding.entry.folder),
                "held": holding.rows,
                "request_ids": list(holding.request_ids),
            }
        )
        for holding in holdings
    ]
    shown = [{name: row[name] for name in (*_LISTED, "held")} for row in rows]
    emit(as_json, {"exports": rows}, lambda out: render.print_rows(shown, out))
