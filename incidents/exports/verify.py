"""Compares a feedback set with its manifest and with the store as it is now."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from core.clock import to_utc
from core.errors import ExportError, UsageError
from core.events import EventStore
from core.records import RecordStore
from incidents.exports.feedback import Recipe, derive
from incidents.exports.files import render_splits, split_file
from incidents.exports.ledger import read_bindings
from incidents.exports.manifest import MANIFEST
from incidents.exports.variants import choose_exporter
from incidents.ranking.exported import read_ranked
from metrics.query import Query


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """How a feedback set differs from what it says it is, and from what the store would give now.

    Attributes:
        name: Key of the format.
        rows: Rows in the training files.
        changed_files: Files whose hash is not the manifest's.
        missing_files: Files that the manifest names and the folder lacks.
        unexpected_files: Files that the manifest does not name.
        withdrawn_rows: Rows in the files that the store would not give now (verdict changed, data erased).
        new_rows: Rows that the store would give now and the files lack.
        moved_rows: Rows that would now be in another split.
        data_version: Data version that the set was made from.
        current_data_version: Data version of the store.
    """

    name: str
    rows: int
    changed_files: tuple[str, ...]
    missing_files: tuple[str, ...]
    unexpected_files: tuple[str, ...]
    withdrawn_rows: int
    new_rows: int
    moved_rows: int
    data_version: int
    current_data_version: int

    @property
    def is_intact(self) -> bool:
        """The files are those that were built."""
        return not (self.changed_files or self.missing_files or self.unexpected_files)

    @property
    def has_drifted(self) -> bool:
        """The store would now give other rows."""
        return bool(self.withdrawn_rows or self.new_rows or self.moved_rows)

    def to_json(self) -> dict[str, Any]:
        """The report as plain values."""
        return {**asdict(self), "is_intact": self.is_intact, "has_drifted": self.has_drifted}


def verify_export(events: EventStore, folder: Path, *, records: RecordStore) -> VerifyReport:
    """Hashes the files of `folder` against its manifest and derives its rows again, under the ledger as it is now.

    Raises:
        ExportError: The folder has no readable manifest.
    """
    manifest = _read_manifest(folder)
    try:
        recipe = _read_recipe(manifest)
        expected = {str(name): str(entry["sha256"]) for name, entry in manifest["files"].items()}
        data_version = int(manifest["created_from"]["data_version"])
    except (KeyError, TypeError, ValueError, AttributeError, UsageError) as error:
        raise _unreadable(folder, f"{type(error).__name__}: {error}") from error

    present = {path.name: path for path in folder.iterdir() if path.name != MANIFEST}
    hashes = {name: _hash(path) for name, path in present.items() if name in expected and path.is_file()}
    held = {name: _read_rows(folder / split_file(name)) for name in recipe.split}
    bindings = read_bindings(records, name=recipe.exporter.key, new_since=recipe.new_since)
    feedback = derive(events, recipe, bindings=bindings, ranked=read_ranked(records))
    derived = {
        name: Counter(file.content.split(b"\n")[:-1])
        for name, file in zip(recipe.split, render_splits(feedback), strict=True)
    }
    held_rows, derived_rows = sum(held.values(), Counter()), sum(derived.values(), Counter())
    kept = (held_rows & derived_rows).total()
    kept_in_place = sum((held[name] & derived[name]).total() for name in recipe.split)
    return VerifyReport(
        name=recipe.exporter.key,
        rows=held_rows.total(),
        changed_files=tuple(sorted(name for name in hashes if hashes[name] != expected[name])),
        missing_files=tuple(sorted(expected.keys() - hashes.keys())),
        unexpected_files=tuple(sorted(present.keys() - expected.keys())),
        withdrawn_rows=(held_rows - derived_rows).total(),
        new_rows=(derived_rows - held_rows).total(),
        moved_rows=kept - kept_in_place,
        data_version=data_version,
        current_data_version=feedback.data_version,
    )


def _read_manifest(folder: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _unreadable(folder, str(error)) from error
    if not isinstance(manifest, dict):
        raise _unreadable(folder, "it is not an object")
    return manifest


def _read_recipe(manifest: dict[str, Any]) -> Recipe:
    query = manifest["query"]
    return Recipe(
        exporter=choose_exporter(
            str(manifest["name"]), variant=manifest["variant"], soft_labels=bool(manifest["soft_labels"])
        ),
        query=Query(
            since=_read_time(query["since"]),
            until=_read_time(query["until"]),
            filters=tuple((str(name), str(value)) for name, value in query["filters"]),
        ),
        split={str(name): float(share) for name, share in manifest["split"].items()},
        seed=int(manifest["seed"]),
        include_contested=bool(manifest["include_contested"]),
        new_since=None if manifest["new_since"] is None else int(manifest["new_since"]),
    )


def _read_time(text: str | None) -> datetime | None:
    return to_utc(datetime.fromisoformat(text)) if text else None


def _read_rows(path: Path) -> Counter[bytes]:
    """The lines of a training file; a missing one has none."""
    if not path.is_file():
        return Counter()
    return Counter(line for line in path.read_bytes().split(b"\n") if line)


def _hash(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _unreadable(folder: Path, why: str) -> ExportError:
    return ExportError("Not a feedback set", f"{folder / MANIFEST}: {why}", "Name a folder that `weir export` wrote.")
