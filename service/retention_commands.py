"""The command `weir retention`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from service import render
from service.arguments import get_operator
from service.invocation import emit, opened_home
from service.options import HomeOption, JsonOption


def retain(
    is_trial: Annotated[bool, typer.Option("--dry-run", help="Change nothing; show what is past its time.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Removes the texts and rows that [retention] of weir.toml no longer keeps. Example: weir retention --dry-run"""
    from core.clock import now
    from service.retention import apply_retention

    with opened_home(home) as opened:
        aged = apply_retention(opened, actor=get_operator(), at=now(), is_trial=is_trial)
        policy = opened.settings.retention.model_dump(mode="json")
    document: dict[str, Any] = {
        "is_done": not is_trial,
        "policy": policy,
        "texts": aged.texts,
        "rows": aged.rows,
        "files": [str(path) for path in aged.files],
    }
    emit(as_json, document, lambda out: render.print_pairs(document, out))
