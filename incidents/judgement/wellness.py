"""How much harmful text a person has met, when they should rest, and what they asked not to be given.

Exposure is counted from what is audited anyway: each turn revealed, and each case judged without a reveal, weighs as much as the
severity of the category behind it, 1 to 4. When the points of a category reach the budget, the queue offers no more of it
to this person until the shift is over. None of it is a measure of performance: figures are for the person, and leads see sums.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, col, select

from core.errors import UsageError
from core.records import RecordStore
from core.settings import WellnessSettings
from incidents.audit import change
from incidents.enums import GuidedEnum
from incidents.judgement.cover import Cover
from incidents.judgement.models import Comfort
from incidents.models import AuditEntry, Case
from incidents.people import SYSTEM, Actor, Role
from incidents.priority import SEVERITY
from ingest.crosswalk import HAZARDS
from metrics.estimate import MIN_CELL

GRAVE = 3
"""Severity from which a case is interleaved with milder ones."""
NO_CATEGORY = "none"

_USUAL_SEVERITY = 2
_WORK = ("case.lease", "case.reveal", "case.vote", "case.skip", "case.escalate", "case.snooze")


class Masking(GuidedEnum):
    """How much one reveal shows."""

    TURN = "turn", "One turn at a time", "Each turn stays masked until you reveal it."
    CONVERSATION = (
        "conversation",
        "The whole conversation",
        "One reveal shows every turn; each is recorded as revealed.",
    )


@dataclass(frozen=True, slots=True)
class Exposure:
    """What a person met in this shift, in points.

    Attributes:
        by_category: Points by category, `NO_CATEGORY` where no filter named one.
        category_budget: Points of one category after which it is offered no more.
        total_budget: Points after which nothing of severity 2 or above is offered.
    """

    by_category: Mapping[str, int]
    category_budget: int
    total_budget: int

    @property
    def total(self) -> int:
        """All points."""
        return sum(self.by_category.values())

    def list_full(self) -> frozenset[str]:
        """Categories that are offered no more."""
        if self.total >= self.total_budget:
            return frozenset(name for name in HAZARDS if _weigh(name) >= _USUAL_SEVERITY)
        return frozenset(
            name for name, points in self.by_category.items() if points >= self.category_budget and name != NO_CATEGORY
        )


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a person asked for; private to them."""

    masking: Masking = Masking.TURN
    opt_outs: frozenset[str] = frozenset()
    cover_mild: Cover = Cover.PLAIN
    cover_grave: Cover = Cover.PLAIN


@dataclass(frozen=True, slots=True)
class TeamLoad:
    """Workload and exposure of everybody who worked in the shift; None where fewer than `MIN_CELL` people did.

    Attributes:
        people: Who worked.
        judged: Verdicts given.
        median_judged: Median of verdicts by person.
        median_points: Median of exposure points by person.
        at_limit: People for whom at least one category is full.
        opt_outs: Category and how many people opted out of it, where at least `MIN_CELL` did.
    """

    people: int | None
    judged: int | None
    median_judged: float | None
    median_points: float | None
    at_limit: int | None
    opt_outs: tuple[tuple[str, int], ...]


def measure_exposure(session: Session, person: str, *, settings: WellnessSettings, at: datetime) -> Exposure:
    """What the person met since the shift began, `settings.shift_h` hours before `at`."""
    points = _count_points(session, settings=settings, at=at, person=person).get(person, Counter())
    return Exposure(dict(points), settings.category_budget, settings.total_budget)


def list_avoided(session: Session, person: str, *, settings: WellnessSettings, at: datetime) -> frozenset[str]:
    """Categories that the queue must not offer the person: opted out of, or met enough of."""
    full = measure_exposure(session, person, settings=settings, at=at).list_full()
    return full | read_wishes(session, person).opt_outs


def is_due_for_mild(session: Session, person: str, *, settings: WellnessSettings, at: datetime) -> bool:
    """Whether the person's last `settings.interleave_after` verdicts were all about grave cases, so that a milder one is due."""
    values = {"person": person, "since": at - timedelta(hours=settings.shift_h), "most": settings.interleave_after}
    last = session.exec(_LAST_JUDGED, params=values).all()
    return len(last) == settings.interleave_after and all(_weigh(hazard) >= GRAVE for hazard in last)


def list_grave() -> frozenset[str]:
    """Categories that are interleaved with milder ones."""
    return frozenset(name for name in HAZARDS if _weigh(name) >= GRAVE)


def find_rest(records: RecordStore, *, actor: Actor, settings: WellnessSettings, at: datetime) -> int:
    """Minutes until the actor should rest, 0 or less when it is time; a pause of `settings.rest_min` minutes starts anew."""
    since = at - timedelta(minutes=4 * (settings.rest_after_min + settings.rest_min))
    query = select(AuditEntry.at).where(
        AuditEntry.actor == actor.name, col(AuditEntry.action).in_(_WORK), col(AuditEntry.at) > since
    )
    with records.session() as session:
        moments = session.exec(query.order_by(col(AuditEntry.at).desc())).all()
    return compute_rest(moments, settings=settings, at=at)


