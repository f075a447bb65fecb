"""The manifest: what a feedback set was made from, what was left out, and the hash of every file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import polars as pl

from core.clock import isoformat
from incidents.exports.feedback import FeedbackSet
from incidents.exports.files import DataFile
from incidents.exports.refusals import MAX_ROW_CHARS
from metrics.query import Query

MANIFEST = "manifest.json"
MANIFEST_VERSION = 1
# The middle and the upper bound of the ratio that TRL advises; the trainer takes 1.33 for 4/3.
_KTO_BEST, _KTO_MOST = 7 / 6, 1.33


def build_manifest(feedback: FeedbackSet, files: Sequence[DataFile]) -> dict[str, Any]:
    """The manifest as plain values: ids, counts and hashes, never logged text, and no wall-clock time."""
    recipe = feedback.recipe
    manifest: dict[str, Any] = {
        "manifest_version": MANIFEST_VERSION,
        "weir_version": get_version(),
        "name": recipe.exporter.key,
        "variant": recipe.exporter.variant,
        "soft_labels": recipe.exporter.has_soft_labels,
        "new_since": recipe.new_since,
        "query": describe_query(recipe.query),
        "split": dict(recipe.split),
        "seed": recipe.seed,
        "include_contested": recipe.takes_contested,
        "limits": {"max_row_chars": MAX_ROW_CHARS},
        "created_from": {
            "data_version": feedback.data_version,
            "label_snapshot_at": isoformat(feedback.label_snapshot_at) if feedback.label_snapshot_at else None,
            "judged_turns": feedback.judged,
        },
        "files": {file.name: {"rows": file.rows, "bytes": len(file.content), "sha256": file.sha256} for file in files},
        "rows": feedback.rows.height,
        "refused": feedback.refused,
        "balance": feedback.balance(),
        "filter_versions": feedback.filter_versions,
        "guideline_in_force": feedback.guideline,
        "guideline_versions": _distinct(feedback, "guideline_version"),
        "reviewers": count_reviewed(feedback),
        "leakage": asdict(feedback.leakage),
        "contested_rows": feedback.rows.filter("is_contested").height,
    }
    weights = suggest_weights(feedback)
    if weights:
        manifest["suggested_weights"] = weights
    return manifest


def to_json(document: dict[str, Any]) -> bytes:
    """`document` as indented ASCII JSON, so that no logged name can hide or reorder anything."""
    return (json.dumps(document, indent=2, ensure_ascii=True, allow_nan=False) + "\n").encode()


def describe_query(query: Query) -> dict[str, Any]:
    """The parts of a query that select turns."""
    return {
        "since": isoformat(query.since) if query.since else None,
        "until": isoformat(query.until) if query.until else None,
        "filters": [list(pair) for pair in query.filters],
    }


def suggest_weights(feedback: FeedbackSet) -> dict[str, float]:
    """Loss weights for the first split's unequal classes; empty for formats that have no such classes."""
    if feedback.recipe.exporter.kinds != ("desirable", "undesirable"):
        return {}
    counts = next(iter(feedback.balance().values()))
    return weigh(counts["desirable"], counts["undesirable"]) if all(counts.values()) else {}


def weigh(desirable: int, undesirable: int) -> dict[str, float]:
    """KTO loss weights for two classes of these sizes, both above 0.

    TRL's advice: (desirable_weight * desirable) / (undesirable_weight * undesirable) between 1 and 4/3
    (https://huggingface.co/docs/trl/kto_trainer). Classes within that need none; else the lighter one is raised to the middle,
    because the trainer rounds and warns at the bounds.
    """
    ratio = desirable / undesirable
    if 1 <= ratio <= _KTO_MOST:
        return {"desirable_weight": 1.0, "undesirable_weight": 1.0}
    return {
        "desirable_weight": round(max(1.0, _KTO_BEST / ratio), 4),
        "undesirable_weight": round(max(1.0, ratio / _KTO_BEST), 4),
    }


def count_reviewed(feedback: FeedbackSet) -> dict[str, int]:
    """Exported turns that each reviewer judged, by pseudonym."""
    turns = feedback.rows.unique("request_id").select("reviewers").explode("reviewers").drop_nulls()
    counts = dict(turns["reviewers"].value_counts().iter_rows())
    return {pseudonym: counts[name] for name, pseudonym in feedback.reviewers.items() if name in counts}


def get_version() -> str:
    """Weir's version; "unknown" when it runs from a folder without being installed."""
    try:
        return version("weir")
    except PackageNotFoundError:
        return "unknown"


def _distinct(feedback: FeedbackSet, column: str) -> list[str]:
    return feedback.rows.select(pl.col(column).drop_nulls().unique().sort())[column].to_list()
