"""Which format a log is in, told by its records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from core.errors import FormatError
from core.settings import Settings
from ingest.formats import LogFormat
from ingest.mapping import find_formats


def score_formats(sample: Sequence[Mapping[str, Any]], *, settings: Settings) -> dict[str, float]:
    """How much the records look like each format in force, 0 to 1."""
    return {
        key: sum(log_format.sniff(record) for record in sample) / len(sample)
        for key, log_format in find_formats(settings).items()
    }


def detect_format(sample: Sequence[Mapping[str, Any]], *, name: str, settings: Settings) -> LogFormat:
    """The one format that the records are in.

    Args:
        sample: Some parsed records, at least one.
        name: The file, for the message.
        settings: Holds the house formats.

    Raises:
        FormatError: No format fits, or several do.
    """
    scores = score_formats(sample, settings=settings)
    ranked = sorted(scores, key=scores.__getitem__, reverse=True)
    best, second = ranked[0], ranked[1]
    if scores[best] < 0.3:
        keys = ", ".join(sorted(str(key) for key in sample[0])[:12])
        raise FormatError(
            "No log format fits",
            f"{name}: its records have the keys {keys}",
            f"Name one: {', '.join(scores)}.",
        )
    if scores[best] - scores[second] < 0.1:
        raise FormatError("Several log formats fit", f"{name}: {best} and {second}", "Name one of them.")
    return find_formats(settings)[best]
