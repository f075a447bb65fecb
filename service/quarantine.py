"""Rejected records read again, or set aside: by whom, and with what success."""

from __future__ import annotations

from collections.abc import Sequence

from core.clock import now
from incidents.audit_log import note_deed
from incidents.people import Actor, Role
from ingest.batch import IngestSummary
from ingest.quarantine import ignore_rejects, retry_rejects
from service.home import Home


def retry_all(home: Home, *, actor: Actor, reject_ids: Sequence[str] | None = None) -> IngestSummary:
    """Reads open rejects again, all or those named, and records who had it done.

    Raises:
        AccessError: The actor is no lead.
    """
    actor.require(Role.LEAD)
    summary = retry_rejects(home.events, settings=home.settings, reject_ids=reject_ids)
    counts = {"stored": summary.turns + summary.checks + summary.labels, "rejected": summary.rejected}
    note_deed(home.records, "quarantine.retry", "quarantine", counts, actor=actor, at=now())
    return summary


def ignore(home: Home, reject_ids: Sequence[str], *, actor: Actor) -> int:
    """Sets open rejects aside as no data, and records who did; returns how many.

    Raises:
        AccessError: The actor is no lead.
    """
    actor.require(Role.LEAD)
    count = ignore_rejects(home.events, reject_ids)
    note_deed(home.records, "quarantine.ignore", "quarantine", {"ignored": count}, actor=actor, at=now())
    return count
