"""Versions of the reviewers' guidelines: which one is in force, which categories each changed, and what is contested meanwhile."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl
import sqlalchemy as sa
from sqlmodel import Session, col, select

from core.errors import UsageError
from core.events import Connection, EventStore
from core.records import RecordStore
from incidents.audit import change
from incidents.judgement.models import ContestedItem, GuidelineVersion
from incidents.models import Case, Vote
from incidents.people import Actor, Role
from ingest.crosswalk import HAZARDS
from metrics.stale import EVERY_CATEGORY, read_categories

_SOURCE = "weir-guidelines"
_IN_FORCE = select(GuidelineVersion.name).order_by(col(GuidelineVersion.position).desc()).limit(1)


@dataclass(frozen=True, slots=True)
class Declared:
    """What declaring a version did: its place in the order, and how many contested cases it resolves."""

    name: str
    position: int
    resolved: int


@dataclass(frozen=True, slots=True)
class VersionView:
    """One declared version; `resolved` counts the contested cases that it made clear."""

    name: str
    position: int
    declared_at: datetime
    author: str
    note: str
    categories: tuple[str, ...]
    resolved: int


@dataclass(frozen=True, slots=True)
class ContestedGroup:
    """Contested cases that no guideline version has resolved, of one category, dispute and reason that people gave.

    Attributes:
        category: Category behind the cases; None where no filter named one.
        dispute: On what verdicts differ.
        reason: Reason that most verdicts on the cases name; None where none does.
        cases: How many.
        waiting: How many of them wait for an adjudication.
        case_ids: The newest of them, at most five.
    """

    category: str | None
    dispute: str
    reason: str | None
    cases: int
    waiting: int
    case_ids: tuple[str, ...]


def find_guideline(session: Session) -> str | None:
    """Name of the version in force; None before the first was declared."""
    return session.exec(_IN_FORCE).first()


def declare_version(
    records: RecordStore,
    events: EventStore,
    *,
    name: str,
    categories: Sequence[str],
    note: str,
    actor: Actor,
    at: datetime,
) -> Declared:
    """Puts a version in force: verdicts name it from now on, and earlier ones on its categories turn stale.

    Contested cases of those categories count as resolved by it, once nobody needs to settle them.

    Args:
        records: The decision store.
        events: The event store, in which reports and exports look versions up.
        name: Its name, up to 40 printable characters.
        categories: Hazards whose meaning changed; `EVERY_CATEGORY` for all, none for an editorial change.
        note: What changed.
        actor: A lead.
        at: Now.

    Raises:
        AccessError: The actor is no lead.
        UsageError: The name is taken or unusable, or a category does not exist.
    """
    actor.require(Role.LEAD)
    if not name.strip() or len(name) > 40 or not name.isprintable():
        raise UsageError("Not a name for a version", repr(name[:50]), "Use up to 40 printable characters.")
    if unknown := sorted(set(categories) - HAZARDS.keys() - {EVERY_CATEGORY}):
        valid = ", ".join((EVERY_CATEGORY, *HAZARDS))
        raise UsageError("Not a category", ", ".join(unknown), f"Valid: {valid}.")
    with change(records, actor=actor, at=at) as current:
        session = current.session
        if session.exec(select(GuidelineVersion).where(GuidelineVersion.name == name)).first():
            raise UsageError("The version exists", repr(name), "Choose another name.")
        position = session.exec(select(sa.func.coalesce(sa.func.max(GuidelineVersion.position), 0))).one() + 1
        version = GuidelineVersion(
            position=position,
            name=name,
            declared_at=at,
            author=actor.name,
            note=note,
            # As exports read it: null for all.
            categories=json.dumps(None if EVERY_CATEGORY in categories else sorted(set(categories))),
        )
        session.add(version)
        session.flush()
        open_items = select(ContestedItem).join(Case, col(Case.case_id) == ContestedItem.case_id)
        open_items = open_items.where(
            col(ContestedItem.resolved_by).is_(None), col(ContestedItem.is_waiting).is_(False)
        )
        if EVERY_CATEGORY not in categories:
            open_items = open_items.where(col(Case.hazard).in_(list(categories)))
        resolved = session.exec(open_items).all()
        for item in resolved:
            item.resolved_by = name
            session.add(item)
        current.record("guideline.declare", name, {"position": position, "resolved": len(resolved)})
    mirror_versions(records, events, at=at)
    return Declared(name, position, len(resolved))


def mirror_versions(records: RecordStore, events: EventStore, *, at: datetime) -> int:
    """Copies versions that the event store lacks into it; returns how many. Repeating it changes nothing."""
    with records.session() as session:
        versions = session.exec(select(GuidelineVersion).order_by(col(GuidelineVersion.position))).all()
    known = events.read("SELECT coalesce(max(position), 0) AS known FROM guidelines").item()
    new = [version for version in versions if version.position > known]
    if not new:
        return 0
    rows = pl.DataFrame(
        [
            {
                "position": item.position,
                "name": item.name,
                "declared_at": item.declared_at,
                "categories": item.categories,
            }
            for item in new
        ]
    )

    def work(connection: Connection) -> None:
        connection.register("declared", rows)
        connection.execute("INSERT INTO guidelines BY NAME SELECT * FROM declared")
        connection.unregister("declared")
        # A new ingest raises the data version, by which cached figures know that verdicts turned stale.
        connection.execute(
            "INSERT INTO ingests (ingest_id, ingested_at, source, read_count, turn_count, check_count, label_count, "
            "duplicate_count, reject_count, seconds) "
            "SELECT coalesce(max(ingest_id), 0) + 1, ?, ?, 0, 0, 0, 0, 0, 0, 0 FROM ingests",
            [at, _SOURCE],
        )

    events.write(work)
    return len(new)


def list_versions(records: RecordStore, *, actor: Actor) -> list[VersionView]:
    """All versions, newest first."""
    actor.require(Role.VIEWER)
    with records.session() as session:
        versions = session.exec(select(GuidelineVersion).order_by(col(GuidelineVersion.position).desc())).all()
        resolved = Counter(session.exec(select(ContestedItem.resolved_by)).all())
    return [
        VersionView(
            name=item.name,
            position=item.position,
            declared_at=item.declared_at,
            author=item.author,
            note=item.note,
            categories=read_categories(item.categories),
            resolved=resolved[item.name],
        )
        for item in versions
    ]


def group_contested(records: RecordStore, *, actor: Actor) -> list[ContestedGroup]:
    """What guideline review should look at: contested cases that no version has resolved, largest group first."""
    actor.require(Role.VIEWER)
    query = (
        select(ContestedItem, Case.hazard)
        .join(Case, col(Case.case_id) == ContestedItem.case_id)
        .where(col(ContestedItem.resolved_by).is_(None))
        .order_by(col(ContestedItem.since).desc(), col(ContestedItem.case_id))
    )
    with records.session() as session:
        items = session.exec(query).all()
        reasons = _count_reasons(session, [item.case_id for item, _ in items])
    groups: dict[tuple[str | None, str, str | None], list[ContestedItem]] = {}
    for item, hazard in items:
        most = reasons[item.case_id].most_common(1) if item.case_id in reasons else []
        groups.setdefault((hazard, item.dispute, most[0][0] if most else None), []).append(item)
    found = [
        ContestedGroup(
            category=category,
            dispute=dispute,
            reason=reason,
            cases=len(members),
            waiting=sum(member.is_waiting for member in members),
            case_ids=tuple(member.case_id for member in members[:5]),
        )
        for (category, dispute, reason), members in groups.items()
    ]
    return sorted(found, key=lambda group: (-group.cases, group.category or "", group.dispute, group.reason or ""))


def _count_reasons(session: Session, case_ids: Sequence[str]) -> dict[str, Counter[str]]:
    counted: dict[str, Counter[str]] = {}
    wanted = set(case_ids)
    query = select(Vote.case_id, Vote.reason).join(ContestedItem, col(ContestedItem.case_id) == Vote.case_id)
    query = query.where(Vote.kind == "vote", col(Vote.reason).is_not(None), col(ContestedItem.resolved_by).is_(None))
    for case_id, reason in session.exec(query):
        if case_id in wanted and reason:
            counted.setdefault(case_id, Counter())[reason] += 1
    return counted
