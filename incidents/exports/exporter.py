"""What an export format is, what it builds rows from, and why it refuses some."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import polars as pl

from incidents.enums import GuidedEnum

MESSAGES = pl.List(pl.Struct({"role": pl.String, "content": pl.String}))
"""A conversation as trainers take it: a list of {role, content}."""

Variant = Literal["conversational", "plain"]


class Refusal(GuidedEnum):
    """Why a turn, or a row built from it, stays out of a feedback set."""

    UNRESOLVED = (
        "unresolved",
        "Unresolved votes",
        "The votes tie or nobody was sure: one more vote settles it.",
    )
    CONTESTED = (
        "contested",
        "Contested",
        "Reviewers disagree: adjudicate, or include contested turns to follow the majority.",
    )
    STALE_POLICY = (
        "stale_policy",
        "Judged under an older guideline",
        "A later guideline changed its category: judge it again.",
    )
    EMPTY_TURN = "empty_turn", "Empty turn", "A message of the conversation before the answer is blank."
    EMPTY_PROMPT = "empty_prompt", "Empty prompt", "No prompt text was logged for the turn."
    UNSUPPORTED_PROMPT = (
        "unsupported_prompt",
        "Unsupported prompt",
        "The logged messages are not plain text that ends with the user: tool calls, images, other roles.",
    )
    EMPTY_COMPLETION = "empty_completion", "Empty completion", "No answer was logged for the turn."
    OUTCOME_UNKNOWN = (
        "outcome_unknown",
        "Outcome unknown",
        "The log lacks the turn's outcome, so that an answer cannot be told from a refusal.",
    )
    NOTHING_TO_LEARN = (
        "nothing_to_learn",
        "Nothing to learn",
        "The verdict says nothing certain about any text.",
    )
    MISSING_REVISION = "missing_revision", "Missing revision", "A pair needs a better text: write a revision."
    MISSING_CRITIQUE = "missing_critique", "Missing critique", "A critique is what this set teaches: write one."
    UNMAPPED_CATEGORY = (
        "unmapped_category",
        "Category without a code",
        "The verdict names no category, or one that the target's list of codes lacks.",
    )
    NOT_TRIGGERED = "not_triggered", "Not triggered", "No enforced filter triggered on the turn."
    UNMATCHED = (
        "unmatched",
        "No counterpart",
        "No turn with the other verdict shares its filter, rule, language and length.",
    )
    HARMFUL_CHOSEN = (
        "harmful_chosen",
        "Harmful text to imitate",
        "The text to imitate was itself judged harmful.",
    )
    CHOSEN_EQUALS_REJECTED = (
        "chosen_equals_rejected",
        "Equal sides",
        "Both sides of the pair are the same text.",
    )
    CONTRADICTORY = (
        "contradictory",
        "Contradictory",
        "The same text carries opposite labels in different turns.",
    )
    DUPLICATE = "duplicate", "Duplicate", "Another turn gave exactly this row."
    NEAR_DUPLICATE = "near_duplicate", "Near-duplicate", "An earlier row of its kind says nearly the same."
    JOINED_TEST = (
        "joined_test",
        "Joined the test turns",
        "It trained an earlier set and now belongs with turns that are tested on.",
    )
    HELD_OUT = (
        "held_out",
        "Held out earlier",
        "An earlier set tests on it or on what it belongs with: give this set a test split.",
    )
    TOO_LONG = "too_long", "Too long", "The row has more characters than the limit in the manifest."
    PERSONAL_DATA = (
        "personal_data",
        "Personal data",
        "The text holds an e-mail address, phone or card number, or IP address.",
    )
    MASKED = (
        "masked",
        "Masked text",
        "Something was masked or redacted in the text: a model would learn to write the placeholder.",
    )
    EXPORTED_BEFORE = (
        "exported_before",
        "Exported before",
        "An earlier set of this format holds the row, and only new ones were asked for.",
    )


REFUSALS = {refusal.value: refusal for refusal in Refusal}


@dataclass(frozen=True, slots=True)
class BuiltRows:
    """What an exporter makes of the judged turns.

    Attributes:
        rows: The exporter's columns and those of `ROW_FACTS`.
        refused: One row (request_id, reason) per turn or row that is left out.
    """

    rows: pl.DataFrame
    refused: pl.DataFrame


RANKED = "ranked_higher"
"""Kind of the rows that rankings give."""

ROW_FACTS = pl.Schema(
    {
        "request_id": pl.String(),
        "kind": pl.String(),
        "origin": pl.String(),
        "taught": pl.String(),
    }
)
"""Columns beside the training ones: the turn; the row's class, counted in the balance; where its text comes
from; the text that it teaches a model to write (null when it teaches none), which must not be harmful."""

REFUSED = pl.Schema({"request_id": pl.String(), "reason": pl.String()})


@dataclass(frozen=True, slots=True)
class Exporter:
    """One export format's declaration. Selecting turns, refusing rows, splitting and writing are shared.

    Attributes:
        key: Name on the command line.
        title: Name on pages and dataset cards.
        description: What one row is, and for which trainer.
        columns: Training columns in order, with their types; nothing else reaches the training files. A
            column `weight` is filled in by the shared step from the inclusion probabilities.
        kinds: Values that `kind` takes.
        needs_every_kind: Whether a set without one of the kinds cannot train anything.
        takes_contested: Whether turns on which reviewers disagree are taken by default.
        targets: Columns that a row's text is mapped to; the first must not differ between rows that are otherwise the same.
        task: Task category of the dataset card.
        build_rows: Judged turns (`labelled.read_labelled`) to rows and refusals.
        takes_rankings: Whether pairs out of preference rankings become rows, too.
        variant: Whether texts are lists of messages or plain strings; None where the format has no such choice.
        has_soft_labels: Whether rows hold the distribution of the votes, so that undecided turns are rows too.
        identity: What makes two rows the same; without it all columns but the weight and the targets.
        matched_on: Columns of judged turns, within which the set keeps as many rows of each kind.
    """

    key: str
    title: str
    description: str
    columns: dict[str, pl.DataType]
    kinds: tuple[str, ...]
    needs_every_kind: bool
    takes_contested: bool
    targets: tuple[str, ...]
    task: Literal["text-generation", "text-classification"]
    build_rows: Callable[[pl.DataFrame], BuiltRows]
    takes_rankings: bool = False
    variant: Variant | None = None
    has_soft_labels: bool = False
    identity: tuple[pl.Expr, ...] = field(default=(), compare=False)
    matched_on: tuple[str, ...] = ()

    def built_columns(self) -> list[str]:
        """Columns that `build_rows` yields: all but `weight`."""
        return [name for name in self.columns if name != "weight"]


def refuse(turns: pl.DataFrame, reason: Refusal | pl.Expr) -> pl.DataFrame:
    """Refusals of all of `turns`, one row each, as `REFUSED`."""
    value = reason if isinstance(reason, pl.Expr) else pl.lit(reason.value)
    return turns.select("request_id", reason=value.cast(pl.String))


def part(frame: pl.DataFrame, reason: pl.Expr) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows of `frame` without a reason against them, and the refusals of the others."""
    frame = frame.with_columns(_reason=reason)
    refused = frame.filter(pl.col("_reason").is_not_null())
    return frame.filter(pl.col("_reason").is_null()).drop("_reason"), refuse(refused, pl.col("_reason"))


def as_message(role: Literal["user", "assistant"], text: pl.Expr) -> pl.Expr:
    """A conversation of one message."""
    return pl.concat_list(pl.struct(role=pl.lit(role), content=text)).cast(MESSAGES)


def has_text(text: pl.Expr) -> pl.Expr:
    """Whether there is more than white space; false for null."""
    return text.str.contains(r"\S").fill_null(value=False)


def normalise(text: pl.Expr) -> pl.Expr:
    """`text` with white space runs as one space and none at the ends, to tell texts apart; blank is null."""
    plain = text.str.replace_all(r"\s+", " ").str.strip_chars()
    return pl.when(plain != "").then(plain)


def fold(text: pl.Expr) -> pl.Expr:
    """`text` as `normalise` leaves it, without regard to case and Unicode form, to tell prompts apart."""
    return normalise(text.str.normalize("NFKC").str.to_lowercase())
