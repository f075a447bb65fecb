"""Looking at logged text outside a case: audited, like every reveal."""

from __future__ import annotations

from datetime import datetime

from core.records import RecordStore
from incidents.audit import change
from incidents.people import Actor, Role


def reveal_logged_turn(records: RecordStore, request_id: str, *, actor: Actor, at: datetime) -> None:
    """Records that the actor saw the texts of one turn."""
    actor.require(Role.REVIEWER)
    with change(records, actor=actor, at=at) as current:
        current.record("turn.reveal", request_id)


def reveal_matches(
    records: RecordStore, *, filter_name: str, rule_id: str | None, spans: int, actor: Actor, at: datetime
) -> None:
    """Records that the actor saw what a filter, or one rule of it, matched.

    Args:
        records: The decision store.
        filter_name: The filter.
        rule_id: The rule; None = the filter as a whole.
        spans: How many matched texts were shown.
        actor: Who looks.
        at: Now.
    """
    actor.require(Role.REVIEWER)
    with change(records, actor=actor, at=at) as current:
        current.record("match.reveal", "/".join(part for part in (filter_name, rule_id) if part), {"spans": spans})
