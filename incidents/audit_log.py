"""Reading the audit log, and proving that it is what was written: its chain, and heads noted outside the store."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa
from sqlmodel import Session, col, select

from core.clock import isoformat
from core.errors import FormatError
from core.records import RecordStore
from core.settings import Settings, default_settings, describe
from incidents.audit import Break, change, find_tampering
from incidents.models import AuditEntry
from incidents.people import SYSTEM, Actor, Role

HEADS = "audit-heads.jsonl"
"""File of the home that notes, now and then, how far the log was and what its last digest was."""
_SETTINGS = "settings.change"
Deed = Literal[
    "labels.import",
    "quarantine.retry",
    "quarantine.ignore",
    "quarantine.reveal",
    "report.export",
    "postmortem.export",
]
_LEAST_ROLES: Mapping[Deed, Role] = {
    "labels.import": Role.LEAD,
    "quarantine.retry": Role.LEAD,
    "quarantine.ignore": Role.LEAD,
    "quarantine.reveal": Role.REVIEWER,
    "report.export": Role.VIEWER,
    "postmortem.export": Role.VIEWER,
}


@dataclass(frozen=True, slots=True)
class AuditView:
    """One entry; `detail` is JSON of ids and counts."""

    seq: int
    at: datetime
    actor: str
    role: str
    action: str
    subject: str
    detail: str
    digest: str


@dataclass(frozen=True, slots=True)
class AuditCheck:
    """What a verification found.

    Attributes:
        entries: Entries in the log.
        head: Digest of the last one; "" in an empty log. Note it elsewhere to compare later.
        heads: Noted heads that were compared.
        broken: The first place where the log is not what was written; None when it is whole.
    """

    entries: int
    head: str
    heads: int
    broken: Break | None


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who acted: under which roles, and when first and last."""

    name: str
    roles: tuple[str, ...]
    first_at: datetime
    last_at: datetime


def note_deed(
    records: RecordStore,
    deed: Deed,
    subject: str,
    detail: Mapping[str, object] | None = None,
    *,
    actor: Actor,
    at: datetime,
) -> None:
    """Records what somebody saw, took out or changed where no other change of the decision store tells of it.

    Args:
        records: The decision store.
        deed: What it was.
        subject: On what: an id or a name of ours.
        detail: Ids and counts, never logged text.
        actor: Who.
        at: Now.

    Raises:
        AccessError: The actor's role does not permit it.
    """
    actor.require(_LEAST_ROLES[deed])
    with change(records, actor=actor, at=at) as current:
        current.record(deed, subject, detail)


def list_audit(
    records: RecordStore,
    *,
    actor: Actor,
    by: str | None = None,
    action: str = "",
    subject: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = 200,
) -> list[AuditView]:
    """The newest entries.

    Args:
        records: The decision store.
        actor: Who looks; leads may.
        by: Of this person only.
        action: Beginning of the action: "case." for all of cases.
        subject: About this only.
        since: Inclusive start.
        until: Exclusive end.
        limit: Most entries.
    """
    actor.require(Role.LEAD)
    query = select(AuditEntry).order_by(col(AuditEntry.seq).desc()).limit(limit)
    if by is not None:
        query = query.where(AuditEntry.actor == by)
    if action:
        query = query.where(col(AuditEntry.action).startswith(action, autoescape=True))
    if subject is not None:
        query = query.where(AuditEntry.subject == subject)
    if since is not None:
        query = query.where(col(AuditEntry.at) >= since)
    if until is not None:
        query = query.where(col(AuditEntry.at) < until)
    with records.session() as session:
        return [AuditView(**row.model_dump(exclude={"previous"})) for row in session.exec(query)]


def list_people(records: RecordStore, *, actor: Actor) -> list[Person]:
    """Everybody who ever acted, by name. Counts are left out on purpose: this is no measure of anybody's work."""
    actor.require(Role.LEAD)
    first, last = sa.func.min(AuditEntry.at), sa.func.max(AuditEntry.at)
    query = select(AuditEntry.actor, AuditEntry.role, first, last).group_by(AuditEntry.actor, AuditEntry.role)
    people: dict[str, Person] = {}
    with records.session() as session:
        for name, role, first_at, last_at in session.exec(query.order_by(AuditEntry.actor, last)):
            known = people.get(name, Person(name, (), first_at, last_at))
            people[name] = Person(
                name, (*known.roles, role), min(known.first_at, first_at), max(known.last_at, last_at)
            )
    return list(people.values())


