"""Builds a feedback set into a folder, or shows what it would hold."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl
from sqlmodel import col, select

from core.clock import now
from core.errors import ExportError, UsageError
from core.events import EventStore
from core.records import RecordStore
from incidents.audit import change
from incidents.exports.card import CARD, build_card
from incidents.exports.croissant import CROISSANT, build_croissant
from incidents.exports.exporter import REFUSALS, Variant
from incidents.exports.feedback import Bindings, FeedbackSet, OnProgress, Recipe, derive
from incidents.exports.files import DataFile, render_provenance, render_splits
from incidents.exports.folder import check_target, write_folder
from incidents.exports.leakage import Leakage
from incidents.exports.ledger import check_number, find_last_number, read_bindings, record_export
from incidents.exports.manifest import MANIFEST, build_manifest, suggest_weights, to_json
from incidents.exports.variants import choose_exporter
from incidents.models import Case
from incidents.people import Actor, Role
from incidents.ranking.exported import read_ranked
from metrics.query import Query

PREVIEW_ROWS = 20
_IDS_PER_LOOKUP = 10_000
_FEW_ROWS, _LARGE_SHARE = 50, 0.2


@dataclass(frozen=True, slots=True)
class ExportSummary:
    """What was written.

    Attributes:
        number: The set's number in the ledger.
        rows: Rows in all splits.
        refused: Turns and rows left out, by reason.
        files: Paths of all files, the manifest last.
        manifest_path: The manifest.
        balance: Rows of each kind, by split.
        notes: Sentences that a person should read before training.
    """

    number: int
    rows: int
    refused: dict[str, int]
    files: tuple[Path, ...]
    manifest_path: Path
    balance: dict[str, dict[str, int]]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ExportPreview:
    """What an export would hold now.

    Attributes:
        rows: The first rows: the training columns after `split`, `kind` and `request_id`.
        counts: Rows of each split.
        balance: Rows of each kind, by split.
        refused: Turns and rows left out, by reason.
        leakage: What the split prevents, counted.
        weights: Loss weights that make up for unequal classes; empty for formats without such.
        judged: Judged turns that the query holds.
        problem: Why it cannot be built, as a sentence; "" when it can.
        notes: Sentences that a person should read before training.
    """

    rows: pl.DataFrame
    counts: dict[str, int]
    balance: dict[str, dict[str, int]]
    refused: dict[str, int]
    leakage: Leakage
    weights: dict[str, float]
    judged: int
    problem: str
    notes: tuple[str, ...]


def build_export(
    events: EventStore,
    name: str,
    *,
    out: Path,
    query: Query,
    split: Mapping[str, float],
    seed: int,
    actor: Actor,
    records: RecordStore,
    include_contested: bool | None = None,
    variant: Variant | None = None,
    soft_labels: bool = False,
    new_since: int | Literal["last"] | None = None,
    on_progress: OnProgress | None = None,
) -> ExportSummary:
    """Writes a feedback set into the folder `out`, whole or not at all, with an audit entry.

    Args:
        events: Turns and verdicts.
        name: Key of the format.
        out: New or empty folder, or an earlier export of the same name, which is replaced.
        query: Window (over the turns' time) and filters that select the turns.
        split: Share of each split, summing to 1, e.g. {"train": 0.8, "test": 0.2}.
        seed: Salt of the split.
        actor: Who asks; needs the role lead, because the set takes flagged text out of Weir.
        records: Cases of the turns, and the audit log.
        include_contested: Whether turns are taken on which reviewers disagree; None = as the format does.
        variant: Conversations as lists of messages or as plain text; None = as the format does.
        soft_labels: Whether rows hold the distribution of the votes; undecided turns are rows then.
        new_since: Number of an earlier set of this format, or the last one: only rows that neither it nor one before it
            holds are written. None = a whole set.
        on_progress: Called with the share done and what is being done.

    Raises:
        UsageError: Unknown format, a form that it does not have, an unknown number or an invalid split.
        AccessError: The actor may not export.
        ExportError: No rows, a class is missing, or the folder is not free.
    """
    actor.require(Role.LEAD)
    exporter = choose_exporter(name, variant=variant, soft_labels=soft_labels)
    start = find_start(records, name, new_since)
    recipe = Recipe(exporter, query, dict(split), seed, include_contested, start)
    check_target(out, name)
    bindings = read_bindings(records, name=name, new_since=start)
    feedback = derive(events, recipe, bindings=bindings, ranked=read_ranked(records), on_progress=on_progress)
    problem = find_problem(feedback)
    if problem:
        raise problem
    contents = _render(feedback, _find_case_ids(records, feedback.rows["request_id"].unique()))
    digest = hashlib.sha256(contents[MANIFEST]).hexdigest()
    with change(records, actor=actor, at=now()) as current, write_folder(out, contents):
        number = record_export(current, feedback, folder=out.absolute(), manifest_sha256=digest)
    return ExportSummary(
        number=number,
        rows=feedback.rows.height,
        refused=feedback.refused,
        files=tuple(out / file for file in contents),
        manifest_path=out / MANIFEST,
        balance=feedback.balance(),
        notes=_find_notes(feedback),
    )


def preview_export(
    events: EventStore, recipe: Recipe, *, bindings: Bindings | None = None, ranked: pl.DataFrame | None = None
) -> ExportPreview:
    """What `build_export` would write now; nothing is written, nothing raised for a set that cannot be built.

    The rows hold flagged text in full: a page masks it until revealed.

    Args:
        events: Turns and verdicts.
        recipe: What to make of them.
        bindings: What the decision store binds the set to (`ledger.read_bindings`); None = nothing.
        ranked: What rankings give (`ranking.exported.read_ranked`); None = there are none.

    Raises:
        UsageError: Invalid split.
    """
    feedback = derive(events, recipe, bindings=bindings, ranked=ranked)
    problem = find_problem(feedback)
    columns = list(feedback.recipe.exporter.columns)
    head = feedback.rows.head(PREVIEW_ROWS).select("split", "kind", "request_id", "weight", "training")
    return ExportPreview(
        rows=head.unnest("training").select("split", "kind", "request_id", *columns),
        counts=feedback.counts(),
        balance=feedback.balance(),
        refused=feedback.refused,
        leakage=feedback.leakage,
        weights=suggest_weights(feedback),
        judged=feedback.judged,
        problem=problem.sentence() if problem else "",
        notes=_find_notes(feedback),
    )


def find_start(records: RecordStore, name: str, new_since: int | Literal["last"] | None) -> int | None:
    """Number of the set that a new one of the format `name` goes on from; None for a whole set.

    Raises:
        UsageError: There is no such set.
    """
    if new_since is None:
        return None
    number = find_last_number(records, name=name) if new_since == "last" else new_since
    if number is None:
        raise UsageError(f"There is no earlier {name} set", "last", "Build a whole set first.")
    check_number(records, number, name=name)
    return number


def find_problem(feedback: FeedbackSet) -> ExportError | None:
    """Why the set cannot train anything; None when it can."""
    if not feedback.judged:
        return ExportError(
            "Nothing to export",
            "no judged turn matches",
            "Widen the window, drop a filter, or judge some cases first.",
        )
    reasons = ", ".join(f"{REFUSALS[reason].title.lower()} {count}" for reason, count in feedback.refused.items())
    if feedback.rows.is_empty():
        return ExportError(
            "Nothing to export", f"{feedback.judged} judged turns match and none gives a row ({reasons})"
        )
    exporter = feedback.recipe.exporter
    kinds = set(feedback.rows["kind"])
    missing = [kind for kind in exporter.kinds if kind not in kinds]
    if exporter.needs_every_kind and missing:
        refused = f"; refused: {reasons}" if reasons else ""
        return ExportError(
            f"No {missing[0]} rows",
            f"{exporter.title} learns from {' and '.join(exporter.kinds)} rows together{refused}",
            "Judge more turns, or write revisions: each one gives a desirable row.",
        )
    return None


def _find_notes(feedback: FeedbackSet) -> tuple[str, ...]:
    notes = [f"The split {name} has no rows." for name, count in feedback.counts().items() if not count]
    leakage, rows = feedback.leakage, feedback.rows.height
    if rows >= _FEW_ROWS and leakage.largest_component > rows * _LARGE_SHARE:
        notes.append(
            f"One group holds {leakage.largest_component} of {rows} rows, so that the shares of the splits are rough: does "
            "one user id stand for many people?"
        )
    if leakage.kept_held_out:
        notes.append(
            f"{leakage.kept_held_out} rows stay held out because an earlier set held out what they belong with: keep to "
            "one seed."
        )
    if leakage.held_out_after_training:
        notes.append(
            f"{leakage.held_out_after_training} held-out rows trained an earlier set: test only models that are trained anew."
        )
    if feedback.recipe.exporter.needs_every_kind:
        notes += [
            f"The split {name} has no {kind} rows: choose another seed or judge more turns."
            for name, counts in feedback.balance().items()
            for kind, count in counts.items()
            if count == 0 and feedback.counts()[name] > 0
        ]
    return tuple(notes)


def _render(feedback: FeedbackSet, case_ids: pl.DataFrame) -> dict[str, bytes]:
    splits = render_splits(feedback)
    data = [*splits, render_provenance(feedback, splits, case_ids)]
    described = [
        DataFile(CARD, build_card(feedback, splits), 0),
        DataFile(CROISSANT, to_json(build_croissant(feedback, data)), 0),
    ]
    contents = {file.name: file.content for file in (*data, *described)}
    return contents | {MANIFEST: to_json(build_manifest(feedback, [*data, *described]))}


def _find_case_ids(records: RecordStore, request_ids: pl.Series) -> pl.DataFrame:
    found: list[tuple[str, str]] = []
    with records.session() as session:
        for part in request_ids.sort().to_frame().iter_slices(_IDS_PER_LOOKUP):
            chosen = col(Case.request_id).in_(part["request_id"].to_list())
            found += session.exec(select(Case.request_id, Case.case_id).where(chosen)).all()
    return pl.DataFrame(found, schema={"request_id": pl.String, "case_id": pl.String}, orient="row")
