"""One decision over many cases: exactly those that were shown, each with a vote of its own, one audit entry, one undo."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, col, select

from core.errors import ConflictError, NotFoundError, TransitionError, UsageError
from core.records import RecordStore
from core.settings import QueueSettings
from incidents.alike import may_be_applied
from incidents.audit import Change, change
from incidents.enums import CaseState, OpenedBy, VerdictReason
from incidents.models import Case, CaseFilter, Vote
from incidents.people import Actor, Role
from incidents.queues import belongs_to, order_by
from incidents.reviews import VoteCreate, add_vote, find_standing, list_votes, withdraw_vote
from incidents.views import CaseView, build_view, get_row

LIMIT = 5_000


@dataclass(frozen=True, slots=True)
class Selection:
    """Which open cases a decision is about: those of a queue that meet every condition named.

    Attributes:
        queue: The queue.
        filter_name: A filter that fired; None = any.
        rule_id: The rule of that filter; None = any.
        category: Category of the case; None = any.
    """

    queue: QueueSettings
    filter_name: str | None = None
    rule_id: str | None = None
    category: str | None = None

    def __str__(self) -> str:
        pairs = [("filter_name", self.filter_name), ("rule_id", self.rule_id), ("category", self.category)]
        return " and ".join([f"queue={self.queue.name}", *(f"{name}={value}" for name, value in pairs if value)])


@dataclass(frozen=True, slots=True)
class Shown:
    """What a selection held when somebody looked.

    Attributes:
        count: Cases.
        digest: Names exactly these cases; equal for equal ones.
    """

    count: int
    digest: str


@dataclass(frozen=True, slots=True)
class Applied:
    """A decision over many cases.

    Attributes:
        bulk_id: Names it, for its undo.
        count: Cases that were decided by it.
    """

    bulk_id: str
    count: int


@dataclass(frozen=True, slots=True)
class Choices:
    """What the conditions of a selection may name in a queue.

    Attributes:
        filters: Filters that fired on open cases, with their rules.
        categories: Categories of open cases.
    """

    filters: Mapping[str, tuple[str, ...]]
    categories: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Preview:
    """What a selection holds, for the person who is about to decide.

    Attributes:
        selection: The selection.
        shown: Exactly what would be decided.
        left_out: Open cases that meet the conditions and that no such decision reaches.
        first: The gravest of those that would be decided, without evidence.
    """

    selection: Selection
    shown: Shown
    left_out: int
    first: tuple[CaseView, ...]


def list_choices(records: RecordStore, queue: QueueSettings, *, actor: Actor) -> Choices:
    """The filters, rules and categories of a queue's open cases, by name."""
    actor.require(Role.VIEWER)
    waits = [col(Case.state) == CaseState.OPEN.value, *belongs_to(queue)]
    fired = (
        select(CaseFilter.filter_name, CaseFilter.rule_id)
        .join(Case, col(Case.case_id) == col(CaseFilter.case_id))
        # What fired on a random sample must not be told.
        .where(*waits, Case.opened_by != OpenedBy.SAMPLE.value)
        .distinct()
        .order_by(CaseFilter.filter_name, CaseFilter.rule_id)
    )
    filters: dict[str, tuple[str, ...]] = {}
    with records.session() as session:
        for name, rule in session.exec(fired):
            filters[name] = (*filters.get(name, ()), *([rule] if rule else []))
        categories = session.exec(select(Case.category).where(*waits).distinct().order_by(Case.category))
        return Choices(filters, tuple(filter(None, categories)))


def preview_selected(
    records: RecordStore, selection: Selection, *, actor: Actor, at: datetime, limit: int = 10
) -> Preview:
    """What a selection holds now, with its gravest cases."""
    actor.require(Role.VIEWER)
    with records.session() as session:
        ids = _find(session, selection, actor, at)
        meets = [Case.state == CaseState.OPEN.value, *_meets(selection)]
        every = session.exec(select(sa.func.count()).select_from(Case).where(*meets)).one()
        gravest = select(Case).where(*meets, *may_be_applied(actor, at)).order_by(*order_by("priority")).limit(limit)
        first = tuple(build_view(session, case, with_evidence=False) for case in session.exec(gravest))
    return Preview(selection, _describe(ids), every - len(ids), first)


def count_selected(records: RecordStore, selection: Selection, *, actor: Actor, at: datetime) -> Shown:
    """What a selection holds now, to be shown before it is decided about."""
    actor.require(Role.VIEWER)
    with records.session() as session:
        return _describe(_find(session, selection, actor, at))


