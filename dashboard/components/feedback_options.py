"""What a feedback set is for and how it is cut: the choices that come before any number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import streamlit as st

from incidents.exports import EXPORTS
from incidents.exports.exporter import Exporter, Variant
from incidents.exports.variants import choose_exporter, has_soft_labels, has_variants

PURPOSES = {
    "classifier": "Retrain a classifier",
    "balanced-errors": "Test a filter for over-blocking",
    "trl-kto": "Teach a model from single judgements (KTO)",
    "trl-preference": "Train on preferences (DPO)",
    "reward-ranking": "Train a reward model",
    "trl-sft": "Teach answers to imitate (SFT)",
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
        is_plain: Conversations are plain text instead of lists of messages.
        soft_labels: Rows hold the distribution of the votes.
        new_since: Number of the set that this one goes on from; None = a whole set.
    """

    name: str
    test_percent: int
    seed: int
    include_contested: bool
    is_plain: bool = False
    soft_labels: bool = False
    new_since: int | None = None

    @property
    def variant(self) -> Variant | None:
        """The variant asked for; None = the format's usual one."""
        return "plain" if self.is_plain else None

    @property
    def exporter(self) -> Exporter:
        """The format in the form chosen."""
        return choose_exporter(self.name, variant=self.variant, soft_labels=self.soft_labels)

    def split(self) -> dict[str, float]:
        """The share of each split; a test share of 0 leaves the training split alone."""
        if not self.test_percent:
            return {"train": 1.0}
        return {"train": (100 - self.test_percent) / 100, "test": self.test_percent / 100}


def describe_purpose(name: str) -> str:
    """What the format is for, in the words of who trains."""
    return PURPOSES.get(name) or (EXPORTS[name].title if name in EXPORTS else name)


def render(last_numbers: Mapping[str, int]) -> Options:
    """Shows the choices; returns what is chosen.

    Args:
        last_numbers: Number of the newest set of each format that has one.
    """
    name = st.radio(
        "What is the set for?",
        list(PURPOSES),
        format_func=describe_purpose,
        captions=[EXPORTS[name].title for name in PURPOSES],
        horizontal=True,
        key="feedback_purpose",
    )
    st.caption(EXPORTS[name].description)
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
            help="A conversation, everything of its user, and near-duplicates of its prompts stay in one part. What an earlier "
            "set kept for testing stays there.",
        )
        seed = st.number_input(
            "Seed",
            min_value=0,
            max_value=2**31 - 1,
            value=0,
            step=1,
            width=130,
            key="feedback_seed",
            help="The same data, choices and seed give the same bytes. Keep to one: each new seed adds to what is kept for testing.",
        )
        with st.container(gap="small", width="content"):
            return _render_toggles(name, test_percent, seed, last_numbers.get(name))


def _render_toggles(name: str, test_percent: int, seed: int, last_number: int | None) -> Options:
    soft_labels = has_soft_labels(name) and st.toggle(
        "Votes as shares, undecided turns too",
        key=f"feedback_soft_{name}",
        help="Each row holds the shares of harmful, benign and unsure votes.",
    )
    include_contested = st.toggle(
        "Take turns on which reviewers disagree",
        value=EXPORTS[name].takes_contested,
        disabled=soft_labels,
        key=f"feedback_contested_{name}",
        help="The majority decides; a tie never becomes a row.",
    )
    is_plain = has_variants(name) and st.toggle(
        "Plain text instead of messages",
        key=f"feedback_plain_{name}",
        help="Conversations as one text with the speakers Human and Assistant.",
    )
    is_new = last_number is not None and st.toggle(
        f"Only what is new since set {last_number}",
        key=f"feedback_new_{name}",
        help="Rows that no earlier set of this kind holds.",
    )
    return Options(
        name=name,
        test_percent=test_percent,
        seed=seed,
        include_contested=include_contested,
        is_plain=is_plain,
        soft_labels=soft_labels,
        new_since=last_number if is_new else None,
    )
