"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

HomeOption = Annotated[
    Path | None, typer.Option("--home", help="Folder that holds the stores (default: WEIR_HOME or .weir).")
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
SinceOption = Annotated[str | None, typer.Option(help="Start of the window: ISO 8601, or an age such as 24h.")]
UntilOption = Annotated[str | None, typer.Option(help="End of the window, exclusive: ISO 8601, or an age such as 1h.")]
FilterOption = Annotated[
    list[str] | None, typer.Option("--filter", help="dimension=value; repeat to add values and dimensions.")
]
SeedOption = Annotated[int, typer.Option(help="Same inputs and seed, same result.")]
