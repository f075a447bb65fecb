"""How far a filter's scores moved from one version to the next."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
from ibis.backends import BaseBackend
from ibis.expr.types import Table
from scipy.stats import wasserstein_distance

from metrics.estimate import Floats
from metrics.events import checks, fetch
from metrics.query import TURN_DIMENSIONS, Query
from metrics.report import Report

BINS = 10
_EDGE = 1e-9
"""Scores have few decimals and often lie on an edge, where 3 * 0.1 > 0.3 would put them a bin too low."""
_SCHEMA: dict[str, pl.DataType] = {
    "filter_name": pl.String(),
    "reference": pl.String(),
    "candidate": pl.String(),
    "reference_scores": pl.Int64(),
    "candidate_scores": pl.Int64(),
    "reference_mean": pl.Float64(),
    "candidate_mean": pl.Float64(),
    "psi": pl.Float64(),
    "wasserstein": pl.Float64(),
}


def compute(backend: BaseBackend, query: Query) -> pl.DataFrame:
    """One row per group, filter and pair of versions that followed each other; none where only one gave scores."""
    table = _scored(backend, query)
    keys = [*query.by, "filter_name"]
    scores = fetch(
        backend,
        table.group_by(*keys, "filter_version", "score").agg(scores=table.count(), first_at=table.ts.min()),
    ).sort(*keys, "filter_version", "score", nulls_last=True)
    rows: list[dict[str, Any]] = []
    for part in scores.partition_by(keys, maintain_order=True):
        group = part.select(query.by).row(0, named=True) if query.by else {}
        order = part.group_by("filter_version").agg(pl.col("first_at").min()).sort("first_at", "filter_version")
        versions = order["filter_version"].to_list()
        for reference, candidate in pairwise(versions):
            sides = [part.filter(pl.col("filter_version") == version) for version in (reference, candidate)]
            names = {"filter_name": part["filter_name"][0], "reference": reference, "candidate": candidate}
            rows.append({**group, **names, **_compare(*sides)})
    schema = {name: scores.schema[name] for name in query.by} | _SCHEMA
    return pl.DataFrame(rows, schema=schema)


def compare_periods(
    backend: BaseBackend, query: Query, *, since: datetime, split: datetime, until: datetime
) -> pl.DataFrame:
    """Scores of each filter's version from `split` on against its own before; reference and candidate are that version."""
    table = _scored(backend, replace(query, by=(), since=since, until=until))
    table = table.mutate(is_new=table.ts >= split)
    keys = ["filter_name", "filter_version"]
    scores = fetch(backend, table.group_by(*keys, "is_new", "score").agg(scores=table.count())).sort(*keys, "score")
    rows = []
    for part in scores.partition_by(keys, maintain_order=True):
        before, now = part.filter(~pl.col("is_new")), part.filter(pl.col("is_new"))
        if before.height and now.height:
            version = part["filter_version"][0]
            names = {"filter_name": part["filter_name"][0], "reference": version, "candidate": version}
            rows.append({**names, **_compare(before, now)})
    return pl.DataFrame(rows, schema=_SCHEMA)


def population_stability_index(reference: Floats, candidate: Floats) -> float:
    """PSI of two histograms of counts over the same bins; an empty bin counts as half a score.

    Source: the sum of (q - p) ln(q / p) over the bins' shares (Siddiqi 2006).
    """
    first = np.where(reference > 0, reference, 0.5) / reference.sum()
    second = np.where(candidate > 0, candidate, 0.5) / candidate.sum()
    return float(((second - first) * np.log(second / first)).sum())


def _scored(backend: BaseBackend, query: Query) -> Table:
    table = checks(backend, query)
    return table.filter(
        table.score.notnull(), ~table.score.isnan(), ~table.score.isinf(), table.filter_version.notnull()
    )


def _compare(reference: pl.DataFrame, candidate: pl.DataFrame) -> dict[str, Any]:
    """Columns of the report from two frames of score (ascending) and scores (how many)."""
    (first, first_n), (second, second_n) = (
        (side["score"].to_numpy(), side["scores"].cast(pl.Float64).to_numpy()) for side in (reference, candidate)
    )
    low, high = min(first[0], second[0]), max(first[-1], second[-1])
    if low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    width = (high - low) / BINS or 1.0
    histograms = [
        np.bincount(
            np.clip(np.floor((at - low) / width + _EDGE), 0, BINS - 1).astype(int), many, minlength=BINS
        ).astype(np.float64)
        for at, many in ((first, first_n), (second, second_n))
    ]
    return {
        "reference_scores": int(first_n.sum()),
        "candidate_scores": int(second_n.sum()),
        "reference_mean": float(np.average(first, weights=first_n)),
        "candidate_mean": float(np.average(second, weights=second_n)),
        "psi": population_stability_index(*histograms),
        "wasserstein": float(wasserstein_distance(first, second, first_n, second_n)),
    }


REPORT = Report(
    key="drift",
    title="Score drift",
    unit="check",
    better="neither",
    description="Scores of each filter's version against those of the version before it, in order of first sight.",
    source="Population stability index over ten bins of equal width (Siddiqi 2006): above 0.1 look, above 0.25 act; "
    "Wasserstein distance of the raw scores.",
    columns={
        "filter_name": "filter",
        "reference": "version that came first",
        "candidate": "version that came next",
        "reference_scores": "scores of the first",
        "candidate_scores": "scores of the next",
        "reference_mean": "mean score of the first",
        "candidate_mean": "mean score of the next",
        "psi": "population stability index; 0 = same distribution",
        "wasserstein": "mean distance that scores moved, on the filter's own scale",
    },
    dimensions=("layer", "stage", "category", *TURN_DIMENSIONS),
    compute=compute,
)
