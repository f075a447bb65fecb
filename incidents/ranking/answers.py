"""Orders that people gave elsewhere, from a file."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from core.errors import FormatError
from core.records import RecordStore
from incidents.people import Actor
from incidents.ranking.ranks import cast_ranking, list_standing


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line: whose order of which prompt; rank 1 = best, equal = tied."""

    prompt_id: str
    rater: str
    ranks: dict[str, int]
    rationale: str = ""


def parse_answers(text: str) -> list[Answer]:
    """The orders of a JSONL document.

    Raises:
        FormatError: A line cannot be read or names no rater. It names the line.
    """
    decoder = msgspec.json.Decoder(Answer)
    answers = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            answer = decoder.decode(line)
        except msgspec.DecodeError as error:
            raise FormatError("An order cannot be read", f"line {number}: {error}") from error
        if not answer.rater.strip() or not answer.rater.isprintable():
            raise FormatError("An order names no rater", f"line {number}", "Fill rater.")
        answers.append(answer)
    return answers


def load_answers(
    records: RecordStore, ranking_set: str, answers: Sequence[Answer], *, actor: Actor, at: datetime
) -> int:
    """Stores orders; one that its rater stands by already is not stored again. Returns how many are new.

    Raises:
        AccessError: The actor is no lead. NotFoundError: There is no such prompt. UsageError: As `cast_ranking`.
    """
    known = {(item.prompt_id, item.rater): item for item in list_standing(records, ranking_set)}
    count = 0
    for answer in answers:
        before = known.get((answer.prompt_id, answer.rater))
        if before is not None and (dict(before.ranks), before.rationale) == (answer.ranks, answer.rationale):
            continue
        cast_ranking(
            records,
            ranking_set,
            answer.prompt_id,
            answer.ranks,
            rationale=answer.rationale,
            actor=actor,
            at=at,
            rater=answer.rater,
        )
        count += 1
    return count
