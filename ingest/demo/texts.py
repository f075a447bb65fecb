"""Writes what people and models say in the simulated conversations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from ingest.demo.phrases import PHRASEBOOKS
from ingest.demo.phrases.book import Phrasebook
from ingest.demo.traffic import Kind
from ingest.demo.world import BROAD_RULE, get_code_word

# Slot, the phrasebook's list that fills it, and whether it stays the same through a conversation.
_SLOTS = (
    ("subject", "subjects", True),
    ("target", "targets", True),
    ("plot", "plots", True),
    ("scene", "scenes", False),
    ("process", "processes", False),
    ("circumstance", "circumstances", False),
    ("motive", "motives", False),
    ("detail", "details", False),
    ("step", "steps", False),
    ("next_step", "steps", False),
    ("tip", "tips", False),
)


class Writer:
    """Fills templates for the turns that it was made for; the same turn always gets the same words."""

    def __init__(self, turns: pl.DataFrame, rng: np.random.Generator) -> None:
        self._languages: list[str] = turns["language"].to_list()
        conversation = turns["conversation_id"].rle_id().to_numpy()
        count = int(conversation[-1]) + 1 if turns.height else 0
        self._draws: list[list[int]] = [
            (
                rng.integers(0, 1 << 20, count)[conversation] if is_stable else rng.integers(0, 1 << 20, turns.height)
            ).tolist()
            for _, _, is_stable in _SLOTS
        ]
        self._choices: list[int] = rng.integers(0, 1 << 20, turns.height).tolist()

    def book(self, row: int) -> Phrasebook:
        """The phrasebook of the turn's language."""
        return PHRASEBOOKS[self._languages[row]]

    def fill(self, row: int, templates: Sequence[str], *, take: int = 0) -> str:
        """One of `templates` with its slots filled; another `take` gives other words for the same turn."""
        book = self.book(row)
        words = {}
        for (slot, field, _), draws in zip(_SLOTS, self._draws, strict=True):
            choices: tuple[str, ...] = getattr(book, field)
            # Both steps come from one list and must differ.
            words[slot] = choices[(draws[row] + take) % len(choices)]
        if words["step"] == words["next_step"]:
            words["next_step"] = book.steps[(book.steps.index(words["step"]) + 1) % len(book.steps)]
        text = templates[(self._choices[row] + take) % len(templates)].format_map(words)
        return text[0].upper() + text[1:]

    def choose(self, row: int, count: int) -> int:
        """A number below `count`, the same for a turn each time."""
        return self._choices[row] % count


def write_turns(turns: pl.DataFrame, writer: Writer) -> pl.DataFrame:
    """`turns` with prompt, response, and matched_text: words of the prompt that a rule looks for."""
    prompts: list[str] = []
    responses: list[str] = []
    matches: list[str | None] = []
    columns = turns.select("kind", "category", "rule", "turn_index").iter_rows()
    for row, (kind, category, rule, turn_index) in enumerate(columns):
        book = writer.book(row)
        match = get_code_word(rule) if rule and rule != BROAD_RULE else None
        if kind in (Kind.AMBIGUOUS, Kind.THREAT):
            options = book.ambiguous if kind == Kind.AMBIGUOUS else book.threats
            match, template = options[writer.choose(row, len(options))]
            prompt = writer.fill(row, [template])
        elif kind == Kind.HARMFUL:
            prompt = writer.fill(row, book.harmful[category])
        elif kind == Kind.DELICATE:
            prompt = writer.fill(row, book.delicate)
        else:
            prompt = writer.fill(row, book.followups if turn_index else book.openers)
        if match is not None and kind not in (Kind.AMBIGUOUS, Kind.THREAT):
            prompt += (book.code_harmful if kind == Kind.HARMFUL else book.code_benign).format(code=match)
        if kind in (Kind.HARMFUL, Kind.THREAT):
            response = writer.fill(row, book.complied)
        elif kind == Kind.PLAIN:
            response = writer.fill(row, book.answers)
        else:
            response = writer.fill(row, book.delicate_answers)
        prompts.append(prompt)
        responses.append(response)
        matches.append(match)
    return turns.with_columns(
        prompt=pl.Series(prompts, dtype=pl.String),
        response=pl.Series(responses, dtype=pl.String),
        matched_text=pl.Series(matches, dtype=pl.String),
    )


def write_final_texts(outcomes: pl.Series, writer: Writer) -> pl.Series:
    """What the user saw where filters changed it; null where nothing was changed or nothing came."""
    texts: list[str | None] = []
    for row, outcome in enumerate(outcomes):
        if outcome in ("pass", "error"):
            texts.append(None)
            continue
        book = writer.book(row)
        if outcome == "human_escalation":
            texts.append(book.escalated)
        elif outcome == "refusal":
            texts.append(book.refusals[writer.choose(row, len(book.refusals))])
        else:
            texts.append(writer.fill(row, book.masked if outcome == "modified" else book.safe_completions))
    return pl.Series("final_text", texts, dtype=pl.String)


def write_revision(row: int, writer: Writer, *, harmful: bool) -> str:
    """The better response, as a reviewer would write it: without the harm, or the help that was withheld."""
    book = writer.book(row)
    return writer.fill(row, book.revisions if harmful else book.answers, take=1)
