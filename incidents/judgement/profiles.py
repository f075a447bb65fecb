"""Who the reviewers are, as far as they chose to say: declared by each for themselves, told in aggregate only."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, fields
from datetime import datetime

from sqlmodel import select

from core.errors import UsageError
from core.records import RecordStore
from incidents.audit import change
from incidents.judgement.models import Profile
from incidents.people import Actor, Role
from metrics.estimate import MIN_CELL

_LIMIT = 20


@dataclass(frozen=True, slots=True)
class Declaration:
    """What a person declares; every attribute may stay empty.

    Attributes:
        languages: Language tags they judge in.
        regions: Regions that they know from living there.
        expertise: Fields that they know, e.g. medicine.
    """

    languages: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    expertise: tuple[str, ...] = ()


ATTRIBUTES = tuple(field.name for field in fields(Declaration))


@dataclass(frozen=True, slots=True)
class PoolShare:
    """How many people declared one value of one attribute; never fewer than `MIN_CELL`."""

    attribute: str
    value: str
    people: int


def declare(records: RecordStore, declaration: Declaration, *, actor: Actor, at: datetime) -> None:
    """Keeps what the actor says about themselves, instead of what they said before; the audit log notes that, and never what.

    Raises:
        UsageError: A value is empty, too long, or there are too many.
    """
    actor.require(Role.REVIEWER)
    for name, values in asdict(declaration).items():
        bad = [value for value in values if not value.strip() or len(value) > 40 or not value.isprintable()]
        if bad or len(values) > _LIMIT:
            hint = f"Give up to {_LIMIT} of up to 40 printable characters."
            raise UsageError(f"Not usable as {name}", ", ".join(map(repr, bad)), hint)
    body = {name: sorted({value.strip().lower() for value in values}) for name, values in asdict(declaration).items()}
    with change(records, actor=actor, at=at) as current:
        current.session.merge(Profile(person=actor.name, declared_at=at, body=json.dumps(body)))
        current.record("profile.declare", "profile")


def read_own(records: RecordStore, *, actor: Actor) -> Declaration:
    """What the actor declared; nobody can read anybody else's."""
    with records.session() as session:
        row = session.get(Profile, actor.name)
    return (
        Declaration(**{name: tuple(values) for name, values in json.loads(row.body).items()}) if row else Declaration()
    )


def summarise_pool(records: RecordStore, *, actor: Actor) -> list[PoolShare]:
    """How many people declared what, most first; values that fewer than `MIN_CELL` people declared are left out."""
    actor.require(Role.VIEWER)
    counts: Counter[tuple[str, str]] = Counter()
    with records.session() as session:
        for body in session.exec(select(Profile.body)):
            counts.update((name, value) for name, values in json.loads(body).items() for value in values)
    shares = [PoolShare(name, value, people) for (name, value), people in counts.items() if people >= MIN_CELL]
    return sorted(shares, key=lambda share: (share.attribute, -share.people, share.value))


def group_reviewers(records: RecordStore, attribute: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The people of each group of at least `MIN_CELL` that declared one value; for computing, never for showing.

    Args:
        records: The decision store.
        attribute: One of `ATTRIBUTES`.

    Returns:
        Each value with its people, in order; somebody who declared several is in several.

    Raises:
        UsageError: People declare no such attribute.
    """
    if attribute not in ATTRIBUTES:
        raise UsageError("Reviewers declare no such attribute", repr(attribute), f"Valid: {', '.join(ATTRIBUTES)}.")
    groups: dict[str, list[str]] = {}
    with records.session() as session:
        for row in session.exec(select(Profile).order_by(Profile.person)):
            for value in json.loads(row.body).get(attribute, []):
                groups.setdefault(value, []).append(row.person)
    return tuple((value, tuple(people)) for value, people in sorted(groups.items()) if len(people) >= MIN_CELL)
