"""Conversations as plain text, in the form of the hh-rlhf data that TRL's own examples use: "\\n\\nHuman: ...\\n\\nAssistant:"."""

from __future__ import annotations

import polars as pl

ASSISTANT = "\n\nAssistant:"


def transcribe(messages: pl.Expr) -> pl.Expr:
    """A conversation as text; instructions come as the speaker System."""
    message = pl.element().struct
    speaker = (
        pl.when(message.field("role") == "assistant")
        .then(pl.lit("Assistant"))
        .when(message.field("role") == "user")
        .then(pl.lit("Human"))
        .otherwise(pl.lit("System"))
    )
    return messages.list.eval(pl.format("\n\n{}: {}", speaker, message.field("content"))).list.join("")


def transcribe_prompt(messages: pl.Expr) -> pl.Expr:
    """A conversation as text that the answer follows on."""
    return transcribe(messages) + pl.lit(ASSISTANT)


def transcribe_answer(messages: pl.Expr) -> pl.Expr:
    """An answer of one message, as it follows on `transcribe_prompt`."""
    return pl.format(" {}", messages.list.first().struct.field("content"))
