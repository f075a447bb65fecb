"""Reading rejected records again, by whom, and with what success."""

from __future__ import annotations

from core.clock import now
from incidents.audit_log import note_deed
from incidents.people import Actor, Role
from ingest.batch import IngestSummary
from ingest.quarantine import retry_rejects
from service.home import Home


def retry_all(home: Home, *, actor: Actor) -> IngestSummary:
    """Reads every open reject again, and records who had it done.

    Raises:
        AccessError: The actor is no lead.
    """
    actor.require(Role.LEAD)
    summary = retry_rejects(home.events, settings=home.settings)
    counts = {"stored": summary.turns + summary.checks + summary.labels, "rejected": summary.rejected}
    note_deed(home.records, "quarantine.retry", "quarantine", counts, actor=actor, at=now())
    return summary
