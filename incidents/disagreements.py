"""Reviewing only what two filters disagree about: a sample of those turns, in strata by who of the two triggered."""

from __future__ import annotations

import hashlib
from functools import partial

import ibis
import polars as pl

from core.errors import UsageError
from core.events import EventStore
from core.records import RecordStore
from core.settings import Settings
from incidents.people import Actor
from incidents.sampling import SampleSummary, draw_sample
from metrics.events import fetch
from metrics.query import Query
from metrics.shadow import list_disagreements


def draw_disagreements(
    records: RecordStore,
    events: EventStore,
    query: Query,
    *,
    n: int,
    settings: Settings,
    actor: Actor,
    seed: int | None = None,
) -> SampleSummary:
    """Draws `n` turns that a reference and a candidate decided differently, or all when there are fewer, into the queue.

    Args:
        records: The decision store.
        events: The event store.
        query: The window, and with `pair` the two sides; without it every filter that runs in shadow against what is
            enforced, as the report `shadow` pairs them.
        n: Turns to draw.
        settings: As in `incidents.sampling.draw_sample`.
        actor: Who asks; needs the role lead.
        seed: As in `incidents.sampling.draw_sample`.

    Raises:
        UsageError: Nothing is left to draw, or `n` does not reach one turn per stratum.
    """
    read = partial(read_disagreements, events, query)
    return draw_sample(records, events, query, n=n, settings=settings, actor=actor, seed=seed, read=read)


def read_disagreements(events: EventStore, query: Query, seed: int) -> pl.DataFrame:
    """The disagreements as a population to draw from, with the columns of `incidents.strata.read_candidates`.

    A stratum is one direction of one pair; a turn that several pairs disagree about belongs to the first of them.
    """
    backend = events.backend()
    found = list_disagreements(backend, query).sort("request_id", "reference", "candidate")
    found = found.unique("request_id", keep="first", maintain_order=True)
    if found.is_empty():
        raise UsageError("Nothing to draw from", "the two sides never disagree in this window", "Widen the window.")
    turns = backend.table("turns").select("request_id", "conversation_id", "ts")
    known = fetch(backend, turns.semi_join(ibis.memtable(found.select("request_id")), "request_id"))
    direction = pl.when("candidate_fired").then(pl.lit("only-candidate")).otherwise(pl.lit("only-reference"))
    rows = found.join(known, on="request_id").select(
        "request_id",
        "conversation_id",
        "ts",
        is_triggered="candidate_fired",
        parent=pl.format("{} against {}/{}", "candidate", "reference", direction),
        band=pl.lit(None, dtype=pl.String),
        # The permanent random number of `incidents.strata`, so that draws add up.
        number=pl.col("request_id").map_elements(
            lambda name: hashlib.md5(f"{seed}:{name}".encode(), usedforsecurity=False).hexdigest(),
            return_dtype=pl.String,
        ),
    )
    return rows.with_columns(size=pl.len().over("parent").cast(pl.Int64))
