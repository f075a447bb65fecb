"""The command `weir erase`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from core.errors import UsageError
from service import render
from service.arguments import get_operator
from service.invocation import emit, opened_home
from service.options import HomeOption, JsonOption


def erase_data(
    user: Annotated[str | None, typer.Option(help="Id of a user, as the logs have it.")] = None,
    conversation: Annotated[str | None, typer.Option(help="Id of a conversation.")] = None,
    is_trial: Annotated[bool, typer.Option("--dry-run", help="Change nothing; show what would go.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Erases a person or a conversation from every store; names the exports and backups that hold them. Example: weir erase --user u-17 --dry-run"""
    from core.clock import now
    from service.erasing import erase

    if (user is None) == (conversation is None):
        raise UsageError("Whose data?", "", "Name either --user or --conversation.")
    with opened_home(home) as opened:
        outcome = erase(
            opened,
            "user_id" if user is not None else "conversation_id",
            user if user is not None else conversation or "",
            actor=get_operator(),
            at=now(),
            is_trial=is_trial,
        )
    exports = [
        {
            "number": holding.entry.number,
            "name": holding.entry.name,
            "folder": str(holding.entry.folder),
            "is_there": holding.entry.folder.exists(),
            "rows": sum(holding.rows.values()),
            "splits": holding.rows,
        }
        for holding in outcome.exports
    ]
    document: dict[str, Any] = {
        "is_done": outcome.is_done,
        "counts": outcome.counts,
        "exports": exports,
        "files": [str(path) for path in outcome.files],
        "backups": [str(path) for path in outcome.backups],
        "leftovers": [str(path) for path in outcome.leftovers],
        "to_do": _list_tasks(bool(exports), bool(outcome.files), bool(outcome.backups), bool(outcome.leftovers)),
    }
    emit(as_json, document, lambda out: render.print_pairs(document, out))


def _list_tasks(has_exports: bool, has_files: bool, has_backups: bool, has_leftovers: bool) -> list[str]:
    tasks = {
        "Build these exports anew, and destroy every copy of the old ones, in training stores too; models trained on them are "
        "for their owners to judge.": has_exports,
        "Have these log files written anew, or delete them: they are no lines of text.": has_files,
        "Destroy these backups, or erase again after restoring one.": has_backups,
        "Look into these files: they still hold an id or a text.": has_leftovers,
    }
    return [task for task, is_due in tasks.items() if is_due]
