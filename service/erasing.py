"""Erasing a person or a conversation from everything that a home holds, and saying what is left to do elsewhere.

Order matters, so that a stop in between can be made good by the same command: what tells which turns are theirs goes last.
"""

from __future__ import annotations

import hashlib
import mmap
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa
from sqlmodel import select

from core.errors import NotFoundError
from incidents.audit import change
from incidents.erasing import count_decisions, erase_decisions
from incidents.exports.ledger import Holding, find_holdings
from incidents.models import AuditEntry
from incidents.people import Actor, Role
from ingest.erasing import Owner, Subject, count_rows, erase_rows, find_subject
from ingest.erasing_files import LogFile, blank_lines, find_lines
from ingest.mentions import MIN_TEXT, written_forms
from ingest.sources.files import Compression, open_text, sniff_compression
from service.home import Home

ACTION = "erase"
_NEEDLES = 60


@dataclass(frozen=True, slots=True)
class Erasure:
    """What was erased, or would be, and what is left for people to do.

    Attributes:
        is_done: Whether it was done; else it was a trial.
        counts: Rows and records by table, lines of log files, and copies.
        exports: Feedback sets that hold turns of theirs: build them anew and destroy every copy.
        files: Log files of the inbox that cannot be blanked: whoever wrote them has to.
        backups: Copies of the home that were made and still exist: they hold what was erased until they are destroyed.
        leftovers: Files of the home that still hold a text or an id, by a search of all their bytes; empty in a trial.
    """

    is_done: bool
    counts: dict[str, int]
    exports: tuple[Holding, ...]
    files: tuple[Path, ...]
    backups: tuple[Path, ...]
    leftovers: tuple[Path, ...]


def erase(home: Home, owner: Owner, key: str, *, actor: Actor, at: datetime, is_trial: bool = False) -> Erasure:
    """Erases a person (`user_id`) or a conversation (`conversation_id`).

    Args:
        home: The home.
        owner: What `key` is.
        key: The id, as logged.
        actor: Who asks.
        at: Now.
        is_trial: Change nothing.

    Raises:
        AccessError: The actor is no admin.
        NotFoundError: Nothing in the home is theirs.
    """
    actor.require(Role.ADMIN)
    subject = find_subject(home.events, owner, key)
    mentions = subject.mentions()
    files = find_lines(home.settings.inbox, mentions)
    exports = tuple(_find_exports(home, subject, actor))
    with home.records.session() as session:
        decisions = count_decisions(session, subject.request_ids)
    counts = count_rows(home.events, subject) | decisions | {"lines": sum(file.lines for file in files)}
    if not any(counts.values()) and not exports:
        raise NotFoundError("Nothing here is theirs", f"{owner} {key}", "Give the id as the logs have it.")
    left = tuple(file.path for file in files if not file.is_text)
    backups = tuple(_list_backups(home))
    if is_trial:
        return Erasure(False, counts, exports, left, backups, ())
    _do(home, subject, files, counts, exports, actor=actor, at=at)
    return Erasure(True, counts, exports, left, backups, tuple(_find_leftovers(home, subject)))


def _do(
    home: Home,
    subject: Subject,
    files: Sequence[LogFile],
    counts: dict[str, int],
    exports: Sequence[Holding],
    *,
    actor: Actor,
    at: datetime,
) -> None:
    blank_lines(home.events, files, subject.mentions())
    with change(home.records, actor=actor, at=at) as current:
        erase_decisions(current, subject.request_ids, (*subject.conversation_ids, *subject.shared_ids))
        digest = hashlib.sha256(subject.id.encode()).hexdigest()
        numbers = [holding.entry.number for holding in exports]
        current.record(ACTION, subject.owner, {"id_sha256": digest, "counts": counts, "exports": numbers})
    erase_rows(home.events, subject, at=at)
    if home.records.engine.dialect.name == "sqlite":
        with home.records.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            # Rewrites the file without its free pages, and empties the write-ahead log.
            connection.execute(sa.text("VACUUM"))
            connection.execute(sa.text("PRAGMA wal_checkpoint(TRUNCATE)"))


def _find_exports(home: Home, subject: Subject, actor: Actor) -> list[Holding]:
    asked = {subject.owner: subject.id}
    found = {holding.entry.number: holding for holding in find_holdings(home.records, actor=actor, **asked)}
    for request_id in subject.request_ids:
        for holding in find_holdings(home.records, actor=actor, request_id=request_id):
            found.setdefault(holding.entry.number, holding)
    return [found[number] for number in sorted(found, reverse=True)]


def _list_backups(home: Home) -> list[Path]:
    """Folders that `weir backup` made and that are still there, and what a restore moved aside."""
    with home.records.session() as session:
        made = session.exec(select(AuditEntry.subject).where(AuditEntry.action == "backup").distinct()).all()
    aside = home.settings.home.glob("replaced-*")
    return sorted({path for path in (*map(Path, made), *aside) if path.is_dir()})


def _find_leftovers(home: Home, subject: Subject) -> list[Path]:
    """Files of the home in which an id or one of the longest texts still stands."""
    longest = sorted((text for text in subject.texts if len(text) >= MIN_TEXT), key=len, reverse=True)[:_NEEDLES]
    # A whole word in the case of an id, so that u-1 is not found in u-17.
    words = [rb"(?<![\w-])" + re.escape(form.encode()) + rb"(?![\w-])" for form in written_forms(subject.id)]
    needles = [re.escape(form.encode()) for text in longest for form in written_forms(text)]
    pattern = re.compile(b"|".join(sorted({*words, *needles})))
    return [path for path in sorted(home.settings.home.rglob("*")) if path.is_file() and _holds(path, pattern)]


def _holds(path: Path, pattern: re.Pattern[bytes]) -> bool:
    if not path.stat().st_size:
        return False
    compression = sniff_compression(path)
    if compression is not Compression.NONE:
        with open_text(path, compression) as file:
            return pattern.search(file.read()) is not None
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return pattern.search(content) is not None
