"""From judged turns to a feedback set in memory: select, refuse, build, split. Same store, same set."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime

import polars as pl

from core.events import EventStore
from incidents.exports.exporter import RANKED, Exporter, Refusal, part
from incidents.exports.labelled import find_harmful_texts, read_filter_versions, read_labelled, read_reviewers
from incidents.exports.leakage import Leakage, measure_leakage
from incidents.exports.refusals import match_kinds, refuse_rows, refuse_turns
from incidents.exports.split import EARLIER, check_split, place_turns, training_split
from ingest.schema import get_data_version
from metrics.query import Query

OnProgress = Callable[[float, str], None]
"""Called with the share done (0..1) and what is being done."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a feedback set is made from; the stores and this determine every byte.

    Attributes:
        exporter: The format.
        query: Window (over the turns' time) and filters that select the turns.
        split: Share of each split, in order.
        seed: Salt of the split.
        include_contested: Whether turns are taken on which reviewers disagree; None = as the format does.
        new_since: Number of the set of this format that this one goes on from: rows that it or one before it holds are
            left out. None = a whole set.
    """

    exporter: Exporter
    query: Query
    split: Mapping[str, float]
    seed: int
    include_contested: bool | None = None
    new_since: int | None = None

    @property
    def takes_contested(self) -> bool:
        """Whether turns are taken on which reviewers disagree."""
        if self.exporter.has_soft_labels:
            return True
        return self.exporter.takes_contested if self.include_contested is None else self.include_contested


@dataclass(frozen=True, slots=True)
class Bindings:
    """What the decision store binds a set to.

    Attributes:
        earlier: Turns of the sets built so far, as `split.EARLIER`.
        held_rows: Names of the rows (`row_key`) that the set must not repeat; empty unless only new ones are asked for.
        guideline: Version of the reviewers' guideline in force; None before the first.
    """

    earlier: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=EARLIER))
    held_rows: pl.Series = field(default_factory=lambda: pl.Series(dtype=pl.String))
    guideline: str | None = None


@dataclass(frozen=True, slots=True)
class Sources:
    """What the event store holds for a feedback set, all of one moment.

    Attributes:
        labelled: Every judged turn (`labelled.read_labelled`).
        filter_versions: Which filters checked them: request_id, filter_name, filter_version, policy_id, policy_version.
        reviewers: Reviewer to pseudonym.
        data_version: Id of the last ingest.
    """

    labelled: pl.DataFrame
    filter_versions: pl.DataFrame
    reviewers: dict[str, str]
    data_version: int


@dataclass(frozen=True, slots=True)
class FeedbackSet:
    """Rows with where they come from.

    Attributes:
        recipe: What it was made from.
        rows: In order of time: `training` (struct of the exporter's columns but `weight`), `kind` and `origin`,
            `split`, `weight`, `row_key` (names the row's content whatever its weight), `component`, `hashed_split`,
            `was_trained`, and the columns of `labelled.read_labelled`.
        refused: Turns and rows left out, by reason, sorted by reason.
        judged: Judged turns that the query holds.
        data_version: Id of the last ingest.
        label_snapshot_at: Time of the newest verdict on a selected turn; None without any.
        filter_versions: Filters that checked the exported turns: {filter_name, filter_version, policy_id, policy_version}.
        reviewers: Reviewer to pseudonym.
        leakage: What the split prevents, counted.
        guideline: Version of the reviewers' guideline in force; None without any.
    """

    recipe: Recipe
    rows: pl.DataFrame
    refused: dict[str, int]
    judged: int
    data_version: int
    label_snapshot_at: datetime | None
    filter_versions: list[dict[str, str | None]]
    reviewers: dict[str, str]
    leakage: Leakage
    guideline: str | None

    def training_rows(self, split: str) -> pl.DataFrame:
        """The exporter's columns of one split."""
        rows = self.rows.filter(split=split).select("training", "weight").unnest("training")
        return rows.select(*self.recipe.exporter.columns)

    def counts(self) -> dict[str, int]:
        """Rows of each split."""
        return {name: self.rows.filter(split=name).height for name in self.recipe.split}

    def balance(self) -> dict[str, dict[str, int]]:
        """Rows of each kind, by split."""
        return {
            name: {kind: self.rows.filter(split=name, kind=kind).height for kind in self.recipe.exporter.kinds}
            for name in self.recipe.split
        }


def derive(
    events: EventStore,
    recipe: Recipe,
    *,
    bindings: Bindings | None = None,
    ranked: pl.DataFrame | None = None,
    on_progress: OnProgress | None = None,
) -> FeedbackSet:
    """The feedback set that the stores give now.

    Args:
        events: Turns and verdicts.
        recipe: What to make of them.
        bindings: What the decision store binds it to (`ledger.read_bindings`); None = nothing.
        ranked: Pairs out of rankings (`ranking.exported.read_ranked`), for formats that take them; None = none.
        on_progress: Called with the share done and what is being done.

    Raises:
        UsageError: The split is invalid.
    """
    report = on_progress or _ignore
    check_split(recipe.split)
    report(0.0, "Reading judged turns")
    sources = read_sources(events, recipe.query, on_progress=report)
    if recipe.exporter.takes_rankings and ranked is not None and ranked.height:
        sources = add_ranked(sources, ranked, recipe.query)
    return compose(sources, recipe, bindings=bindings or Bindings(), on_progress=report)


def read_sources(events: EventStore, query: Query, *, on_progress: OnProgress | None = None) -> Sources:
    """What a feedback set is made from; turns of the whole store, because grouping needs them."""
    report = on_progress or _ignore
    with _snapshot(events):
        data_version = get_data_version(events)
        labelled = read_labelled(events, query)
        report(0.3, "Reading filter versions")
        return Sources(labelled, read_filter_versions(events), read_reviewers(events), data_version)


def add_ranked(sources: Sources, ranked: pl.DataFrame, query: Query) -> Sources:
    """`sources` with each ranked pair as one more judged turn, of an answer that nobody called harmful.

    No filter checked a ranking: a query that names one selects none. Raters who have never judged a turn get pseudonyms of
    their own, numbered by first ranking.
    """
    is_selected = pl.lit(value=not query.filters)
    if query.since is not None:
        is_selected &= pl.col("ts") >= query.since
    if query.until is not None:
        is_selected &= pl.col("ts") < query.until
    flags = {name: pl.lit(value=False) for name in ("harmful", "is_contested", "is_withheld", "is_faulted")}
    none = {name: pl.lit(0, pl.Int64) for name in ("harmful_votes", "benign_votes", "unsure_votes")}
    origin = pl.lit(RANKED)
    turns = ranked.with_columns(
        **flags,
        **none,
        is_selected=is_selected,
        good_origin=origin,
        bad_origin=origin,
        label_ids=pl.lit([], pl.List(pl.String)),
        reasons=pl.lit([], pl.List(pl.String)),
        principle_ids=pl.lit([], pl.List(pl.String)),
    )
    names = ranked.sort("ts", "request_id")["reviewers"].explode().drop_nulls().unique(maintain_order=True)
    fresh = [name for name in names if name not in sources.reviewers]
    raters = {name: f"rater-{number}" for number, name in enumerate(fresh, start=1)}
    labelled = pl.concat([sources.labelled, turns], how="diagonal_relaxed").sort("ts", "request_id", nulls_last=True)
    return replace(sources, labelled=labelled, reviewers=sources.reviewers | raters)


def compose(
    sources: Sources, recipe: Recipe, *, bindings: Bindings, on_progress: OnProgress | None = None
) -> FeedbackSet:
    """The feedback set that these sources give."""
    report = on_progress or _ignore
    labelled, exporter = sources.labelled, recipe.exporter
    selected = labelled.filter("is_selected")
    report(0.4, "Building rows")
    turns, refused_turns = refuse_turns(
        selected,
        include_contested=recipe.takes_contested,
        include_unresolved=exporter.has_soft_labels,
    )
    built = exporter.build_rows(turns)
    order = labelled.select("request_id", _asked="prompt").with_row_index("_order")
    rows = built.rows.join(order, on="request_id", how="left").sort("_order", "kind").drop("_order")
    report(0.5, "Checking rows")
    rows, refused_rows = refuse_rows(rows, exporter, harmful_texts=find_harmful_texts(labelled))
    report(0.7, "Splitting")
    places = place_turns(labelled, bindings.earlier, split=recipe.split, seed=recipe.seed)
    rows = (
        rows.select("request_id", "kind", "origin", training=pl.struct(*exporter.built_columns()))
        .with_columns(row_key=pl.col("training").struct.json_encode().map_elements(_hash, return_dtype=pl.String))
        .join(labelled.join(places, on="request_id"), on="request_id", how="left", maintain_order="left")
    )
    is_held = pl.col("row_key").is_in(bindings.held_rows.implode())
    problem = pl.coalesce("place_problem", pl.when(is_held).then(pl.lit(Refusal.EXPORTED_BEFORE.value)))
    rows, refused_places = part(rows, problem)
    rows, refused_odd = match_kinds(rows, exporter)
    rows = rows.with_columns(weight=_weight())
    refused = pl.concat([refused_turns, built.refused, refused_rows, refused_places, refused_odd])
    report(0.9, "Measuring leakage")
    leakage = measure_leakage(rows, bindings.earlier, training=training_split(recipe.split))
    checks = sources.filter_versions.filter(pl.col("request_id").is_in(rows["request_id"].unique().implode()))
    versions = checks.drop("request_id").unique()
    report(1.0, "Done")
    return FeedbackSet(
        recipe=recipe,
        rows=rows,
        refused=dict(refused["reason"].value_counts().sort("reason").iter_rows()),
        judged=selected.height,
        data_version=sources.data_version,
        label_snapshot_at=selected.select(pl.col("last_label_at").max()).item(),
        filter_versions=versions.sort(versions.columns, nulls_last=True).to_dicts(),
        reviewers=sources.reviewers,
        leakage=leakage,
        guideline=bindings.guideline,
    )


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _weight() -> pl.Expr:
    """1 / inclusion probability, scaled to mean 1 over the rows that have one; 1 for the others.

    A row drawn with a small probability stands for many that were not drawn (Horvitz-Thompson weights).
    Rounded, so that the order of a sum cannot change a byte.
    """
    raw = 1 / pl.col("inclusion_probability")
    return (raw / raw.mean()).fill_null(1.0).round(6)


@contextmanager
def _snapshot(events: EventStore) -> Iterator[None]:
    """One view of the store for all reads of this thread, whatever is ingested meanwhile."""
    cursor = events.cursor()
    cursor.begin()
    try:
        yield
    finally:
        cursor.rollback()


def _ignore(share: float, what: str) -> None:
    del share, what
