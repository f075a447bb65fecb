"""How much waits for one person, second looks included: a queue that seemed empty would give them away."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import sqlalchemy as sa

from core.records import RecordStore
from core.settings import Settings
from incidents.audit import change
from incidents.judgement.looks import find_waiting, plan_looks
from incidents.people import SYSTEM, Actor, Role
from incidents.queues import QueueCount, belongs_to, count_queues, list_queues


def count_offers(records: RecordStore, settings: Settings, *, actor: Actor, at: datetime) -> list[QueueCount]:
    """`queues.count_queues`, the cases that the actor is to judge once more among the waiting."""
    counts = count_queues(records, settings, actor=actor, at=at)
    with_audits = actor.role in (Role.LEAD, Role.ADMIN)
    values = {"reviewer": actor.name, "at": at}
    extra = []
    with records.session() as session:
        for queue in list_queues(settings):
            looks = find_waiting(with_audits=with_audits, conditions=belongs_to(queue)).order_by(None).subquery()
            extra.append(session.execute(sa.select(sa.func.count()).select_from(looks), values).scalar_one())
    return [replace(count, waiting=count.waiting + more) for count, more in zip(counts, extra, strict=True)]


def plan_waiting(records: RecordStore, *, settings: Settings, at: datetime) -> int:
    """Chooses second looks among the newest verdicts; returns how many."""
    with change(records, actor=SYSTEM, at=at) as current:
        current.keep()
        return plan_looks(current.session, settings=settings.review, at=at)
