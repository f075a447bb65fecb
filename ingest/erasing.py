"""Erasing a person or a conversation from the event store and from the log files of the inbox.

Rollups stay: they hold counts, no text and no id. The store's file is written anew, since DuckDB leaves deleted content in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import msgspec
import polars as pl

from core.events import Connection, EventStore
from ingest.mentions import Mentions
from ingest.schema import CHECKS, LABELS, QUARANTINE, TURNS
from ingest.withheld import note_erased

Owner = Literal["user_id", "conversation_id"]


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose data it is, and what the event store holds of it.

    Attributes:
        owner: What the id is of.
        id: The id, as logged.
        request_ids: Their turns.
        conversation_ids: Conversations that are all theirs.
        shared_ids: Conversations that are partly theirs.
        texts: What they wrote and were told, and what was noted about it.
    """

    owner: Owner
    id: str
    request_ids: tuple[str, ...]
    conversation_ids: tuple[str, ...]
    shared_ids: tuple[str, ...]
    texts: tuple[str, ...]

    def mentions(self) -> Mentions:
        """What to look for in logs."""
        return Mentions((self.id, *self.request_ids, *self.conversation_ids), self.texts)


def find_subject(events: EventStore, owner: Owner, key: str) -> Subject:
    """What the event store holds of a person or a conversation."""
    if owner == "conversation_id":
        found = events.read(
            "SELECT DISTINCT request_id FROM (SELECT request_id, conversation_id FROM turns UNION ALL "
            "SELECT request_id, conversation_id FROM checks UNION ALL SELECT request_id, conversation_id FROM labels) "
            "WHERE conversation_id = ? AND request_id IS NOT NULL ORDER BY 1",
            [key],
        )
        own, shared = [key], []
    else:
        found = events.read("SELECT DISTINCT request_id FROM turns WHERE user_id = ? ORDER BY 1", [key])
        conversations = events.read(
            "SELECT conversation_id, bool_and(coalesce(user_id = $key, true)) AS is_own FROM turns WHERE conversation_id IN "
            "(SELECT conversation_id FROM turns WHERE user_id = $key) GROUP BY 1 ORDER BY 1",
            {"key": key},
        )
        own = conversations.filter("is_own")["conversation_id"].to_list()
        shared = conversations.filter(~pl.col("is_own"))["conversation_id"].to_list()
    request_ids = found.to_series().to_list()
    subject = Subject(owner, key, tuple(request_ids), tuple(own), tuple(shared), ())
    texts: dict[str, None] = {}
    for table, columns in (
        (TURNS, ("prompt", "response", "final_text", "messages", "candidates")),
        (CHECKS, ("content", "matched_text")),
        (LABELS, ("revision", "critique")),
    ):
        where, values = _belongs(subject)
        rows = events.read(f"SELECT {', '.join(columns)} FROM {table.name} WHERE {where}", values)
        texts |= dict.fromkeys(text for row in rows.rows() for value in row if value for text in _plain_texts(value))
    return Subject(owner, key, subject.request_ids, subject.conversation_ids, subject.shared_ids, tuple(texts))


def count_rows(events: EventStore, subject: Subject) -> dict[str, int]:
    """Rows of each table that an erasure removes, and records in quarantine that it empties."""
    counts: dict[str, int] = {}
    for table in (TURNS, CHECKS, LABELS):
        where, values = _belongs(subject)
        counts[table.name] = events.read(f"SELECT count(*) FROM {table.name} WHERE {where}", values).item()
    return counts | {QUARANTINE.name: len(_find_rejects(events, subject))}


def erase_rows(events: EventStore, subject: Subject, *, at: datetime) -> None:
    """Removes the rows of a subject, from every byte of the file, so that no copy of them comes back."""
    rejects = _find_rejects(events, subject)

    where, values = _belongs(subject)

    def work(connection: Connection) -> None:
        connection.execute(
            f"DELETE FROM check_scores WHERE check_id IN (SELECT check_id FROM checks WHERE {where})", values
        )
        for table in (TURNS, CHECKS, LABELS):
            connection.execute(f"DELETE FROM {table.name} WHERE {where}", values)
        # The entry stays, so that the line is not rejected once more when its log is read again.
        connection.execute(
            "UPDATE quarantine SET record = '', detail = '', field = NULL, state = 'erased' "
            "WHERE CAST(reject_id AS VARCHAR) IN (SELECT unnest(?::VARCHAR[]))",
            [rejects],
        )
        note_erased(connection, subject.owner, [subject.id], at=at)
        note_erased(connection, "conversation_id", subject.conversation_ids, at=at)
        note_erased(connection, "request_id", subject.request_ids, at=at)

    events.write(work)
    events.rebuild()


def _belongs(subject: Subject) -> tuple[str, dict[str, Any]]:
    """SQL for the rows of a subject in any table, and its parameters."""
    where = (
        "(request_id IN (SELECT unnest($requests::VARCHAR[])) "
        "OR conversation_id IN (SELECT unnest($conversations::VARCHAR[])))"
    )
    return where, {"requests": list(subject.request_ids), "conversations": list(subject.conversation_ids)}


def _find_rejects(events: EventStore, subject: Subject) -> list[str]:
    rows = events.read(
        "SELECT CAST(reject_id AS VARCHAR) AS reject_id, record FROM quarantine WHERE record <> '' ORDER BY 1"
    )
    found = subject.mentions().find(rows["record"].to_list())
    return rows["reject_id"].gather(found).to_list()


def _plain_texts(value: str) -> Iterator[str]:
    """The text itself, and the contents of a JSON list of messages."""
    if value[:1] not in ("[", "{"):
        yield value
        return
    try:
        document = msgspec.json.decode(value)
    except (msgspec.DecodeError, RecursionError):
        yield value
        return
    for item in document if isinstance(document, list) else [document]:
        content = item.get("content") if isinstance(item, dict) else item
        if isinstance(content, str):
            yield content
