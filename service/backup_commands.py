"""The commands `weir backup` and `weir restore`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from service import render
from service.arguments import get_operator
from service.invocation import absolute, emit, home_settings, opened_home
from service.options import HomeOption, JsonOption


def back_up(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="New or empty folder for the copy.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Copies both stores and the settings while Weir serves. Example: weir backup /backups/2026-03-02"""
    from core.clock import now
    from service import backup

    with opened_home(home) as opened:
        document = backup.back_up(opened, absolute(folder), actor=get_operator(), at=now()).to_json()
    emit(as_json, document, lambda out: render.print_pairs(document, out))


def restore(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder that `weir backup` made.")],
    is_replacing: Annotated[bool, typer.Option("--replace", help="Move the home's present stores aside.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Brings a copy back; the server must be stopped. Example: weir restore /backups/2026-03-02 --replace"""
    from core.clock import now
    from service import backup
    from service.home import open_home
    from service.remote import check_unserved

    settings = home_settings(home)
    check_unserved(settings.home)
    if settings.events_path.exists():
        with open_home(settings):  # refuses while any process has the stores
            pass
    document = backup.restore(settings, absolute(folder), replace=is_replacing, at=now()).to_json()
    emit(as_json, document, lambda out: render.print_pairs(document, out))
