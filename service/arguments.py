"""What a command line says, as values."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from core.clock import parse_when
from core.errors import UsageError
from core.settings import Settings

if TYPE_CHECKING:
    from incidents.people import Actor
    from metrics.query import Query


def build_query(
    settings: Settings,
    *,
    since: str | None,
    until: str | None,
    filters: Sequence[str] | None,
    by: Sequence[str] | None = None,
) -> Query:
    """The question that the options of a command ask.

    Raises:
        UsageError: A time cannot be read, or a filter is not dimension=value.
    """
    from metrics.query import Query

    pairs = []
    for item in filters or []:
        name, equals, value = item.partition("=")
        if not equals:
            raise UsageError("Not a filter", repr(item), "Write dimension=value, e.g. filter_name=blocklist.")
        pairs.append((name, value))
    return Query(
        by=tuple(by or ()),
        since=parse_when(since) if since else None,
        until=parse_when(until) if until else None,
        filters=tuple(pairs),
        min_sample=settings.statistics.min_sample,
        confidence=settings.statistics.confidence,
    )


def parse_split(text: str) -> dict[str, float]:
    """The share of each split.

    Raises:
        UsageError: The text is not a list of name=share.
    """
    try:
        return {name.strip(): float(share) for name, share in (part.split("=") for part in text.split(","))}
    except ValueError as error:
        raise UsageError("Not a split", repr(text), "Write shares such as train=0.8,test=0.2.") from error


def parse_set(text: str | None) -> int | Literal["last"] | None:
    """The number of a feedback set, or the last one.

    Raises:
        UsageError: The text is neither.
    """
    if text is None:
        return None
    if text == "last":
        return "last"
    if text.isascii() and text.isdigit():
        return int(text)
    raise UsageError("Not a feedback set", repr(text), "Write its number, as `weir export list` shows it, or last.")


def get_operator() -> Actor:
    """Whoever runs the command on this machine may change the home's files, hence acts as admin."""
    from incidents.people import Actor, Role

    return Actor(os.environ.get("USER") or "command line", Role.ADMIN)


def get_reviewer(name: str | None) -> Actor:
    """The named person, as a reviewer; the operator when none is named.

    Whoever may run commands may change the home's files, so that naming a colleague gives them no new power.

    Raises:
        UsageError: The name is empty or reserved.
    """
    from incidents.people import Actor, Role, is_reserved

    chosen = get_operator().name if name is None else name
    if not chosen or not chosen.isprintable() or len(chosen) > 60 or is_reserved(chosen):
        raise UsageError("Not a reviewer", repr(chosen), "Use up to 60 printable characters; `system` is taken.")
    return Actor(chosen, Role.REVIEWER)


def find_home_argument(arguments: Sequence[str]) -> Path | None:
    """The folder that `--home` names, found without parsing the command."""
    for index, argument in enumerate(arguments):
        if argument == "--home" and index + 1 < len(arguments):
            return Path(arguments[index + 1]).absolute()
        if argument.startswith("--home="):
            return Path(argument.removeprefix("--home=")).absolute()
    return None
