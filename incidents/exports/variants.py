"""The forms that a format comes in: lists of messages or plain text, settled labels or their distribution."""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from core.errors import UsageError
from incidents.exports import EXPORTS, classifier
from incidents.exports.exporter import MESSAGES, BuiltRows, Exporter, Variant
from incidents.exports.transcripts import transcribe, transcribe_answer, transcribe_prompt

_PROMPT = "prompt"


def choose_exporter(name: str, *, variant: Variant | None = None, soft_labels: bool = False) -> Exporter:
    """The format in the form asked for; None = the format's usual one.

    Raises:
        UsageError: There is no such format, or it has no such form.
    """
    exporter = EXPORTS[name]
    if soft_labels:
        exporter = _find(exporter, _SOFT, "label distributions", "--soft-labels")
    if variant == "plain":
        return _find(exporter, _PLAIN, "a plain variant", "--variant plain")
    if variant == "conversational" and exporter.variant is None:
        raise _lacks(exporter, "a conversational variant", "--variant", [*_PLAIN])
    return exporter


def has_variants(name: str) -> bool:
    """Whether the format comes as messages and as plain text."""
    return name in _PLAIN


def has_soft_labels(name: str) -> bool:
    """Whether the format can hold the distribution of votes."""
    return name in _SOFT


def _find(exporter: Exporter, forms: dict[str, Exporter], what: str, option: str) -> Exporter:
    if exporter.key not in forms:
        raise _lacks(exporter, what, option, [*forms])
    return forms[exporter.key]


def _lacks(exporter: Exporter, what: str, option: str, having: list[str]) -> UsageError:
    return UsageError(f"{exporter.key} has not {what}", option, f"Formats that have: {', '.join(having)}.")


def _make_plain(exporter: Exporter) -> Exporter:
    """`exporter` with every conversation as one text."""
    has_prompt = _PROMPT in exporter.columns
    conversations = [name for name, dtype in exporter.columns.items() if dtype == MESSAGES]

    def flatten(name: str) -> pl.Expr:
        if name == _PROMPT:
            return transcribe_prompt(pl.col(name))
        return transcribe_answer(pl.col(name)) if has_prompt else transcribe(pl.col(name))

    def build_rows(labelled: pl.DataFrame) -> BuiltRows:
        built = exporter.build_rows(labelled)
        return BuiltRows(built.rows.with_columns(flatten(name).alias(name) for name in conversations), built.refused)

    return replace(
        exporter,
        description=f"{exporter.description} Conversations are plain text.",
        columns=exporter.columns | dict.fromkeys(conversations, pl.String()),
        build_rows=build_rows,
        variant="plain",
    )


_PLAIN = {exporter.key: _make_plain(exporter) for exporter in EXPORTS.values() if exporter.variant}
_SOFT = {classifier.EXPORTER.key: classifier.SOFT_EXPORTER}
