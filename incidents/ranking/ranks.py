"""What a rater is shown, and what they say: orders of responses, ties allowed, blind to everybody else's."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, select

from core.errors import NotFoundError, UsageError
from core.records import RecordStore
from incidents.audit import change
from incidents.people import Actor, Role
from incidents.ranking.models import Ranking, RankingPrompt, RankingResponse
from incidents.ranking.prompts import read_prompts

RATIONALE_LIMIT = 4_000


@dataclass(frozen=True, slots=True)
class Task:
    """One prompt as one rater sees it.

    Attributes:
        responses: (response_id, text) in an order of the rater's own; who wrote them is not told.
        ranked: Prompts of the set that this rater has ranked.
        prompts: All of the set.
    """

    ranking_set: str
    prompt_id: str
    prompt: str
    responses: tuple[tuple[str, str], ...]
    ranked: int
    prompts: int


@dataclass(frozen=True, slots=True)
class Standing:
    """The order that one rater stands by: response_id to rank, 1 = best, equal = tied."""

    prompt_id: str
    rater: str
    ranks: Mapping[str, int]
    rationale: str
    ranked_at: datetime


def next_task(records: RecordStore, ranking_set: str, *, actor: Actor) -> Task | None:
    """The prompt that the actor should rank next: of those that they have not ranked, one that fewest have.

    Args:
        records: The decision store.
        ranking_set: The set.
        actor: Who will rank; nobody else's order is read into the task.

    Raises:
        AccessError: The actor is no reviewer. NotFoundError: There is no such set.
    """
    actor.require(Role.REVIEWER)
    prompts = read_prompts(records, ranking_set)
    if not prompts:
        raise NotFoundError("No such ranking set", repr(ranking_set), "Try: weir ranking import FILE.")
    standing = list_standing(records, ranking_set)
    done = {item.prompt_id for item in standing if item.rater == actor.name}
    times = Counter(item.prompt_id for item in standing)
    left = [prompt for prompt in prompts if prompt.prompt_id not in done]
    if not left:
        return None
    # Raters who begin together begin at different prompts, so that all prompts are soon ranked about as often.
    chosen = min(left, key=lambda item: (times[item.prompt_id], _shuffle(actor.name, item.prompt_id)))
    responses = sorted(
        ((item.response_id, item.text) for item in chosen.name_responses()),
        key=lambda item: _shuffle(actor.name, chosen.prompt_id, item[0]),
    )
    return Task(ranking_set, chosen.prompt_id, chosen.prompt, tuple(responses), len(done), len(prompts))


def cast_ranking(
    records: RecordStore,
    ranking_set: str,
    prompt_id: str,
    ranks: Mapping[str, int],
    *,
    rationale: str = "",
    actor: Actor,
    at: datetime,
    rater: str | None = None,
) -> None:
    """Adds an order; an earlier one by the same person counts no more.

    Args:
        records: The decision store.
        ranking_set: The set.
        prompt_id: The prompt.
        ranks: Rank of every response, 1 = best; equal ranks are ties, gaps do not matter.
        rationale: Why.
        actor: Who acts.
        at: Now.
        rater: Whose order it is when a lead brings in what was ranked elsewhere; None = the actor's.

    Raises:
        AccessError: The actor is no reviewer, or names another rater without being a lead.
        NotFoundError: There is no such prompt.
        UsageError: A response lacks a rank, or one is ranked that there is not; the rationale is too long.
    """
    actor.require(Role.REVIEWER if rater is None else Role.LEAD)
    if len(rationale) > RATIONALE_LIMIT or "\0" in rationale:
        raise UsageError("A rationale cannot be kept", "", f"Keep it within {RATIONALE_LIMIT:,} characters.")
    with change(records, actor=actor, at=at) as current:
        known = _list_response_ids(current.session, ranking_set, prompt_id)
        if set(ranks) != known:
            odd = ", ".join(sorted(set(ranks) ^ known))
            raise UsageError(
                "Every response needs a rank", f"{prompt_id}: {odd}"[:300], "Rank each once; ties are fine."
            )
        order = {rank: place for place, rank in enumerate(sorted(set(ranks.values())), start=1)}
        dense = {response_id: order[ranks[response_id]] for response_id in sorted(ranks)}
        current.session.add(
            Ranking(
                ranking_set=ranking_set,
                prompt_id=prompt_id,
                rater=rater or actor.name,
                ranked_at=at,
                ranks=json.dumps(dense),
                rationale=rationale.strip(),
            )
        )
        current.record("ranking.cast", ranking_set, {"prompt_id": prompt_id, "rater": rater or actor.name})


def reveal_task(records: RecordStore, task: Task, *, actor: Actor, at: datetime) -> None:
    """Records that the actor saw the texts of a prompt to rank."""
    actor.require(Role.REVIEWER)
    with change(records, actor=actor, at=at) as current:
        current.record("ranking.reveal", task.ranking_set, {"prompt_id": task.prompt_id})


def list_standing(records: RecordStore, ranking_set: str) -> list[Standing]:
    """Each rater's latest order of each prompt, by prompt and rater."""
    query = select(Ranking).where(Ranking.ranking_set == ranking_set).order_by(col(Ranking.ranking_id))
    with records.session() as session:
        latest = {(row.prompt_id, row.rater): row for row in session.exec(query)}
    return [
        Standing(prompt_id, rater, json.loads(row.ranks), row.rationale, row.ranked_at)
        for (prompt_id, rater), row in sorted(latest.items())
    ]


def _list_response_ids(session: Session, ranking_set: str, prompt_id: str) -> set[str]:
    if session.get(RankingPrompt, (ranking_set, prompt_id)) is None:
        raise NotFoundError("No such prompt", f"{ranking_set}: {prompt_id}"[:200])
    return set(
        session.exec(
            select(RankingResponse.response_id).where(
                RankingResponse.ranking_set == ranking_set, RankingResponse.prompt_id == prompt_id
            )
        )
    )


def _shuffle(*parts: str) -> bytes:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).digest()
