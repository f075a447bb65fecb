"""Suites of adversarial prompts, each with the principle that it attacks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import msgspec
import polars as pl
import sqlalchemy as sa
from sqlmodel import col, select

from core.errors import FormatError, UsageError
from core.records import RecordStore
from incidents.audit import change
from incidents.models import SuitePrompt
from incidents.people import Actor, Role

PROMPTS = {
    "suite": pl.String,
    "prompt_id": pl.String,
    "principle_id": pl.String,
    "attack": pl.String,
    "prompt": pl.String,
}


class Prompt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of a suite's file.

    Attributes:
        prompt_id: Identity within the suite.
        principle_id: The principle that the prompt tries to break.
        prompt: What is asked.
        attack: How it tries: role play, urgency, false authority ...
    """

    prompt_id: str
    principle_id: str
    prompt: str
    attack: str = ""


@dataclass(frozen=True, slots=True)
class SuiteSummary:
    """What a suite holds after loading: prompts, and how many principles they attack."""

    suite: str
    prompts: int
    principles: int


def parse_suite(text: str) -> list[Prompt]:
    """The prompts of a JSONL document.

    Raises:
        FormatError: A line cannot be read, or two prompts share an id or a text. It names the line.
    """
    decoder = msgspec.json.Decoder(Prompt)
    prompts: dict[str, Prompt] = {}
    texts: set[str] = set()
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            prompt = decoder.decode(line)
        except msgspec.DecodeError as error:
            raise FormatError("A prompt cannot be read", f"line {number}: {error}") from error
        key = normalise_prompt(prompt.prompt)
        if not (prompt.prompt_id and prompt.principle_id and key):
            raise FormatError("A prompt is empty", f"line {number}", "Fill prompt_id, principle_id and prompt.")
        if prompt.prompt_id in prompts or key in texts:
            raise FormatError("A prompt is there twice", f"line {number}: {prompt.prompt_id}")
        prompts[prompt.prompt_id] = prompt
        texts.add(key)
    return list(prompts.values())


def load_suite(records: RecordStore, suite: str, text: str, *, actor: Actor, at: datetime) -> SuiteSummary:
    """Stores a suite, replacing an earlier one of that name.

    Raises:
        AccessError: The actor is no lead.
        FormatError: As `parse_suite`. UsageError: It has no prompts, or its name cannot be printed.
    """
    actor.require(Role.LEAD)
    prompts = parse_suite(text)
    if not prompts or not suite or not suite.isprintable() or len(suite) > 100:
        raise UsageError("Not a suite", repr(suite[:50]), "Give it a short name and at least one prompt.")
    with change(records, actor=actor, at=at) as current:
        current.session.exec(sa.delete(SuitePrompt).where(col(SuitePrompt.suite) == suite))
        current.session.add_all(
            SuitePrompt(
                suite=suite,
                prompt_id=prompt.prompt_id,
                principle_id=prompt.principle_id,
                attack=prompt.attack,
                prompt=prompt.prompt,
                position=position,
            )
            for position, prompt in enumerate(prompts)
        )
        current.record("suite.load", suite, {"prompts": len(prompts)})
    return SuiteSummary(suite, len(prompts), len({prompt.principle_id for prompt in prompts}))


def read_prompts(records: RecordStore, suite: str | None = None) -> pl.DataFrame:
    """Prompts of one suite or of all, in the order of their files; columns `PROMPTS`."""
    query = select(SuitePrompt).order_by(col(SuitePrompt.suite), col(SuitePrompt.position))
    if suite is not None:
        query = query.where(col(SuitePrompt.suite) == suite)
    with records.session() as session:
        rows = [tuple(getattr(row, name) for name in PROMPTS) for row in session.exec(query)]
    return pl.DataFrame(rows, schema=PROMPTS, orient="row")


def normalise_prompt(text: str) -> str:
    """The text by which a logged prompt is known again: white space is not told apart."""
    return " ".join(text.split())
