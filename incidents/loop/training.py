"""A small text classifier out of a `classifier` feedback set: character n-grams and logistic regression.

It is no product. It shows, on a team's own decisions, whether retraining on them would help, before anybody retrains the
real filter.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from core.errors import ExportError, UsageError
from incidents.exports.files import PROVENANCE, split_file
from incidents.exports.manifest import MANIFEST

Stage = Literal["input", "output"]
Floats = NDArray[np.float64]

SPLIT = "train"
KEEP = 0.95
"""Share of the harmful training turns that the threshold keeps caught, unless asked otherwise."""

_USER, _ASSISTANT = "user: ", "\n\nassistant: "
_FOLDS = 5
_LEAST = 2 * _FOLDS


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """The train split of a feedback set.

    Attributes:
        texts: What is classified, in the order of the file.
        is_harmful: The people's verdicts.
        weights: The export's sampling weights.
        request_ids: Turns of the rows, and of the context before them.
        groups: What may not be torn apart in cross-validation: the conversation, else the turn.
        digest: SHA-256 of the split's file.
    """

    texts: tuple[str, ...]
    is_harmful: NDArray[np.bool_]
    weights: Floats
    request_ids: frozenset[str]
    groups: tuple[str, ...]
    digest: str


@dataclass(frozen=True, slots=True)
class Classifier:
    """A trained classifier; it fires where the score reaches the threshold.

    Attributes:
        version: Follows from the training file, the stage and the threshold's aim: same training, same version.
        threshold: On the score, 0..1.
        pipeline: scikit-learn's.
    """

    version: str
    threshold: float
    pipeline: Any

    def score(self, texts: list[str]) -> Floats:
        """Probability of harm of each text, rounded as it is logged."""
        if not texts:
            return np.zeros(0)
        scores: Floats = np.round(self.pipeline.predict_proba(texts)[:, 1], 4)
        return scores


def read_training_set(folder: Path, *, stage: Stage) -> TrainingSet:
    """Reads the split `train` of a `classifier` feedback set; the other splits are never opened.

    Args:
        folder: As `weir export classifier` wrote it.
        stage: What the filter will see: `input` is the prompt alone, `output` the exchange.

    Raises:
        ExportError: The folder is no such set, or its files are not those that the manifest pins.
    """
    manifest = _read_manifest(folder)
    name = split_file(SPLIT)
    contents = {part: _read_pinned(folder, part, manifest) for part in (name, PROVENANCE)}
    rows = pl.read_ndjson(
        contents[name], schema={"text": pl.String, "label": pl.String, "weight": pl.Float64}, infer_schema_length=None
    )
    places = pl.read_ndjson(
        contents[PROVENANCE],
        schema_overrides={"conversation_id": pl.String, "context_ids": pl.List(pl.String)},
        infer_schema_length=None,
    ).filter(split=SPLIT)
    if rows.height != places.height:
        raise ExportError("Not a feedback set", f"{folder}: {name} and {PROVENANCE} differ in length")
    turns = places["request_id"].to_list() + places["context_ids"].explode().drop_nulls().to_list()
    return TrainingSet(
        texts=tuple(_cut(text, stage) for text in rows["text"]),
        is_harmful=(rows["label"] == "harmful").to_numpy(),
        weights=rows["weight"].to_numpy(),
        request_ids=frozenset(turns),
        groups=tuple(places.select(pl.coalesce("conversation_id", "request_id")).to_series()),
        digest=hashlib.sha256(contents[name]).hexdigest(),
    )


def train(training: TrainingSet, *, stage: Stage, keep: float = KEEP) -> Classifier:
    """Trains on all of the set; the threshold comes from cross-validation within it.

    Args:
        training: The set.
        stage: What its texts are.
        keep: Weighted share of the harmful training turns that must reach the threshold when the classifier that
            scores a conversation has not seen it.

    Raises:
        UsageError: `keep` is no share, or a class has too few rows or conversations.
    """
    if not 0 < keep <= 1:
        raise UsageError("Not a share to keep", str(keep), "Use a number above 0, at most 1.")
    counts = {"harmful": int(training.is_harmful.sum()), "benign": int((~training.is_harmful).sum())}
    for kind, count in counts.items():
        if count < _LEAST:
            raise UsageError("Too little to train on", f"{count} {kind} rows", f"It takes {_LEAST} of either kind.")
    if len(set(training.groups)) < _FOLDS:
        raise UsageError("Too little to train on", f"fewer than {_FOLDS} conversations", "Judge more turns.")
    from sklearn.model_selection import GroupKFold

    unseen = np.zeros(len(training.texts))
    for rest, fold in GroupKFold(_FOLDS).split(training.texts, groups=training.groups):
        unseen[fold] = _fit(training, rest).predict_proba([training.texts[row] for row in fold])[:, 1]
    threshold = _find_threshold(unseen[training.is_harmful], training.weights[training.is_harmful], keep=keep)
    recipe = f"{training.digest} {stage} {keep:g}"
    version = hashlib.sha256(recipe.encode()).hexdigest()[:10]
    return Classifier(version, threshold, _fit(training, np.arange(len(training.texts))))


def _fit(training: TrainingSet, rows: NDArray[np.intp]) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer  # importing it costs a second
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    pipeline = make_pipeline(
        # Characters, not words: no language needs a tokeniser, and a misspelt threat is still one.
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), min_df=2, sublinear_tf=True, dtype=np.float32),
        LogisticRegression(max_iter=1000),
    )
    texts = [training.texts[row] for row in rows]
    return pipeline.fit(texts, training.is_harmful[rows], logisticregression__sample_weight=training.weights[rows])


def _find_threshold(scores: Floats, weights: Floats, *, keep: float) -> float:
    """The highest score at or above which at least `keep` of the weight lies, rounded down as scores are logged."""
    order = np.argsort(-scores)
    reached = np.cumsum(weights[order]) / weights.sum()
    last = int(np.searchsorted(reached, keep - 1e-12))
    return float(np.floor(scores[order][min(last, len(order) - 1)] * 1e4) / 1e4)


def _cut(text: str, stage: Stage) -> str:
    """The part of an exported text that the filter will see."""
    return text if stage == "output" else text.removeprefix(_USER).split(_ASSISTANT)[0]


def _read_manifest(folder: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        is_classifier = manifest["name"] == "classifier" and isinstance(manifest["files"], dict)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ExportError(
            "Not a feedback set", f"{folder / MANIFEST}: {error}", "Try: weir export classifier --out DIR."
        ) from error
    if not is_classifier:
        raise ExportError("Not a classifier's feedback set", str(folder), "Try: weir export classifier --out DIR.")
    found: dict[str, Any] = manifest
    return found


def _read_pinned(folder: Path, name: str, manifest: dict[str, Any]) -> bytes:
    entry = manifest["files"].get(name)
    if entry is None:
        raise ExportError("The feedback set lacks a file", name, f"Export it with a split named {SPLIT}.")
    try:
        content = (folder / name).read_bytes()
    except OSError as error:
        raise ExportError("The feedback set lacks a file", str(error)) from error
    if hashlib.sha256(content).hexdigest() != entry["sha256"]:
        raise ExportError("The feedback set was changed after it was built", name, "Build it again.")
    return content
