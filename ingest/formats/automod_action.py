"""Discord's AutoMod action executions, and logs in their shape (formats.md 7.3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.settings import Settings
from ingest.formats.base import (
    ENVELOPE,
    Rule,
    Selects,
    envelope_rules,
    envelope_time,
    hit,
    json_object,
    json_value,
    own_time,
    required,
    select_checks,
    text,
)

_TRIGGERS = {1: "keyword", 3: "spam", 4: "keyword-preset", 5: "mention-spam", 6: "member-profile"}


class AutomodAction:
    """See the module's docstring."""

    key = "automod_action"
    title = "AutoMod action"
    description = (
        "Hits only: counts, and no rate. One event is logged per action, so that events of one rule, user and content within a second are one "
        "check, and the further ones count as duplicates. Blocking and time-outs are enforced, an alert is a flag."
    )
    yields = ("checks",)
    structure = {
        **ENVELOPE,
        **dict.fromkeys(["guild_id", "rule_id", "rule_trigger_type", "channel_id", "message_id"], "VARCHAR"),
        **dict.fromkeys(["alert_system_message_id", "content", "matched_keyword", "matched_content"], "VARCHAR"),
        "action": {"type": "VARCHAR", "metadata": "JSON"},
    }
    rules = (
        *envelope_rules(remedy="The event carries no time: log it with timestamp."),
        required("rule_id"),
        Rule(
            "action",
            "invalid_value",
            "coalesce(try_cast(r.action.type AS INTEGER) NOT BETWEEN 1 AND 4, true)",
            "The action has a type: 1 block, 2 alert, 3 time-out, 4 block of the member.",
        ),
    )

    def sniff(self, record: Mapping[str, Any]) -> float:
        """Certain when a rule's trigger and a typed action are there."""
        action = record.get("action")
        return 1.0 if "rule_trigger_type" in record and isinstance(action, Mapping) and "type" in action else 0.0

    def selects(self, settings: Settings) -> Selects:
        """One check for the events of one second."""
        moment = envelope_time()
        # Without a time of their own, events are one by what they say: the file's time changes when it is copied.
        same = f"concat_ws(chr(31), r.rule_id, r.user_id, r.content, date_trunc('second', {own_time()}))"
        events = (
            f"(SELECT *, list(r.action.type) OVER (PARTITION BY {same}) AS actions, md5({same}) AS event FROM accepted)"
        )
        kinds = " ".join(f"WHEN '{number}' THEN '{name}'" for number, name in _TRIGGERS.items())
        stops = "len(list_intersect(actions, ['1', '3', '4'])) > 0"
        return Selects(
            checks=select_checks(
                events,
                **hit(),
                ts=f"min({moment}) OVER (PARTITION BY event)",
                # A message that was blocked never got an id.
                request_id=f"coalesce({text('r.request_id')}, {text('r.message_id')}, 'automod-' || event)",
                conversation_id=f"coalesce({text('r.conversation_id')}, {text('r.channel_id')})",
                user_id=text("r.user_id"),
                app=f"coalesce({text('r.app')}, {text('r.guild_id')})",
                taxonomy="'discord-automod'",
                native_id="event",
                layer="'keyword'",
                stage="'input'",
                filter_name="'automod'",
                rule_id="r.rule_id",
                category_native=f"CASE r.rule_trigger_type {kinds} ELSE 'trigger-' || r.rule_trigger_type END",
                decision=f"CASE WHEN {stops} THEN 'block' ELSE 'flag' END",
                enforced=stops,
                mode="'enforce'",
                outcome=f"CASE WHEN {stops} THEN 'refusal' END",
                content=text("r.content"),
                matched_text=text("r.matched_content"),
                metadata=json_object(
                    keyword="r.matched_keyword",
                    actions="to_json(actions)",
                    alert_message=json_value("to_json(r.alert_system_message_id)", "$"),
                ),
            )
        )
