"""What a case is about, copied out of the event store: the turn, its conversation, its checks, its reports.

Texts are capped, so that one line of a megabyte does not make a case of a megabyte: the judged turn keeps
more than its neighbours, and what was cut says so in the text itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import orjson
import polars as pl
import zstandard

from core.events import EventStore
from ingest.schema import CHECKS, LABELS, TURNS, Table

TEXT_LIMIT = 20_000
"""Characters kept of each text of the judged turn, its checks and its reports."""
CONTEXT_LIMIT = 2_000
"""Characters kept of each text of the other turns."""
NEIGHBOURS = 20
"""Turns kept on each side of the judged one."""
CHECK_LIMIT = 200
"""Checks, and reports, kept of one turn."""
CONTEXT_SPAN = timedelta(days=7)
"""How far around a case's moment its rows are looked for, so that the cost does not grow with history."""

_JSON_COLUMNS = {"messages", "candidates", "metadata", "extra"}


@dataclass(frozen=True, slots=True)
class Target:
    """A turn to copy: its id, and a moment near which its rows lie."""

    request_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Evidence:
    """Canonical rows as dictionaries, each with `cut`: the columns that were cut and their full lengths.

    Attributes:
        turns: The conversation in order, or the turn alone; empty when no log has the turn.
        checks: Those of the judged turn, in cascade order.
        reports: Users' reports and appeals about it, oldest first.
    """

    turns: list[dict[str, Any]] = field(default_factory=list)
    checks: list[dict[str, Any]] = field(default_factory=list)
    reports: list[dict[str, Any]] = field(default_factory=list)

    def find_turn(self, request_id: str) -> dict[str, Any] | None:
        """The turn of that id, if it is here."""
        return next((turn for turn in self.turns if turn["request_id"] == request_id), None)

    def pack(self) -> bytes:
        """As stored with a case: JSON, compressed, which makes it about a tenth."""
        return zstandard.compress(orjson.dumps(self.to_rows()))

    def to_rows(self) -> dict[str, list[dict[str, Any]]]:
        """As `unpack_evidence` gives it back."""
        return {"turns": self.turns, "checks": self.checks, "reports": self.reports}


def unpack_evidence(body: bytes) -> dict[str, Any]:
    """Stored evidence as rows, with `ts` as naive UTC again."""
    evidence: dict[str, Any] = orjson.loads(zstandard.decompress(body))
    for row in (row for rows in evidence.values() for row in rows):
        row["ts"] = datetime.fromisoformat(row["ts"]) if row["ts"] else None
    return evidence


def gather_evidence(events: EventStore, targets: Sequence[Target], *, layers: Sequence[str]) -> dict[str, Evidence]:
    """Copies the rows of some turns.

    Args:
        events: Where from.
        targets: The turns; those of which nothing is stored get empty evidence.
        layers: Layers in cascade order.
    """
    evidence = {target.request_id: Evidence() for target in targets}
    if not targets:
        return evidence
    values = {
        "ids": list(evidence),
        "since": min(target.at for target in targets) - CONTEXT_SPAN,
        "until": max(target.at for target in targets) + CONTEXT_SPAN,
    }
    for row in _rows(events.read(_TURNS, values | {"neighbours": NEIGHBOURS})):
        evidence[row.pop("target")].turns.append(row)
    for row in _rows(events.read(_CHECKS, values | {"layers": list(layers), "limit": CHECK_LIMIT})):
        evidence[row.pop("target")].checks.append(row)
    for row in _rows(events.read(_REPORTS, {"ids": values["ids"], "limit": CHECK_LIMIT})):
        evidence[row.pop("target")].reports.append(row)
    return evidence


def find_turn_times(events: EventStore, request_ids: Sequence[str]) -> dict[str, datetime]:
    """When turns happened, wherever in history; for reports that arrive long after the turn."""
    rows = events.read(
        "SELECT request_id, ts FROM turns WHERE request_id IN (SELECT unnest($ids::VARCHAR[])) AND ts IS NOT NULL",
        {"ids": list(request_ids)},
    )
    return dict(rows.iter_rows())


