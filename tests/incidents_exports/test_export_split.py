"""Splits: no leak, stable under growth, a pure function of the groups, the seed and the sets built earlier."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import UsageError
from incidents.exports.exporter import MESSAGES
from incidents.exports.split import (
    EARLIER,
    assign_splits,
    check_split,
    find_components,
    hash_prompts,
    place_turns,
    training_split,
)
from incidents.near_duplicates import (
    MIN_CHARS,
    MIN_JACCARD,
    SHINGLE_CHARS,
    fold,
    group_near_duplicates,
    hash_text,
)

START = datetime.fromisoformat("2026-03-02")
HALVES = {"train": 0.5, "test": 0.5}
LONG = "How do I terminate a C program that hangs? "
NEAR = "How do I terminate a C program that hangs on me"
PROMPTS = [
    "hi",
    "yes",
    LONG,
    LONG.upper(),
    NEAR,
    "Tell me about knives, in detail.",
    "What is a good soup for a cold day?",
]

entries_of_turns = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c", "d", "e", "f", "g", None]),
        st.sampled_from(["u", "v", "w", None, None, " "]),
        st.sampled_from(PROMPTS),
    ),
    max_size=12,
)
Entry = tuple[str | None, str | None, str]


def make_turns(entries: list[Entry]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "request_id": [f"r{number:02}" for number in range(len(entries))],
            "ts": [START + timedelta(minutes=number) for number in range(len(entries))],
            "conversation_id": [conversation for conversation, _, _ in entries],
            "user_id": [user for _, user, _ in entries],
            "prompt": [prompt for _, _, prompt in entries],
            "messages": [[{"role": "user", "content": prompt}] for _, _, prompt in entries],
        },
        schema={
            "request_id": pl.String,
            "ts": pl.Datetime,
            "conversation_id": pl.String,
            "user_id": pl.String,
            "prompt": pl.String,
            "messages": MESSAGES,
        },
    )


def in_conversations(*pairs: tuple[str | None, str]) -> pl.DataFrame:
    return make_turns([(conversation, None, prompt) for conversation, prompt in pairs])


NOTHING_EARLIER = pl.DataFrame(schema=EARLIER)


def remember(turns: pl.DataFrame, placed: pl.DataFrame, split: dict[str, float]) -> pl.DataFrame:
    """What the ledger keeps of a set that holds every turn that has a place."""
    rows = hash_prompts(turns).join(placed.filter(pl.col("place_problem").is_null()), on="request_id")
    return rows.with_columns(is_held_out=pl.col("split") != training_split(split)).select(*EARLIER).cast(dict(EARLIER))


def belong_together(one: dict[str, object], other: dict[str, object]) -> bool:
    """The rule, told another way than in the code: exact similarity of every pair."""
    for name in ("conversation_id", "user_id"):
        if one[name] is not None and str(one[name]).strip() and one[name] == other[name]:
            return True
    first, second = fold(str(one["prompt"])), fold(str(other["prompt"]))
    if one["prompt"] == other["prompt"] or (first == second and len(first) >= MIN_CHARS):
        return True
    if min(len(first), len(second)) < MIN_CHARS:
        return False
    sets = [{text[at : at + SHINGLE_CHARS] for at in range(len(text) - SHINGLE_CHARS + 1)} for text in (first, second)]
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1]) >= MIN_JACCARD


@settings(deadline=None, max_examples=40)
@given(st.lists(entries_of_turns, min_size=10, max_size=10), st.lists(st.integers(0, 3), min_size=10, max_size=10))
def test_ten_sets_of_a_growing_store_never_leak(batches: list[list[Entry]], seeds: list[int]) -> None:
    """No component crosses a split, what was once held out never trains, and the same inputs give the same places."""
    entries: list[Entry] = []
    earlier, once_held_out = NOTHING_EARLIER, set[str]()
    for batch, seed in zip(batches, seeds, strict=True):
        entries += batch
        turns = make_turns(entries)
        placed = place_turns(turns, earlier, split=HALVES, seed=seed)
        assert placed.equals(place_turns(turns.reverse(), earlier.reverse(), split=HALVES, seed=seed))
        assert placed["request_id"].to_list() == turns["request_id"].to_list()
        used = placed.filter(pl.col("place_problem").is_null())
        torn = used.group_by("component").agg(pl.col("split").n_unique()).filter(pl.col("split") > 1)
        assert torn.is_empty()
        rows = turns.join(used, on="request_id").to_dicts()
        for one, other in itertools.combinations(rows, 2):
            if belong_together(one, other):
                assert one["split"] == other["split"], (one, other)
        trained = set(used.filter(split="train")["request_id"])
        assert not trained & once_held_out
        once_held_out |= set(used.filter(split="test")["request_id"])
        earlier = pl.concat([earlier, remember(turns, placed, HALVES)])
        assert (
            place_turns(turns, earlier, split=HALVES, seed=seed)
            .select("request_id", "split")
            .equals(placed.select("request_id", "split"))
            or not placed["place_problem"].is_null().all()
        )


@settings(deadline=None, max_examples=50)
@given(entries_of_turns, entries_of_turns)
def test_growth_moves_only_what_it_joins(before: list[Entry], later: list[Entry]) -> None:
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


def test_users_and_near_duplicates_tie_conversations_together() -> None:
    soup = "What is a good soup for a cold day?"
    turns = make_turns([("a", "u", LONG), ("b", "u", soup), ("c", None, NEAR), ("d", None, "hi"), ("e", " ", "yes")])
    assert find_components(turns)["component"].to_list() == ["c:a", "c:a", "c:a", "c:d", "c:e"]


def test_blank_users_tie_nothing() -> None:
    turns = make_turns([("a", " ", "hi"), ("b", " ", "yes"), ("c", None, "no"), ("d", None, "ok")])
    assert find_components(turns)["component"].n_unique() == 4


def find_seed(turns: pl.DataFrame, *splits: str) -> int:
    """A seed whose hash places the turns so."""
    return next(
        seed
        for seed in range(10_000)
        if tuple(place_turns(turns, NOTHING_EARLIER, split=HALVES, seed=seed)["split"]) == splits
    )


def test_what_was_held_out_stays_so_whatever_the_seed() -> None:
    turns = in_conversations(("a", LONG), ("b", "Tell me about knives, in detail."))
    seed = find_seed(turns, "test", "train")
    earlier = remember(turns, place_turns(turns, NOTHING_EARLIER, split=HALVES, seed=seed), HALVES)
    other = find_seed(turns, "train", "train")
    placed = place_turns(turns, earlier, split=HALVES, seed=other)
    assert placed["split"].to_list() == ["test", "train"]
    assert placed["hashed_split"].to_list() == ["train", "train"]
    assert placed["was_trained"].to_list() == [False, True]
    three = place_turns(turns, earlier, split={"train": 0.8, "validation": 0.1, "holdout": 0.1}, seed=other)
    assert three["split"].to_list() == ["holdout", "train"], "a split of another name that is held out takes it"
    alone = place_turns(turns, earlier, split={"train": 1.0}, seed=other)
    assert alone["place_problem"].to_list() == ["held_out", None]


def test_when_groups_merge_test_wins_and_what_trained_is_left_out() -> None:
    entries: list[Entry] = [("a", None, LONG), ("b", None, "Tell me about knives, in detail.")]
    turns = make_turns(entries)
    seed = find_seed(turns, "train", "test")
    earlier = remember(turns, place_turns(turns, NOTHING_EARLIER, split=HALVES, seed=seed), HALVES)
    joined = make_turns([*entries, ("a", "u", "no"), ("b", "u", "yes")])
    placed = place_turns(joined, earlier, split=HALVES, seed=seed)
    assert placed["component"].n_unique() == 1
    assert placed["place_problem"].to_list() == ["joined_test", None, None, None]
    assert placed["split"].to_list()[1:] == ["test"] * 3


@pytest.mark.parametrize("kept", ["conversation_id", "user_id", "prompt_hash"])
def test_the_ledger_binds_after_the_turn_itself_is_gone(kept: str) -> None:
    turns = make_turns([("a", "u", LONG)])
    row = hash_prompts(turns).with_columns(split=pl.lit("test"), is_held_out=pl.lit(value=True)).select(*EARLIER)
    gone = row.with_columns(
        pl.lit("gone").alias("request_id"),
        *(
            pl.lit(None, pl.String).alias(name)
            for name in ("conversation_id", "user_id", "prompt_hash")
            if name != kept
        ),
    ).select(*EARLIER)
    seed = find_seed(turns, "train")
    assert place_turns(turns, gone, split=HALVES, seed=seed)["split"].to_list() == ["test"]


def test_near_duplicates_are_folded_grouped_and_ordered() -> None:
    texts = pl.Series([None, "", LONG, "hi", f"  {LONG.upper()}!!", NEAR, "hi", "Etwas ganz anderes, bitte sehr."])
    assert group_near_duplicates(texts).to_list() == [0, 1, 2, 3, 2, 2, 6, 7]
    assert group_near_duplicates(texts.clear()).to_list() == []
    assert hash_text(LONG) == hash_text(LONG.upper()) != hash_text(NEAR)
    assert hash_text("hi") is None
    assert hash_text(None) is None


@settings(deadline=None, max_examples=60)
@given(st.lists(st.text("abcdé \n", min_size=15, max_size=60), max_size=8), st.text("abcdé \n", max_size=60))
def test_another_text_never_splits_a_group(texts: list[str], another: str) -> None:
    before = group_near_duplicates(pl.Series(texts, dtype=pl.String))
    after = group_near_duplicates(pl.Series([*texts, another], dtype=pl.String))[: len(texts)]
    pairs = pl.DataFrame({"before": before, "after": after})
    assert pairs.n_unique() == after.n_unique() or pairs.n_unique() == before.n_unique()
    assert pairs.group_by("before").agg(pl.col("after").n_unique())["after"].to_list() == [1] * before.n_unique()


def test_a_follow_up_in_another_conversation_moves_nothing() -> None:
    first = in_conversations(("a", LONG), ("b", "Tell me about knives, in detail."))
    grown = in_conversations(("a", LONG), ("b", "Tell me about knives, in detail."), ("c", LONG.upper()))
    assert find_components(first)["component"].to_list() == ["c:a", "c:b"]
    assert find_components(grown)["component"].to_list() == ["c:a", "c:b", "c:a"]


def test_short_follow_ups_do_not_tie_conversations_together() -> None:
    turns = in_conversations(("a", "go on"), ("b", "go on")).with_columns(
        messages=pl.Series(
            [
                [{"role": "user", "content": f"story {name}"}, {"role": "user", "content": "go on"}]
                for name in ("a", "b")
            ],
            dtype=MESSAGES,
        )
    )
    assert len("go on") < MIN_CHARS
    assert find_components(turns)["component"].n_unique() == 2


def test_a_system_message_does_not_make_a_prompt_different() -> None:
    turns = in_conversations(("a", "hi"), ("b", "hi")).with_columns(
        messages=pl.Series(
            [[{"role": "system", "content": f"It is day {day}."}, {"role": "user", "content": "hi"}] for day in (1, 2)],
            dtype=MESSAGES,
        )
    )
    assert find_components(turns)["component"].n_unique() == 1


def test_a_conversation_and_a_turn_of_the_same_name_are_apart() -> None:
    turns = in_conversations(("r01", "hi"), (None, LONG))
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