def compute_rest(moments: Sequence[datetime], *, settings: WellnessSettings, at: datetime) -> int:
    """`find_rest` from the moments of a person's work, newest first."""
    start, pause = at, timedelta(minutes=settings.rest_min)
    for moment in moments:
        if start - moment >= pause:
            break
        start = moment
    return settings.rest_after_min - int((at - start).total_seconds() // 60)


def read_wishes(session: Session, person: str) -> Wishes:
    """What the person asked for. For the queue and the person alone."""
    row = session.get(Comfort, person)
    if row is None:
        return Wishes()
    covers = Cover(row.cover_mild), Cover(row.cover_grave)
    return Wishes(Masking(row.masking), frozenset(json.loads(row.opt_outs)), *covers)


def choose_cover(wishes: Wishes, severity: int | None) -> Cover:
    """What the person wants covered at a severity, 1 to 4; the more of both where it is not known."""
    if severity is not None:
        return wishes.cover_grave if severity >= GRAVE else wishes.cover_mild
    return max(wishes.cover_grave, wishes.cover_mild, key=list(Cover).index)


def save_wishes(records: RecordStore, wishes: Wishes, *, actor: Actor, at: datetime) -> None:
    """Keeps what the actor asks for; the audit log notes that, and never what.

    Raises:
        UsageError: A category does not exist.
    """
    actor.require(Role.REVIEWER)
    if unknown := wishes.opt_outs - HAZARDS.keys():
        raise UsageError("Not a category", ", ".join(sorted(unknown)), f"Valid: {', '.join(HAZARDS)}.")
    with change(records, actor=actor, at=at) as current:
        current.session.merge(
            Comfort(
                person=actor.name,
                changed_at=at,
                masking=wishes.masking.value,
                opt_outs=json.dumps(sorted(wishes.opt_outs)),
                cover_mild=wishes.cover_mild.value,
                cover_grave=wishes.cover_grave.value,
            )
        )
        current.record("comfort.change", "comfort")


def measure_team(records: RecordStore, *, settings: WellnessSettings, actor: Actor, at: datetime) -> TeamLoad:
    """Workload and exposure of the shift in aggregate, for leads."""
    actor.require(Role.LEAD)
    since = at - timedelta(hours=settings.shift_h)
    votes = (
        select(AuditEntry.actor, sa.func.count())
        .where(AuditEntry.action == "case.vote", col(AuditEntry.at) > since, AuditEntry.actor != SYSTEM.name)
        .group_by(AuditEntry.actor)
    )
    with records.session() as session:
        judged = dict(session.exec(votes).all())
        points = _count_points(session, settings=settings, at=at)
        wanted = Counter(name for row in session.exec(select(Comfort.opt_outs)) for name in json.loads(row))
    people = judged.keys() | points.keys()
    opt_outs = tuple((name, count) for name, count in sorted(wanted.items()) if count >= MIN_CELL)
    if len(people) < MIN_CELL:
        return TeamLoad(None, None, None, None, None, opt_outs)
    limits = [Exposure(points.get(name, Counter()), settings.category_budget, settings.total_budget) for name in people]
    at_limit = sum(bool(exposure.list_full()) for exposure in limits)
    return TeamLoad(
        people=len(people),
        judged=sum(judged.values()),
        median_judged=median(judged.get(name, 0) for name in people),
        median_points=median(exposure.total for exposure in limits),
        at_limit=at_limit if at_limit >= MIN_CELL or not at_limit else None,
        opt_outs=opt_outs,
    )


def _count_points(
    session: Session, *, settings: WellnessSettings, at: datetime, person: str | None = None
) -> dict[str, Counter[str]]:
    """Points by person and category: each revealed turn, and each case that was judged without a reveal."""
    values: dict[str, object] = {"since": at - timedelta(hours=settings.shift_h), "person": person}
    points: dict[str, Counter[str]] = {}
    for name, hazard, count in session.execute(_MET_BY_ALL if person is None else _MET_BY_ONE, values):
        points.setdefault(name, Counter())[hazard or NO_CATEGORY] += int(count) * _weigh(hazard)
    return points


def _query_met(*extra: sa.ColumnElement[bool]) -> sa.Select[Any]:
    """Person, category, and how many texts of it they met since `:since`."""
    person, case_id, action = col(AuditEntry.actor), col(AuditEntry.subject), col(AuditEntry.action)
    turns = sa.func.count(sa.distinct(sa.case((action == "case.reveal", col(AuditEntry.detail)))))
    met = (
        sa.select(person, case_id, sa.case((turns == 0, 1), else_=turns).label("texts"))
        .where(
            action.in_(["case.reveal", "case.vote"]), col(AuditEntry.at) > sa.bindparam("since", type_=sa.DateTime())
        )
        .where(*extra)
        .group_by(person, case_id)
        .subquery()
    )
    hazard = col(Case.hazard)
    return (
        sa.select(met.c.actor, hazard, sa.func.sum(met.c.texts))
        .join(Case, col(Case.case_id) == met.c.subject)
        .group_by(met.c.actor, hazard)
    )


_MET_BY_ALL = _query_met()
_MET_BY_ONE = _query_met(col(AuditEntry.actor) == sa.bindparam("person"))
_LAST_JUDGED = (
    select(Case.hazard)
    .join(AuditEntry, col(AuditEntry.subject) == Case.case_id)
    .where(
        AuditEntry.actor == sa.bindparam("person"),
        AuditEntry.action == "case.vote",
        col(AuditEntry.at) > sa.bindparam("since", type_=sa.DateTime()),
    )
    .order_by(col(AuditEntry.at).desc(), col(AuditEntry.seq).desc())
    .limit(sa.bindparam("most", type_=sa.Integer()))
)


def _weigh(hazard: str | None) -> int:
    """Points of one text; 1 where no filter named a category."""
    return 1 if hazard is None else SEVERITY.get(hazard, _USUAL_SEVERITY)
