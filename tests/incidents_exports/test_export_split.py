"""Splits: no leak, stable under growth, a pure function of the groups and the seed."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import UsageError
from incidents.exports.exporter import MESSAGES
from incidents.exports.split import MIN_SHARED_PROMPT_CHARS, assign_splits, check_split, find_components

START = datetime.fromisoformat("2026-03-02")
LONG = "How do I terminate a C program? "
PROMPTS = ["hi", "yes", LONG, LONG.upper(), f"{LONG} Please.", "Tell me about knives, in detail."]

turns_of_conversations = st.lists(
    st.tuples(st.sampled_from(["a", "b", "c", "d", "e", None]), st.sampled_from(PROMPTS)), max_size=12
)


def make_turns(entries: list[tuple[str | None, str]]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "request_id": [f"r{number:02}" for number in range(len(entries))],
            "ts": [START + timedelta(minutes=number) for number in range(len(entries))],
            "conversation_id": [conversation for conversation, _ in entries],
            "prompt": [prompt for _, prompt in entries],
            "messages": [[{"role": "user", "content": prompt}] for _, prompt in entries],
        },
        schema={
            "request_id": pl.String,
            "ts": pl.Datetime,
            "conversation_id": pl.String,
            "prompt": pl.String,
            "messages": MESSAGES,
        },
    )


def split_turns(turns: pl.DataFrame, *, seed: int = 1) -> pl.DataFrame:
    components = find_components(turns)
    splits = assign_splits(components["component"], split={"train": 0.5, "test": 0.5}, seed=seed)
    return turns.join(components.join(splits, on="component"), on="request_id")


@settings(deadline=None)
@given(turns_of_conversations, st.integers())
def test_nothing_that_belongs_together_is_torn_apart(entries: list[tuple[str | None, str]], seed: int) -> None:
    turns = split_turns(make_turns(entries), seed=seed)
    assert turns.height == len(entries)
    folded = turns.with_columns(pl.col("prompt").str.to_lowercase().str.strip_chars())
    for key in ("conversation_id", "prompt"):
        torn = folded.drop_nulls(key).group_by(key).agg(pl.col("split").n_unique()).filter(pl.col("split") > 1)
        assert torn.is_empty()


@settings(deadline=None)
@given(turns_of_conversations, turns_of_conversations)
def test_growth_moves_only_what_it_joins(
    before: list[tuple[str | None, str]], later: list[tuple[str | None, str]]
) -> None:
    old = find_components(make_turns(before))
    new = find_components(make_turns(before + later))
    both = old.join(new, on="request_id", suffix="_new")
    joined = both.group_by("component_new").agg(pl.col("component").unique(maintain_order=True))
    # Groups only ever merge, and a merged group takes the name of one that was in it.
    assert (
        both.group_by("component").agg(pl.col("component_new").n_unique())["component_new"].to_list()
        == [1] * old["component"].n_unique()
    )
    for name, parts in joined.iter_rows():
        assert name in parts
        if len(parts) == 1:
            assert parts == [name]


def test_a_follow_up_in_another_conversation_moves_nothing() -> None:
    first = make_turns([("a", LONG), ("b", "Tell me about knives, in detail.")])
    grown = make_turns([("a", LONG), ("b", "Tell me about knives, in detail."), ("c", LONG.upper())])
    assert find_components(first)["component"].to_list() == ["c:a", "c:b"]
    assert find_components(grown)["component"].to_list() == ["c:a", "c:b", "c:a"]


def test_short_follow_ups_do_not_tie_conversations_together() -> None:
    turns = make_turns([("a", "go on"), ("b", "go on")]).with_columns(
        messages=pl.Series(
            [
                [{"role": "user", "content": f"story {name}"}, {"role": "user", "content": "go on"}]
                for name in ("a", "b")
            ],
            dtype=MESSAGES,
        )
    )
    assert len("go on") < MIN_SHARED_PROMPT_CHARS
    assert find_components(turns)["component"].n_unique() == 2


def test_a_system_message_does_not_make_a_prompt_different() -> None:
    turns = make_turns([("a", "hi"), ("b", "hi")]).with_columns(
        messages=pl.Series(
            [[{"role": "system", "content": f"It is day {day}."}, {"role": "user", "content": "hi"}] for day in (1, 2)],
            dtype=MESSAGES,
        )
    )
    assert find_components(turns)["component"].n_unique() == 1


def test_a_conversation_and_a_turn_of_the_same_name_are_apart() -> None:
    turns = make_turns([("r01", "hi"), (None, LONG)])
    assert find_components(turns)["component"].to_list() == ["c:r01", "r:r01"]


def test_shares_are_met_and_seeds_differ() -> None:
    components = pl.Series([f"c:{number}" for number in range(4000)])
    split = {"train": 0.7, "test": 0.2, "holdout": 0.1}
    one, two = (assign_splits(components, split=split, seed=seed) for seed in (1, 2))
    for name, share in split.items():
        assert one.filter(split=name).height / 4000 == pytest.approx(share, abs=0.03)
    assert not one.equals(two)
    assert one.equals(assign_splits(components.reverse(), split=split, seed=1))


@pytest.mark.parametrize(
    "split",
    [
        {},
        {"train": 0.8},
        {"train": 0.8, "test": 0.3},
        {"train": 1.0, "test": 0.0},
        {"train": 1.5, "test": -0.5},
        {"../train": 1.0},
        {"provenance": 1.0},
        {"": 1.0},
        {"train": float("nan")},
    ],
)
def test_a_bad_split_is_refused(split: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        check_split(split)


def test_good_splits_pass() -> None:
    check_split({"train": 1.0})
    check_split({"train": 0.7, "validation": 0.2, "test": 0.1})
