"""Splits that do not leak: what belongs together lands together, and stays there as the store grows."""

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
from incidents.exports.exporter import fold

MIN_SHARED_PROMPT_CHARS = 20
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


def find_components(turns: pl.DataFrame) -> pl.DataFrame:
    """The groups of turns that may not be torn apart.

    Two conversations belong together when a whole prompt (its context included, system messages not) is the
    same in both after folding case, Unicode form and white space, or when a last message of at least
    `MIN_SHARED_PROMPT_CHARS` characters is; shorter ones ("yes", "go on") would tie everything together.

    Args:
        turns: request_id, ts, conversation_id, prompt, messages; all judged turns, not only the exported
            ones, so that a window does not change the groups.

    Returns:
        request_id and component: the conversation of the component's earliest turn. Turns that happen later
        never change it, unless they join two components into one, which takes the earlier name.
    """
    turns = turns.select(
        "request_id",
        "ts",
        # The prefixes keep a conversation and a turn of the same name apart.
        node=pl.coalesce("c:" + pl.col("conversation_id"), "r:" + pl.col("request_id")),
        last=fold(pl.col("prompt")),
        whole=fold(
            pl.col("messages")
            .list.eval(pl.element().filter(pl.element().struct.field("role") != "system").struct.field("content"))
            .list.join("\n")
        ),
    )
    keys = pl.concat(
        [
            turns.select("node", key="w:" + pl.col("whole")),
            turns.filter(pl.col("last").str.len_chars() >= MIN_SHARED_PROMPT_CHARS).select(
                "node", key="l:" + pl.col("last")
            ),
        ]
    ).drop_nulls()
    nodes = turns.sort("ts", "request_id", nulls_last=True).select("node").unique(maintain_order=True)
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
    return turns.join(named, on="node").select("request_id", "component")


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
