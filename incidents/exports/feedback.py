"""From judged turns to a feedback set in memory: select, refuse, build, split. Same store, same set."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from core.events import EventStore
from incidents.exports.exporter import Exporter
from incidents.exports.labelled import find_harmful_texts, read_filter_versions, read_labelled, read_reviewers
from incidents.exports.refusals import refuse_rows, refuse_turns
from incidents.exports.split import assign_splits, check_split, find_components
from ingest.schema import get_data_version
from metrics.query import Query

OnProgress = Callable[[float, str], None]
"""Called with the share done (0..1) and what is being done."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a feedback set is made from; the store and this determine every byte.

    Attributes:
        exporter: The format.
        query: Window (over the turns' time) and filters that select the turns.
        split: Share of each split, in order.
        seed: Salt of the split.
        include_contested: Whether turns are taken on which reviewers disagree; None = as the format does.
    """

    exporter: Exporter
    query: Query
    split: Mapping[str, float]
    seed: int
    include_contested: bool | None = None

    @property
    def takes_contested(self) -> bool:
        """Whether turns are taken on which reviewers disagree."""
        return self.exporter.takes_contested if self.include_contested is None else self.include_contested


@dataclass(frozen=True, slots=True)
class FeedbackSet:
    """Rows with where they come from.

    Attributes:
        recipe: What it was made from.
        rows: In order of time: `training` (struct of the exporter's columns but `weight`), `kind` and `origin`,
            `split`, `weight`, and the columns of `labelled.read_labelled`.
        refused: Turns and rows left out, by reason, sorted by reason.
        judged: Judged turns that the query holds.
        data_version: Id of the last ingest.
        label_snapshot_at: Time of the newest verdict on a selected turn; None without any.
        filter_versions: Filters that checked the exported turns: {filter_name, filter_version}.
        reviewers: Reviewer to pseudonym.
    """

    recipe: Recipe
    rows: pl.DataFrame
    refused: dict[str, int]
    judged: int
    data_version: int
    label_snapshot_at: datetime | None
    filter_versions: list[dict[str, str | None]]
    reviewers: dict[str, str]

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


def derive(events: EventStore, recipe: Recipe, *, on_progress: OnProgress | None = None) -> FeedbackSet:
    """The feedback set that the store gives now.

    Raises:
        UsageError: The split is invalid.
    """
    report = on_progress or _ignore
    check_split(recipe.split)
    report(0.0, "Reading judged turns")
    with _snapshot(events):
        data_version = get_data_version(events)
        labelled = read_labelled(events, recipe.query)
        reviewers = read_reviewers(events)
        selected = labelled.filter("is_selected")
        report(0.4, "Building rows")
        turns, refused_turns = refuse_turns(selected, include_contested=recipe.takes_contested)
        built = recipe.exporter.build_rows(turns)
        order = labelled.select("request_id").with_row_index("_order")
        rows = built.rows.join(order, on="request_id", how="left").sort("_order", "kind").drop("_order")
        report(0.6, "Checking rows")
        rows, refused_rows = refuse_rows(rows, recipe.exporter, harmful_texts=find_harmful_texts(labelled))
        filter_versions = read_filter_versions(events, rows["request_id"])
    report(0.8, "Splitting")
    components = find_components(labelled)
    splits = assign_splits(components["component"], split=recipe.split, seed=recipe.seed)
    facts = labelled.join(components.join(splits, on="component"), on="request_id")
    rows = (
        rows.select("request_id", "kind", "origin", training=pl.struct(*recipe.exporter.built_columns()))
        .join(facts, on="request_id", how="left", maintain_order="left")
        .with_columns(weight=_weight())
    )
    reasons = pl.concat([refused_turns, built.refused, refused_rows])["reason"].value_counts().sort("reason")
    report(1.0, "Done")
    return FeedbackSet(
        recipe=recipe,
        rows=rows,
        refused=dict(reasons.iter_rows()),
        judged=selected.height,
        data_version=data_version,
        label_snapshot_at=selected.select(pl.col("last_label_at").max()).item(),
        filter_versions=filter_versions,
        reviewers=reviewers,
    )


def measure_leakage(feedback: FeedbackSet) -> dict[str, int]:
    """How many conversations and whole prompts have rows in more than one split; the split makes both 0."""
    rows = feedback.rows.select("split", "conversation_id", prompt=pl.struct("messages").struct.json_encode())
    return {
        f"{column}s": rows.drop_nulls(column)
        .group_by(column)
        .agg(pl.col("split").n_unique())
        .filter(pl.col("split") > 1)
        .height
        for column in ("conversation_id", "prompt")
    }


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