def _select(table: Table, alias: str, limit: str) -> str:
    """The columns of a table, texts cut at `limit` characters, and `cut`: what was cut, as `name:length,...`."""
    chosen, cut = [], []
    for column in table.columns:
        name = f'{alias}."{column.name}"'
        if column.type == "UUID":
            chosen.append(f'{name}::VARCHAR AS "{column.name}"')
        elif column.type == "VARCHAR":
            chosen.append(f'left({name}, {limit}) AS "{column.name}"')
            cut.append(f"CASE WHEN length({name}) > {limit} THEN '{column.name}:' || length({name}) END")
        else:
            chosen.append(name)
    return f"{', '.join(chosen)}, concat_ws(',', {', '.join(cut)}) AS cut"


def _rows(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """Rows, each with `cut` (columns that were cut: full length). Cut JSON is null, cut text says so."""
    rows = frame.to_dicts()
    for row in rows:
        parts = row["cut"].split(",") if row["cut"] else []
        row["cut"] = {name: int(length) for name, length in (part.split(":") for part in parts)}
        for name, length in row["cut"].items():
            if name in _JSON_COLUMNS:
                row[name] = None
            else:
                row[name] += f"\n[cut here: {len(row[name]):,} of {length:,} characters kept]"
    return rows


_TURN_LIMIT = f"CASE WHEN kept.target = kept.request_id THEN {TEXT_LIMIT} ELSE {CONTEXT_LIMIT} END"
_TURNS = f"""
WITH judged AS (
    SELECT request_id, conversation_id FROM turns
    WHERE ts BETWEEN $since AND $until AND request_id IN (SELECT unnest($ids::VARCHAR[]))
), placed AS (
    SELECT request_id, conversation_id,
        row_number() OVER (
            PARTITION BY conversation_id ORDER BY turn_index NULLS LAST, ts, request_id
        ) AS place
    FROM turns
    WHERE ts BETWEEN $since AND $until AND conversation_id IN (SELECT conversation_id FROM judged)
), kept AS (
    SELECT judged.request_id AS target, other.request_id, other.place
    FROM judged JOIN placed USING (request_id)
    JOIN placed AS other ON other.conversation_id = judged.conversation_id
        AND other.place BETWEEN placed.place - $neighbours AND placed.place + $neighbours
    UNION ALL
    SELECT request_id, request_id, 0 FROM judged WHERE conversation_id IS NULL
)
SELECT kept.target, {_select(TURNS, "turns", _TURN_LIMIT)}
FROM kept JOIN turns ON turns.request_id = kept.request_id
WHERE turns.ts BETWEEN $since AND $until
ORDER BY kept.target, kept.place
"""  # noqa: S608  names of our own schema

_CHECKS = f"""
SELECT checks.request_id AS target, {_select(CHECKS, "checks", str(TEXT_LIMIT))}
FROM checks
WHERE checks.ts BETWEEN $since AND $until AND checks.request_id IN (SELECT unnest($ids::VARCHAR[]))
QUALIFY row_number() OVER (PARTITION BY checks.request_id ORDER BY checks.ts, checks.check_id) <= $limit
ORDER BY target, coalesce(list_position($layers::VARCHAR[], checks.layer), 99),
    checks.ts, checks.filter_name, checks.check_id
"""  # noqa: S608  names of our own schema

_REPORTS = f"""
SELECT labels.request_id AS target, {_select(LABELS, "labels", str(TEXT_LIMIT))}
FROM labels
WHERE labels.selection IN ('user_report', 'appeal') AND labels.request_id IN (SELECT unnest($ids::VARCHAR[]))
QUALIFY row_number() OVER (PARTITION BY labels.request_id ORDER BY labels.ts, labels.label_id) <= $limit
ORDER BY target, labels.ts, labels.label_id
"""  # noqa: S608  names of our own schema
