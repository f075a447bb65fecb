"""Puts a suite to the configured model: each answer becomes a turn of a model log that names the suite and the run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from core.clock import isoformat, now
from core.errors import NotFoundError
from core.events import EventStore
from core.records import RecordStore
from core.settings import Settings
from incidents.audit import change
from incidents.constitution.endpoint import Endpoint, Estimate, estimate_cost
from incidents.constitution.principles import Constitution
from incidents.constitution.runs import read_answers
from incidents.people import Actor, Role
from ingest.load import load_records

SOURCE = "weir-stress"
_BATCH = 10


@dataclass(frozen=True, slots=True)
class AskWork:
    """Prompts of a suite that a run has not answered yet: (prompt_id, prompt)."""

    suite: str
    arm: str
    system: str
    prompts: tuple[tuple[str, str], ...]
    known: int

    def estimate(self, settings: Settings) -> Estimate:
        """An upper estimate of asking them."""
        return estimate_cost([self.system + prompt for _, prompt in self.prompts], settings=settings.critique)


def plan_asking(
    events: EventStore, records: RecordStore, *, suite: str, arm: str, constitution: Constitution | None
) -> AskWork:
    """What is left to ask.

    Args:
        constitution: Its principles become the model's system prompt; None = the model is asked as it is.

    Raises:
        NotFoundError: There is no such suite.
    """
    answers = read_answers(events, records, suite, arm).drop_nulls("prompt_id")
    if answers.is_empty():
        raise NotFoundError("No such suite", suite, "Try: weir stress load FILE.")
    left = answers.filter(answers["request_id"].is_null()).select("prompt_id", "prompt").rows()
    system = build_system_prompt(constitution) if constitution else ""
    return AskWork(suite, arm, system, tuple(left), answers.height - len(left))


def run_asking(
    events: EventStore,
    records: RecordStore,
    work: AskWork,
    endpoint: Endpoint,
    *,
    settings: Settings,
    actor: Actor,
    on_progress: Callable[[str, float], None] | None = None,
) -> int:
    """Asks what is left and stores the answers, a few at a time; returns how many.

    Raises:
        AccessError: The actor is no lead.
        EndpointError: The model did not answer; what was stored is kept.
    """
    actor.require(Role.LEAD)
    with change(records, actor=actor, at=now()) as current:
        current.record("suite.run", work.suite, {"arm": work.arm, "prompts": len(work.prompts)})
    for start in range(0, len(work.prompts), _BATCH):
        rows = []
        for index, (prompt_id, prompt) in enumerate(work.prompts[start : start + _BATCH], start=start):
            if on_progress:
                on_progress(prompt_id, index / len(work.prompts))
            answer = endpoint.ask(prompt, system=work.system)
            rows.append(
                {
                    "ts": isoformat(now()),
                    "request_id": f"{work.suite}:{work.arm}:{prompt_id}",
                    "model": endpoint.model,
                    "prompt": prompt,
                    "response": answer.text,
                    "outcome": "pass",
                    "input_tokens": answer.input_tokens,
                    "output_tokens": answer.output_tokens,
                    "suite": work.suite,
                    "arm": work.arm,
                }
            )
        load_records(events, "model_log", rows, source=SOURCE, settings=settings)
    return len(work.prompts)


def build_system_prompt(constitution: Constitution) -> str:
    """The principles as an instruction to the model."""
    rules = "\n".join(f"{principle.principle_id}. {principle.text}" for principle in constitution.principles)
    return f"Keep these principles in every answer:\n{rules}"
