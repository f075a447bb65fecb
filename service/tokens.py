"""Bearer tokens of the intake: made here, kept by their hash alone."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from typing import Annotated

import tomli_w
import typer
from pydantic import ValidationError

from core.errors import UsageError
from core.settings_ingest import IntakeToken
from service import render
from service.invocation import emit
from service.options import HomeOption, JsonOption

_PREFIX = "weir_"
_BYTES = 32


def make_token(name: str, sources: Sequence[str]) -> dict[str, str]:
    """A new token.

    Returns:
        token, which is shown this once; sha256; settings, the table of `weir.toml` that admits it.

    Raises:
        UsageError: The name cannot be used.
    """
    token = _PREFIX + secrets.token_urlsafe(_BYTES)
    digest = hashlib.sha256(token.encode()).hexdigest()
    try:
        admitted = IntakeToken(name=name, sha256=digest, sources=tuple(sources))
    except ValidationError as error:
        raise UsageError("Not a token's name", repr(name), "Use small letters, digits and hyphens.") from error
    table = admitted.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    return {"token": token, "sha256": digest, "settings": "[[tokens]]\n" + tomli_w.dumps(table)}


def print_token(
    name: Annotated[str, typer.Argument(help="Name of the token: small letters, digits and hyphens.")],
    sources: Annotated[
        list[str] | None, typer.Option("--source", help="Source that it may write; every one without it.")
    ] = None,
    _home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Makes a bearer token of the intake, shown this once, and the lines of weir.toml that admit it. Example: weir token gateway --source gateway"""
    made = make_token(name, sources or ())
    emit(as_json, made, lambda out: render.print_pairs(made, out))