def judge_selected(
    records: RecordStore, selection: Selection, vote: VoteCreate, *, shown: Shown, actor: Actor, at: datetime
) -> Applied:
    """Casts one verdict on every case of a selection. Needs a lead, since nobody looks at each of them.

    Args:
        records: The decision store.
        selection: The cases.
        vote: The verdict; its case is ignored, and it has no better response, which belongs to one turn.
        shown: What the actor was shown.
        actor: Who decides.
        at: Now.

    Raises:
        ConflictError: The selection no longer holds what was shown.
        UsageError: It holds nothing, or more than `LIMIT`.
    """
    actor.require(Role.LEAD)
    with change(records, actor=actor, at=at) as current:
        ids = _find(current.session, selection, actor, at)
        if _describe(ids) != shown:
            raise ConflictError(
                "The selection changed since it was shown", f"{shown.count} cases then, {len(ids)} now", "Look again."
            )
        return _apply(current, ids, vote, predicate=str(selection))


def apply_verdict(
    records: RecordStore, case_id: str, case_ids: Sequence[str], *, actor: Actor, at: datetime
) -> Applied:
    """Repeats the actor's standing verdict on a case for cases alike, exactly those that were shown.

    Raises:
        TransitionError: The actor has no standing verdict on the case.
        ConflictError: One of the others is no longer open, is held by somebody else, or is not alike.
        UsageError: None is named.
    """
    actor.require(Role.REVIEWER)
    with change(records, actor=actor, at=at) as current:
        case = get_row(current.session, case_id)
        own = [
            vote
            for vote in find_standing(list_votes(current.session, case_id))
            if vote.reviewer == actor.name and vote.filter_name is None
        ]
        if not own:
            raise TransitionError("Nothing to apply", f"{actor.name} has no standing verdict on {case_id}")
        query: Any = select(Case.case_id).where(
            col(Case.case_id).in_(case_ids), Case.group_id == case.group_id, *may_be_applied(actor, at)
        )
        left = sorted(set(case_ids) - set(current.session.exec(query)))
        if left:
            raise ConflictError("The cases changed since they were shown", ", ".join(left[:3]), "Look again.")
        judged = own[0]
        vote = VoteCreate(
            case_id,
            judged.harmful,
            category=judged.category,
            severity=judged.severity,
            reason=VerdictReason(judged.reason) if judged.reason else None,
            principle_id=judged.principle_id,
        )
        return _apply(current, sorted(case_ids), vote, predicate=f"alike={case_id}")


def undo_bulk(records: RecordStore, bulk_id: str, *, actor: Actor, at: datetime) -> int:
    """Withdraws every verdict of one decision that still stands; returns how many.

    Raises:
        NotFoundError: There is no such decision of the actor.
    """
    actor.require(Role.REVIEWER)
    with change(records, actor=actor, at=at) as current:
        query = select(Vote.case_id).where(Vote.bulk_id == bulk_id, Vote.reviewer == actor.name, Vote.kind == "vote")
        ids = sorted(set(current.session.exec(query)))
        if not ids:
            raise NotFoundError("No such decision of yours", repr(bulk_id))
        undone = []
        for case_id in ids:
            standing = find_standing(list_votes(current.session, case_id))
            for vote in standing:
                if vote.bulk_id == bulk_id:
                    withdraw_vote(current, get_row(current.session, case_id), vote, is_part=True)
                    undone.append(case_id)
        current.record("cases.undo_bulk", bulk_id, {"count": len(undone), "cases": undone})
        return len(undone)


def _find(session: Session, selection: Selection, actor: Actor, at: datetime) -> list[str]:
    query = select(Case.case_id).where(*_meets(selection), *may_be_applied(actor, at))
    return list(session.exec(query.order_by(Case.case_id)))


def _meets(selection: Selection) -> list[Any]:
    conditions: list[Any] = [*belongs_to(selection.queue)]
    if selection.filter_name or selection.rule_id:
        # What fired on a random sample must not be told, not even by its number.
        conditions.append(Case.opened_by != OpenedBy.SAMPLE.value)
        fired = select(CaseFilter.case_id)
        if selection.filter_name:
            fired = fired.where(CaseFilter.filter_name == selection.filter_name)
        if selection.rule_id:
            fired = fired.where(CaseFilter.rule_id == selection.rule_id)
        conditions.append(col(Case.case_id).in_(fired))
    if selection.category:
        conditions.append(Case.category == selection.category)
    return conditions


def _describe(ids: Sequence[str]) -> Shown:
    return Shown(len(ids), hashlib.sha256("\n".join(ids).encode()).hexdigest()[:12])


def _apply(current: Change, ids: Sequence[str], vote: VoteCreate, *, predicate: str) -> Applied:
    if not 0 < len(ids) <= LIMIT:
        raise UsageError("Not a number of cases to decide at once", str(len(ids)), f"Choose 1 to {LIMIT:,} cases.")
    name = f"{current.actor.name}\n{current.at.isoformat()}\n{predicate}"
    bulk_id = hashlib.sha256(name.encode()).hexdigest()[:12]
    for case_id in ids:
        alone = replace(vote, case_id=case_id, version=None, revision=None, critique=None)
        add_vote(current, alone, bulk_id=bulk_id)
    detail = {"predicate": predicate, "count": len(ids), "cases": list(ids)}
    current.record("cases.judge_bulk", bulk_id, detail)
    return Applied(bulk_id, len(ids))
