"""Splits that do not leak: what belongs together lands together, and what was held out stays held out."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping

import numpy as np
import polars as pl
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from core.errors import UsageError
from incidents.exports.exporter import Refusal, fold, normalise
from incidents.near_duplicates import group_near_duplicates, hash_text

EARLIER = pl.Schema(
    {
        "request_id": pl.String(),
        "conversation_id": pl.String(),
        "user_id": pl.String(),
        "prompt_hash": pl.String(),
        "split": pl.String(),
        "is_held_out": pl.Boolean(),
    }
)
"""Turns of earlier sets, as the ledger keeps them; `is_held_out` = in a split that does not train."""
_NAME = re.compile(r"^[a-z][a-z0-9_]{0,31}$")
_TAKEN = {"manifest", "provenance", "croissant"}


def check_split(split: Mapping[str, float]) -> None:
    """Raises UsageError unless `split` maps file-safe names to shares above 0 that sum to 1."""
    hint = "For example: train=0.8,test=0.2."
    for name, share in split.items():
        if not _NAME.match(name) or name in _TAKEN:
            raise UsageError("Not a split name", repr(name), f"Use lower-case letters, digits and _. {hint}")
        if not 0 < share <= 1:
            raise UsageError("Not a share", f"{name}={share}", f"Shares are above 0 and sum to 1. {hint}")
    if not math.isclose(sum(split.values()), 1, abs_tol=1e-9):
        raise UsageError("Shares do not sum to 1", f"they sum to {sum(split.values()):g}", hint)


def training_split(split: Mapping[str, float]) -> str:
    """The split that trains: `train`, else the first. All others are held out."""
    return "train" if "train" in split else next(iter(split))


def place_turns(turns: pl.DataFrame, earlier: pl.DataFrame, *, split: Mapping[str, float], seed: int) -> pl.DataFrame:
    """The split of each turn: by a hash of its component, unless an earlier set held out a part of that.

    A component that shares a turn, conversation, user or prompt with what was once held out is held out as a whole,
    whatever the hash says. Turns in it that only ever trained are left out: a model may know them already.

    Args:
        turns: Columns of `find_components`; all judged turns, not only the exported ones.
        earlier: What earlier sets held, as `EARLIER`.
        split: Share of each split.
        seed: Salt of the hash.

    Returns:
        request_id, component, split, hashed_split (what the hash alone would give), was_trained (an earlier set trained on
        the turn), and place_problem (the reason, for turns that fit into no split).
    """
    components = find_components(turns)
    hashed = assign_splits(components["component"], split=split, seed=seed)
    held_out, trained = (earlier.filter(pl.col("is_held_out") == flag) for flag in (True, False))
    bound = _bind(turns, held_out, components, split)
    placed = (
        components.join(hashed.rename({"split": "hashed_split"}), on="component", maintain_order="left")
        .join(bound, on="component", how="left", maintain_order="left")
        .with_columns(
            is_bound=pl.col("is_bound").fill_null(value=False),
            was_trained=pl.col("request_id").is_in(trained["request_id"].implode()),
            was_held_out=pl.col("request_id").is_in(held_out["request_id"].implode()),
        )
    )
    problem = (
        pl.when(pl.col("is_bound") & pl.col("was_trained") & ~pl.col("was_held_out"))
        .then(pl.lit(Refusal.JOINED_TEST.value))
        .when(pl.col("is_bound") & pl.col("bound_split").is_null())
        .then(pl.lit(Refusal.HELD_OUT.value))
    )
    return placed.select(
        "request_id",
        "component",
        split=pl.when("is_bound").then("bound_split").otherwise("hashed_split"),
        hashed_split="hashed_split",
        was_trained="was_trained",
        place_problem=problem,
    )


def find_components(turns: pl.DataFrame) -> pl.DataFrame:
    """The groups of turns that may not be torn apart.

    Two conversations belong together when they share the user, a whole prompt (its context included, system messages not;
    case, Unicode form and white space folded), or when last messages in them are near-duplicates (`near_duplicates`).

    Args:
        turns: request_id, ts, conversation_id, user_id, prompt, messages.

    Returns:
        request_id and component: the conversation of the component's earliest turn. Turns that happen later never
        change it, unless they join two components into one, which takes the earlier name.
    """
    turns = turns.sort("ts", "request_id", nulls_last=True)
    own = turns.select(
        "request_id",
        "user_id",
        # The prefixes keep a conversation and a turn of the same name apart.
        node=pl.coalesce("c:" + pl.col("conversation_id"), "r:" + pl.col("request_id")),
        whole=fold(
            pl.col("messages")
            .list.eval(pl.element().filter(pl.element().struct.field("role") != "system").struct.field("content"))
            .list.join("\n")
        ),
        alike=group_near_duplicates(turns["prompt"]).cast(pl.String),
    )
    keys = pl.concat(
        own.select("node", key=f"{name}:" + normalise(pl.col(name))) for name in ("whole", "user_id", "alike")
    ).drop_nulls()
    nodes = own.select("node").unique(maintain_order=True)
    number = nodes.with_row_index("number")
    edges = keys.join(number, on="node").with_columns(key=pl.col("key").rank("dense") + nodes.height - 1)
    size = nodes.height + (int(edges["key"].n_unique()) if edges.height else 0)
    graph = coo_array(
        (np.ones(edges.height, dtype=np.int8), (edges["number"].to_numpy(), edges["key"].to_numpy())),
        shape=(size, size),
    )
    labels = connected_components(graph, directed=False)[1][: nodes.height]
    named = nodes.with_columns(component=pl.Series(labels)).with_columns(
        component=pl.col("node").first().over("component")
    )
    return own.join(named, on="node", maintain_order="left").select("request_id", "component")


def assign_splits(components: pl.Series, *, split: Mapping[str, float], seed: int) -> pl.DataFrame:
    """The split of each component, by a hash of its name salted with `seed`.

    Returns:
        component and split, one row per distinct component.
    """
    names = list(split)
    bounds = np.cumsum(list(split.values()))[:-1]
    distinct = components.unique().sort()
    places = [int.from_bytes(hashlib.sha256(f"{seed}\0{name}".encode()).digest()[:8]) / 2**64 for name in distinct]
    chosen = [names[index] for index in np.searchsorted(bounds, places, side="right")]
    return pl.DataFrame({"component": distinct, "split": chosen}, schema={"component": pl.String, "split": pl.String})


def list_ties(turns: pl.DataFrame) -> pl.DataFrame:
    """What ties a turn to others by name: request_id and `tie`, several rows a turn.

    Args:
        turns: request_id, conversation_id, user_id, and prompt_hash (`near_duplicates.hash_text`).
    """
    named = ("request_id", "conversation_id", "user_id", "prompt_hash")
    return pl.concat(
        turns.select("request_id", tie=f"{name}:" + normalise(pl.col(name).cast(pl.String))) for name in named
    ).drop_nulls()


def hash_prompts(turns: pl.DataFrame) -> pl.DataFrame:
    """`turns` with `prompt_hash`."""
    return turns.with_columns(prompt_hash=pl.Series([hash_text(text) for text in turns["prompt"]], dtype=pl.String))


def _bind(
    turns: pl.DataFrame, held_out: pl.DataFrame, components: pl.DataFrame, split: Mapping[str, float]
) -> pl.DataFrame:
    """Components that hold what was held out: component, is_bound, bound_split (null when the set holds nothing out)."""
    places = [name for name in split if name != training_split(split)]
    # An earlier split of another name becomes the last one: what tests must stay apart matters more than its name.
    place = {name: number for number, name in enumerate(places)}
    rank = pl.col("split").replace_strict(place, default=len(places) - 1, return_dtype=pl.Int64)
    ties = list_ties(held_out).join(held_out.select("request_id", rank=rank).unique(), on="request_id")
    found = (
        list_ties(hash_prompts(turns))
        .join(ties.group_by("tie").agg(pl.col("rank").max()), on="tie")
        .join(components, on="request_id")
        .group_by("component")
        .agg(pl.col("rank").max())
    )
    names = dict(enumerate(places))
    return found.select(
        "component",
        is_bound=pl.lit(value=True),
        bound_split=pl.col("rank").replace_strict(names, default=None, return_dtype=pl.String),
    )