def verify_audit(records: RecordStore, heads: Path | None) -> AuditCheck:
    """Checks the chain, and the noted heads against it.

    Args:
        records: The decision store.
        heads: File of noted heads; None = the chain alone. One that does not exist holds none.

    Raises:
        FormatError: A line of the file cannot be read.
    """
    broken = find_tampering(records)
    noted = _read_heads(heads) if heads is not None and heads.exists() else []
    with records.session() as session:
        last = _last(session)
        for seq, digest in noted:
            entry = session.get(AuditEntry, seq)
            is_same = entry is not None and entry.digest == digest
            if not is_same and (broken is None or seq < broken.seq):
                what = f"Entry {seq} is missing" if entry is None else f"The log up to entry {seq} was written anew"
                broken = Break(seq, f"{what}: its digest was noted outside the store.")
    return AuditCheck(last.seq if last else 0, last.digest if last else "", len(noted), broken)


def note_head(records: RecordStore, path: Path, *, at: datetime) -> bool:
    """Notes the log's last entry outside the store, when it is a new one; returns whether it was.

    The file is only ever added to. Copy it, or the digest, to where whoever can write the store cannot.
    """
    with records.session() as session:
        last = _last(session)
    noted = _read_heads(path) if path.exists() else []
    if last is None or (noted and noted[-1][0] >= last.seq):
        return False
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"at": isoformat(at), "seq": last.seq, "digest": last.digest}) + "\n")
        file.flush()
        os.fsync(file.fileno())
    return True


def record_settings(records: RecordStore, settings: Settings, *, at: datetime) -> list[str]:
    """Records which settings differ from those of the last start; returns their names. Values are not recorded.

    What no start has recorded yet counts as its default, so that neither a first start without settings of its own nor a
    version with new settings leaves an entry. A secret counts as set or not set: its value leaves no trace here.
    """
    prints = _fingerprint(settings)
    with change(records, actor=SYSTEM, at=at) as current:
        query = select(AuditEntry.detail).where(AuditEntry.action == _SETTINGS).order_by(col(AuditEntry.seq).desc())
        stored = current.session.exec(query).first()
        before: dict[str, str] = json.loads(stored)["prints"] if stored else {}
        for name, value in _fingerprint(default_settings()).items():
            # Of a list of tables, those that are not there were taken out.
            if not stored or not isinstance(getattr(settings, name.partition(".")[0]), tuple):
                before.setdefault(name, value)
        changed = sorted(name for name in {*before, *prints} if before.get(name) != prints.get(name))
        if changed:
            current.record(_SETTINGS, "weir.toml", {"changed": changed, "prints": prints})
    return changed


def _fingerprint(settings: Settings) -> dict[str, str]:
    """A short hash of each setting's value, by its name."""
    return {
        name: hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]
        for name, value in flatten_settings(describe(settings))
        if name != "home"
    }


def flatten_settings(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Pairs of dotted name and value; tables that may be given several times are numbered."""
    pairs: list[tuple[str, Any]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            pairs += flatten_settings(value, f"{prefix}{name}.")
        elif isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
            numbered = {item.get("name") or str(place): item for place, item in enumerate(value, start=1)}
            pairs += flatten_settings(numbered, f"{prefix}{name}.")
        else:
            pairs.append((f"{prefix}{name}", value))
    return pairs


def _last(session: Session) -> AuditEntry | None:
    return session.exec(select(AuditEntry).order_by(col(AuditEntry.seq).desc()).limit(1)).first()


def _read_heads(path: Path) -> list[tuple[int, str]]:
    heads = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            head = json.loads(line)
            heads.append((int(head["seq"]), str(head["digest"])))
        except (ValueError, KeyError, TypeError) as error:
            where = f"{path}, line {number}"
            raise FormatError(
                "The noted heads cannot be read", where, "Restore the file; it is only added to."
            ) from error
    return heads
