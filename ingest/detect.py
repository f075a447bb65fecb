"""Which format a log is in, told by its records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from core.errors import FormatError
from ingest.formats import FORMATS, LogFormat


def score_formats(sample: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """How much the records look like each format, 0 to 1."""
    return {
        key: sum(log_format.sniff(record) for record in sample) / len(sample) for key, log_format in FORMATS.items()
    }


def detect_format(sample: Sequence[Mapping[str, Any]], *, name: str) -> LogFormat:
    """The one format that the records are in.

    Args:
        sample: Some parsed records, at least one.
        name: The file, for the message.

    Raises:
        FormatError: No format fits, or several do.
    """
    scores = score_formats(sample)
    ranked = sorted(scores, key=scores.__getitem__, reverse=True)
    best, second = ranked[0], ranked[1]
    if scores[best] < 0.3:
        keys = ", ".join(sorted(str(key) for key in sample[0])[:12])
        raise FormatError(
            "No log format fits",
            f"{name}: its records have the keys {keys}",
            f"Name one: {', '.join(FORMATS)}.",
        )
    if scores[best] - scores[second] < 0.1:
        raise FormatError("Several log formats fit", f"{name}: {best} and {second}", "Name one of them.")
    return FORMATS[best]
