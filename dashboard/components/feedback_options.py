"""What a feedback set is for and how it is cut: the choices that come before any number."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from incidents.exports import EXPORTS
from incidents.exports.exporter import Exporter

PURPOSES = {
    "trl-preference": "Train a preference model",
    "trl-kto": "Teach a model from single judgements (KTO)",
    "classifier": "Retrain a classifier",
    "balanced-errors": "Test a filter for over-blocking",
    "trl-sft": "Teach answers to imitate (SFT)",
    "reward-ranking": "Train a reward model",
    "trl-prompt-only": "Prompts for online training",
    "cai": "Critique and revise under principles",
    "llama-guard": "Retrain Llama Guard",
    "openai-sft": "Hosted fine-tuning on answers",
    "openai-dpo": "Hosted fine-tuning on preferences",
    "label-studio": "Annotate further in Label Studio",
    "argilla": "Annotate further in Argilla",
}
MAX_TEST_PERCENT = 50


@dataclass(frozen=True, slots=True)
class Options:
    """What the reader chose. Hashable, so that it can key a cache.

    Attributes:
        name: Key of the export format.
        test_percent: Share of rows kept for testing, 0 to `MAX_TEST_PERCENT`.
        seed: Salt of the split.
        include_contested: Turns are taken on which reviewers disagree.
    """

    name: str
    test_percent: int
    seed: int
    include_contested: bool

    @property
    def exporter(self) -> Exporter:
        """The format."""
        return EXPORTS[self.name]

    def split(self) -> dict[str, float]:
        """The share of each split; a test share of 0 leaves the training split alone."""
        if not self.test_percent:
            return {"train": 1.0}
        return {"train": (100 - self.test_percent) / 100, "test": self.test_percent / 100}


def describe_purpose(name: str) -> str:
    """What the format is for, in the words of who trains."""
    return PURPOSES.get(name) or (EXPORTS[name].title if name in EXPORTS else name)


def render() -> Options:
    """Shows the choices; returns what is chosen."""
    name = st.radio(
        "What is the set for?",
        list(EXPORTS),
        format_func=describe_purpose,
        captions=[exporter.title for exporter in EXPORTS.values()],
        horizontal=True,
        key="feedback_purpose",
    )
    exporter = EXPORTS[name]
    st.caption(exporter.description)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium", key="feedback_options"):
        test_percent = st.slider(
            "Kept for testing",
            0,
            MAX_TEST_PERCENT,
            20,
            step=5,
            format="%d %%",
            width=220,
            key="feedback_test",
            help="A conversation, and every turn with the same prompt, stays in one part.",
        )
        seed = st.number_input(
            "Seed",
            min_value=0,
            max_value=2**31 - 1,
            value=0,
            step=1,
            width=130,
            key="feedback_seed",
            help="The same data, choices and seed give the same bytes.",
        )
        include_contested = st.toggle(
            "Take turns on which reviewers disagree",
            value=exporter.takes_contested,
            key=f"feedback_contested_{name}",
            help="The majority decides; a tie never becomes a row.",
        )
    return Options(name, test_percent, seed, include_contested)
