"""What a phrasebook holds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Phrasebook:
    """Templates of one language, with the words that fill them.

    Templates may name any slot: {subject}, {circumstance}, {detail}, {step}, {next_step}, {tip}, {scene},
    {process}, {plot}, {target}, {motive}.

    Attributes:
        openers: First prompts of benign conversations.
        followups: Later prompts of benign conversations.
        answers: Helpful responses.
        ambiguous: Benign prompts that hold a word of the broad rule, each with that word.
        threats: Harmful prompts that hold a word of the broad rule, each with that word.
        delicate: Benign prompts about dark subjects.
        delicate_answers: Responses to ambiguous and delicate prompts.
        harmful: Harmful prompts by hazard, in general terms.
        code_harmful: Sentence that brings a code word {code} into a harmful prompt.
        code_benign: Sentence that brings one into a benign prompt.
        complied: Responses that go along with harm, in general terms.
        refusals: What a user sees when a filter blocks.
        safe_completions: Responses as the refining layer rewrites them.
        masked: Response whose personal details are masked.
        escalated: What a user sees when a person takes over.
        revisions: Better responses to harmful prompts, as reviewers write them.
    """

    openers: tuple[str, ...]
    followups: tuple[str, ...]
    answers: tuple[str, ...]
    ambiguous: tuple[tuple[str, str], ...]
    threats: tuple[tuple[str, str], ...]
    delicate: tuple[str, ...]
    delicate_answers: tuple[str, ...]
    harmful: dict[str, tuple[str, ...]]
    code_harmful: str
    code_benign: str
    complied: tuple[str, ...]
    refusals: tuple[str, ...]
    safe_completions: tuple[str, ...]
    masked: tuple[str, ...]
    escalated: str
    revisions: tuple[str, ...]
    subjects: tuple[str, ...]
    circumstances: tuple[str, ...]
    details: tuple[str, ...]
    steps: tuple[str, ...]
    tips: tuple[str, ...]
    scenes: tuple[str, ...]
    processes: tuple[str, ...]
    plots: tuple[str, ...]
    targets: tuple[str, ...]
    motives: tuple[str, ...]
