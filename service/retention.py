"""Ageing out: audited first, then done, so that nothing goes without an entry."""

from __future__ import annotations

from datetime import datetime

from incidents.audit import change
from incidents.people import Actor, Role
from ingest.retention import AgedOut, age_out, find_aged
from service.home import Home


def apply_retention(home: Home, *, actor: Actor, at: datetime, is_trial: bool = False) -> AgedOut:
    """Removes what `[retention]` no longer keeps, and returns what that is.

    Args:
        home: The home.
        actor: Who asks; the system, when it is time.
        at: Now.
        is_trial: Change nothing.

    Raises:
        AccessError: The actor is no admin.
    """
    actor.require(Role.ADMIN)
    policy = home.settings.retention
    aged = find_aged(home.events, policy, inbox=home.settings.inbox, at=at)
    if is_trial or not aged:
        return aged
    with change(home.records, actor=actor, at=at) as current:
        current.record(
            "retention",
            "events",
            {
                "texts": aged.texts,
                "rows": aged.rows,
                "files": len(aged.files),
                "policy": policy.model_dump(mode="json"),
            },
        )
    age_out(home.events, policy, aged, at=at)
    home.events.checkpoint()
    return aged
