"""Prompts with several responses each: from a file, or from candidates that a model log holds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
from sqlmodel import col, select

from core.errors import ConflictError, FormatError, UsageError
from core.events import EventStore
from core.records import RecordStore
from incidents.audit import change
from incidents.people import Actor, Role
from incidents.ranking.models import RankingPrompt, RankingResponse
from metrics.events import fetch, turns
from metrics.query import Query

LEAST, MOST = 2, 9
"""Responses that a prompt may have: each needs a number key of its own."""


class Response(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One response; `model` is kept from raters."""

    text: str
    response_id: str = ""
    model: str | None = None


class Prompt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of a ranking set's file.

    Attributes:
        prompt_id: Identity within the set.
        prompt: What was asked.
        responses: Two to nine, as texts or as objects; without ids they are called a, b, c ...
        request_id: The turn that it comes from, if any.
    """

    prompt_id: str
    prompt: str
    responses: tuple[str | Response, ...]
    request_id: str | None = None

    def name_responses(self) -> list[Response]:
        """The responses as objects, each with an id."""
        named = []
        for index, item in enumerate(self.responses):
            response = Response(item) if isinstance(item, str) else item
            name = response.response_id or "abcdefghi"[index]
            named.append(Response(response.text, name, response.model))
        return named


@dataclass(frozen=True, slots=True)
class SetSummary:
    """What loading did: prompts that are new, and those that were there already, unchanged."""

    ranking_set: str
    added: int
    known: int


def parse_prompts(text: str) -> list[Prompt]:
    """The prompts of a JSONL document.

    Raises:
        FormatError: A line cannot be read, or is no prompt with two to nine different responses. It names the line.
    """
    decoder = msgspec.json.Decoder(Prompt)
    prompts: dict[str, Prompt] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            prompt = decoder.decode(line)
        except msgspec.DecodeError as error:
            raise FormatError("A prompt cannot be read", f"line {number}: {error}") from error
        fault = _find_fault(prompt)
        if prompt.prompt_id in prompts:
            fault = "its prompt_id is there twice"
        if fault:
            raise FormatError("Nothing to rank", f"line {number}: {fault}")
        prompts[prompt.prompt_id] = prompt
    return list(prompts.values())


def load_prompts(
    records: RecordStore, ranking_set: str, prompts: Sequence[Prompt], *, actor: Actor, at: datetime
) -> SetSummary:
    """Adds prompts to a set. What is there stays as it is, because people may have ranked it.

    Raises:
        AccessError: The actor is no lead.
        UsageError: There is no prompt, or the set's name cannot be printed.
        ConflictError: A prompt is there already with other texts.
    """
    actor.require(Role.LEAD)
    if not prompts or not ranking_set or not ranking_set.isprintable() or len(ranking_set) > 100:
        raise UsageError("Not a ranking set", repr(ranking_set[:50]), "Give it a short name and at least one prompt.")
    with change(records, actor=actor, at=at) as current:
        known = {prompt.prompt_id: prompt for prompt in read_prompts(records, ranking_set)}
        fresh = [prompt for prompt in prompts if prompt.prompt_id not in known]
        for prompt in prompts:
            before = known.get(prompt.prompt_id)
            if before is not None and _texts(before) != _texts(prompt):
                raise ConflictError(
                    "A prompt is there with other texts", prompt.prompt_id, "Give it another prompt_id."
                )
        for position, prompt in enumerate(fresh, start=len(known)):
            current.session.add(
                RankingPrompt(
                    ranking_set=ranking_set,
                    prompt_id=prompt.prompt_id,
                    request_id=prompt.request_id,
                    prompt=prompt.prompt,
                    position=position,
                    loaded_at=at,
                )
            )
            current.session.add_all(
                RankingResponse(
                    ranking_set=ranking_set,
                    prompt_id=prompt.prompt_id,
                    response_id=response.response_id,
                    model=response.model,
                    text=response.text,
                )
                for response in prompt.name_responses()
            )
        current.record("ranking.load", ranking_set, {"added": len(fresh)})
    return SetSummary(ranking_set, len(fresh), len(prompts) - len(fresh))


def read_prompts(records: RecordStore, ranking_set: str) -> list[Prompt]:
    """The prompts of a set, in the order in which they were loaded; responses by id."""
    with records.session() as session:
        rows = session.exec(
            select(RankingPrompt).where(RankingPrompt.ranking_set == ranking_set).order_by(col(RankingPrompt.position))
        ).all()
        responses = session.exec(
            select(RankingResponse)
            .where(RankingResponse.ranking_set == ranking_set)
            .order_by(col(RankingResponse.response_id))
        ).all()
    own: dict[str, list[str | Response]] = {row.prompt_id: [] for row in rows}
    for response in responses:
        own[response.prompt_id].append(Response(response.text, response.response_id, response.model))
    return [Prompt(row.prompt_id, row.prompt, tuple(own[row.prompt_id]), row.request_id) for row in rows]


def list_sets(records: RecordStore) -> list[str]:
    """Names of the ranking sets, in order."""
    with records.session() as session:
        return sorted(session.exec(select(RankingPrompt.ranking_set).distinct()))


def find_candidates(events: EventStore, query: Query) -> list[Prompt]:
    """Logged turns with other sampled responses, as prompts to rank; equal responses count once."""
    backend = events.backend()
    chosen = turns(backend, query).select("request_id")
    table = backend.table("turns")
    table = table.filter(table.candidates.notnull(), table.prompt.notnull()).semi_join(chosen, "request_id")
    found = fetch(backend, table.select("request_id", "ts", "prompt", "response", "candidates")).sort(
        "ts", "request_id"
    )
    prompts = []
    for request_id, prompt, response, candidates in found.drop("ts").iter_rows():
        texts = list(dict.fromkeys(filter(None, [response, *_read_texts(candidates)])))[:MOST]
        candidate = Prompt(request_id, prompt, tuple(texts), request_id)
        if not _find_fault(candidate):
            prompts.append(candidate)
    return prompts


def _find_fault(prompt: Prompt) -> str:
    """Why a prompt cannot be ranked; "" when it can."""
    responses = prompt.name_responses() if len(prompt.responses) <= MOST else []
    if not LEAST <= len(responses) <= MOST:
        return f"it needs {LEAST} to {MOST} responses"
    if not (prompt.prompt_id.strip() and prompt.prompt.strip() and all(item.text.strip() for item in responses)):
        return "prompt_id, prompt and each response need a text"
    for name in ("response_id", "text"):
        if len({getattr(item, name) for item in responses}) < len(responses):
            return f"two responses have the same {name}"
    return ""


def _texts(prompt: Prompt) -> tuple[str, set[tuple[str, str]]]:
    return prompt.prompt, {(item.response_id, item.text) for item in prompt.name_responses()}


def _read_texts(candidates: str) -> list[str]:
    """Texts of a logged list of candidates: of strings, or of objects with the usual keys."""
    try:
        items = json.loads(candidates)
    except ValueError:
        return []
    texts = []
    for item in items if isinstance(items, list) else []:
        text = item if isinstance(item, str) else None
        if isinstance(item, dict):
            text = next((item[key] for key in ("text", "response", "content") if isinstance(item.get(key), str)), None)
        if text and text.strip():
            texts.append(text)
    return texts
