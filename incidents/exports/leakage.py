"""What a split prevents, measured on the rows themselves: whatever the split did, these numbers tell."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from incidents.exports.split import hash_prompts, list_ties
from incidents.near_duplicates import group_near_duplicates


@dataclass(frozen=True, slots=True)
class Leakage:
    """What is torn apart, and what earlier sets had to do with the split.

    Attributes:
        conversations: Conversations with rows in more than one split.
        users: Users with rows in more than one split.
        prompts: Whole prompts with rows in more than one split.
        near_duplicates: Groups of near-duplicate last messages with rows in more than one split.
        held_out_before: Training rows that share a turn, conversation, user or prompt with what an earlier set held out.
        components: Groups of turns that belong together and have rows.
        largest_component: Rows of the largest one.
        kept_held_out: Rows that are held out only because an earlier set held out what they belong with.
        held_out_after_training: Held-out rows whose turn trained an earlier set: they measure only models trained anew.
    """

    conversations: int
    users: int
    prompts: int
    near_duplicates: int
    held_out_before: int
    components: int
    largest_component: int
    kept_held_out: int
    held_out_after_training: int

    @property
    def torn(self) -> int:
        """How many things leak; 0 in a set that may be used."""
        return self.conversations + self.users + self.prompts + self.near_duplicates + self.held_out_before


def measure_leakage(rows: pl.DataFrame, earlier: pl.DataFrame, *, training: str) -> Leakage:
    """The leakage report.

    Args:
        rows: request_id, split, hashed_split, component, was_trained, conversation_id, user_id, messages, prompt.
        earlier: What earlier sets held, as `split.EARLIER`.
        training: The split that trains.
    """
    keyed = rows.select(
        "split",
        "conversation_id",
        "user_id",
        whole=pl.struct("messages").struct.json_encode(),
        alike=group_near_duplicates(rows["prompt"]),
    )
    trains = pl.col("split") == training
    held_out = list_ties(earlier.filter("is_held_out"))["tie"].unique()
    ties = list_ties(hash_prompts(rows.filter(trains)))
    sizes = rows["component"].value_counts()["count"]
    return Leakage(
        conversations=_count_torn(keyed, "conversation_id"),
        users=_count_torn(keyed, "user_id"),
        prompts=_count_torn(keyed, "whole"),
        near_duplicates=_count_torn(keyed, "alike"),
        held_out_before=ties.filter(pl.col("tie").is_in(held_out.implode()))["request_id"].n_unique(),
        components=sizes.len(),
        largest_component=int(sizes.max() or 0),  # type: ignore[arg-type]  # counts
        kept_held_out=rows.filter(~trains & (pl.col("hashed_split") == training)).height,
        held_out_after_training=rows.filter(~trains & pl.col("was_trained")).height,
    )


def _count_torn(rows: pl.DataFrame, column: str) -> int:
    splits = rows.drop_nulls(column).group_by(column).agg(pl.col("split").n_unique())
    return splits.filter(pl.col("split") > 1).height
