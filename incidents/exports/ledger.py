"""The ledger of feedback sets: what was built when, by whom, and which turns each one holds.

Later sets are bound by it: what was once held out is never trained on. A set's files say nothing of the wall clock; this does.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl
import sqlalchemy as sa
from sqlmodel import col, select

from core.errors import UsageError
from core.records import RecordStore
from incidents.audit import Change
from incidents.exports.feedback import Bindings, FeedbackSet
from incidents.exports.split import EARLIER, hash_prompts, training_split
from incidents.judgement.guidelines import find_guideline
from incidents.models import ExportedRow, ExportRecord
from incidents.people import Actor, Role

ACTION = "export"
_ROWS_PER_INSERT = 5_000


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One set that was built.

    Attributes:
        number: Counts the sets of this home, from 1.
        name: Key of the format.
        at: When it was built, naive UTC.
        actor: Who built it.
        folder: Where it was written; it may have moved since.
        rows: Rows in all splits.
        refused: Turns and rows left out.
        data_version: Data version that it was made from.
        manifest_sha256: Hash of its manifest, which holds the hashes of its files.
        new_since: Number of the set that it goes on from; None for a whole set.
    """

    number: int
    name: str
    at: datetime
    actor: str
    folder: Path
    rows: int
    refused: int
    data_version: int
    manifest_sha256: str
    new_since: int | None


def record_export(current: Change, feedback: FeedbackSet, *, folder: Path, manifest_sha256: str) -> int:
    """Enters a set and its rows, with an audit entry; returns its number."""
    name, refused = feedback.recipe.exporter.key, sum(feedback.refused.values())
    number = (current.session.exec(select(sa.func.max(ExportRecord.number))).one() or 0) + 1
    current.session.add(
        ExportRecord(
            number=number,
            name=name,
            built_at=current.at,
            built_by=current.actor.name,
            folder=str(folder),
            manifest_sha256=manifest_sha256,
            data_version=feedback.data_version,
            rows=feedback.rows.height,
            refused=refused,
            new_since=feedback.recipe.new_since,
        )
    )
    current.session.flush()
    training = training_split(feedback.recipe.split)
    rows = hash_prompts(feedback.rows).select(
        pl.lit(number).alias("number"),
        pl.int_range(pl.len()).alias("position"),
        "request_id",
        "conversation_id",
        "user_id",
        "prompt_hash",
        "split",
        (pl.col("split") != training).alias("is_held_out"),
        "row_key",
    )
    for some in rows.iter_slices(_ROWS_PER_INSERT):
        current.session.execute(sa.insert(ExportedRow), some.to_dicts())
    current.record(
        ACTION,
        name,
        {
            "number": number,
            "folder": str(folder),
            "manifest_sha256": manifest_sha256,
            "rows": feedback.rows.height,
            "refused": refused,
            "data_version": feedback.data_version,
        },
    )
    return number


def read_bindings(records: RecordStore, *, name: str, new_since: int | None = None) -> Bindings:
    """What the decision store binds a set of the format `name` to, when it goes on from the set `new_since`."""
    columns = [getattr(ExportedRow, column) for column in EARLIER]
    with records.session() as session:
        found = [tuple(row) for row in session.execute(sa.select(*columns).distinct().order_by(*columns))]
        of_format = select(ExportRecord.number).where(
            ExportRecord.name == name, ExportRecord.number <= (new_since or 0)
        )
        keys = session.exec(select(ExportedRow.row_key).where(col(ExportedRow.number).in_(of_format)).distinct()).all()
        guideline = find_guideline(session)
    return Bindings(
        earlier=pl.DataFrame(found, schema=EARLIER, orient="row"),
        held_rows=pl.Series(keys, dtype=pl.String).sort(),
        guideline=guideline,
    )


def check_number(records: RecordStore, number: int, *, name: str) -> None:
    """Raises UsageError unless `number` is a set of the format `name`."""
    with records.session() as session:
        entry = session.get(ExportRecord, number)
        if entry is not None and entry.name == name:
            return
        numbers = session.exec(select(ExportRecord.number).where(ExportRecord.name == name)).all()
    known = ", ".join(str(found) for found in sorted(numbers)[-10:]) or "none"
    raise UsageError(f"No {name} set has this number", str(number), f"Sets of this format: {known}.")


def find_last_number(records: RecordStore, *, name: str | None = None) -> int | None:
    """Number of the newest set, of one format if `name` is given; None without any."""
    newest = select(sa.func.max(ExportRecord.number))
    if name is not None:
        newest = newest.where(ExportRecord.name == name)
    with records.session() as session:
        return session.exec(newest).one()


def list_last_numbers(records: RecordStore) -> dict[str, int]:
    """Number of the newest set of each format that has one."""
    newest = select(ExportRecord.name, sa.func.max(ExportRecord.number)).group_by(ExportRecord.name)
    with records.session() as session:
        return {name: number for name, number in session.exec(newest) if number is not None}


def list_exports(records: RecordStore, *, actor: Actor, limit: int = 50) -> list[LedgerEntry]:
    """The newest sets first."""
    actor.require(Role.REVIEWER)
    newest_first = select(ExportRecord).order_by(col(ExportRecord.number).desc()).limit(limit)
    with records.session() as session:
        return [_read(entry) for entry in session.exec(newest_first)]


def _read(entry: ExportRecord) -> LedgerEntry:
    return LedgerEntry(
        number=entry.number,
        name=entry.name,
        at=entry.built_at,
        actor=entry.built_by,
        folder=Path(entry.folder),
        rows=entry.rows,
        refused=entry.refused,
        data_version=entry.data_version,
        manifest_sha256=entry.manifest_sha256,
        new_since=entry.new_since,
    )


@dataclass(frozen=True, slots=True)
class Holding:
    """What one set holds of a person or a conversation.

    Attributes:
        entry: The set.
        rows: Rows, by split.
        request_ids: Their turns.
    """

    entry: LedgerEntry
    rows: dict[str, int]
    request_ids: tuple[str, ...]


def find_holdings(
    records: RecordStore,
    *,
    actor: Actor,
    conversation_id: str | None = None,
    user_id: str | None = None,
    request_id: str | None = None,
) -> list[Holding]:
    """The sets that hold rows of a conversation, a user or a turn, the newest first: what a deletion request asks for.

    Raises:
        UsageError: Not exactly one of the three is given.
    """
    actor.require(Role.REVIEWER)
    asked = {"conversation_id": conversation_id, "user_id": user_id, "request_id": request_id}
    given = {name: value for name, value in asked.items() if value is not None}
    if len(given) != 1:
        raise UsageError("Whose rows?", "", "Name a conversation, a user or a turn: one of the three.")
    matches = [getattr(ExportedRow, name) == value for name, value in given.items()]
    with records.session() as session:
        rows = session.exec(select(ExportedRow).where(*matches).order_by(col(ExportedRow.position))).all()
        numbers = {row.number for row in rows}
        entries = session.exec(
            select(ExportRecord).where(col(ExportRecord.number).in_(numbers)).order_by(col(ExportRecord.number).desc())
        ).all()
    holdings = []
    for entry in entries:
        own = [row for row in rows if row.number == entry.number]
        splits = dict(sorted(Counter(row.split for row in own).items()))
        holdings.append(Holding(_read(entry), splits, tuple(dict.fromkeys(row.request_id for row in own))))
    return holdings
