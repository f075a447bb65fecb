"""ROOST Osprey: execution results with extracted features, and verdicts of its synchronous answers (formats.md 7.1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.settings import Settings
from ingest.formats.base import (
    Rule,
    Selects,
    json_entries,
    json_items,
    json_object,
    json_value,
    select_checks,
    sql_text,
    text,
    timestamp,
    valid_time,
)

_MOMENT = "coalesce(nullif(r.__timestamp, ''), nullif(r.timestamp, ''))"
_ACTION = "coalesce(nullif(r.__action_id, ''), nullif(r.action_id, ''))"
# Names under which features usually keep what joins, and what was looked at.
_REQUEST = ("$.RequestId", "$.request_id", "$.MessageId", "$.message_id")
_CONVERSATION = ("$.ConversationId", "$.conversation_id", "$.SessionId", "$.ChannelId")
_TEXT = ("$.PromptText", "$.MessageText", "$.Text", "$.Content", "$.text")
_STOPS = r"reject|block|deny|ban|remove"


class OspreyExecutionResult:
    """See the module's docstring."""

    key = "osprey_execution_result"
    title = "Osprey execution result"
    description = (
        "One check for the verdicts of an action, and one for each rule, whose null is not a pass: not run, or an error where the action counts "
        "errors. Nothing marks which features are rules: those that are true or false somewhere in a batch's actions of one name are taken, or, where "
        "ingest.osprey_rules is set, those whose names it matches. A sample rate below 100 stays in metadata; counts are of logged actions."
    )
    yields = ("checks",)
    structure = {
        **dict.fromkeys(
            ["__action_id", "__timestamp", "__error_count", "__sample_rate", "ActionName", "UserId"], "VARCHAR"
        ),
        **dict.fromkeys(["action_id", "action_name", "timestamp"], "VARCHAR"),
        **dict.fromkeys(["__verdicts", "__entity_label_mutations", "verdicts"], "JSON"),
    }
    rules = (
        valid_time("__timestamp"),
        valid_time("timestamp"),
        Rule("__timestamp", "missing_field", f"{_MOMENT} IS NULL", "This field is required."),
        Rule("__action_id", "missing_field", f"{_ACTION} IS NULL", "This field is required."),
    )

    def sniff(self, record: Mapping[str, Any]) -> float:
        """Certain when the reserved keys of a result, or an answer's verdicts, are there."""
        if {"__action_id", "__timestamp"} <= record.keys():
            return 1.0
        return 1.0 if {"action_id", "action_name", "verdicts"} <= record.keys() else 0.0

    def selects(self, settings: Settings) -> Selects:
        """What the action came to, and what each rule said."""
        # The features are all keys that the structure does not know.
        features = "CAST(extra AS JSON)"
        facts = {
            "ts": timestamp(_MOMENT),
            "request_id": f"coalesce({json_value(features, *_REQUEST)}, 'osprey-' || {_ACTION})",
            "conversation_id": json_value(features, *_CONVERSATION),
            "user_id": f"coalesce({text('r.UserId')}, {json_value(features, '$.user_id')})",
            "app": f"coalesce({text('r.ActionName')}, {text('r.action_name')})",
            "layer": "'rule_engine'",
            "stage": "'input'",
            "content": json_value(features, *_TEXT),
        }
        said = "coalesce(r.__verdicts, r.verdicts)"
        verdicts = f"coalesce({json_items(said)}, [])"
        fired = f"len({verdicts}) > 0"
        stops = f"regexp_matches(lower(CAST({said} AS VARCHAR)), '{_STOPS}')"
        of_actions = select_checks(
            "accepted",
            **facts,
            native_id=_ACTION,
            filter_name="'osprey'",
            rule_id=f"CASE WHEN {fired} THEN {json_value(said, '$[0]')} END",
            triggered=fired,
            decision=f"CASE WHEN NOT {fired} THEN 'allow' WHEN {stops} THEN 'block' ELSE 'flag' END",
            enforced=f"{fired} AND coalesce({stops}, false)",
            mode="'enforce'",
            status="'ok'",
            metadata=json_object(
                verdicts=said,
                labels="r.__entity_label_mutations",
                error_count="r.__error_count",
                sample_rate="r.__sample_rate",
            ),
        )
        entries = f"coalesce({json_entries(features)}, [])"
        named = (
            f"regexp_matches(e.key, {sql_text(settings.ingest.osprey_rules)})"
            if settings.ingest.osprey_rules
            else "json_type(e.value) = 'BOOLEAN'"
        )
        # A rule that is null is absent from `extra`: it is known from other actions of the same name.
        rules = f"""
            (SELECT line_no, r, extra, name, row_number() OVER (PARTITION BY line_no ORDER BY name) AS item,
                CASE CAST(list_filter(entries, lambda e: e.key = name)[1].value AS VARCHAR)
                    WHEN 'true' THEN true WHEN 'false' THEN false END AS fired
             FROM (SELECT *, {entries} AS entries, {facts["app"]} AS action FROM accepted)
             JOIN (SELECT DISTINCT action AS of_action, e.key AS name
                   FROM (SELECT {facts["app"]} AS action, unnest({entries}) AS e FROM accepted) WHERE {named})
               ON of_action IS NOT DISTINCT FROM action)"""
        failed = "coalesce(try_cast(r.__error_count AS BIGINT), 0) > 0"
        of_rules = select_checks(
            rules,
            **facts,
            item="item",
            native_id=_ACTION,
            filter_name="'osprey/' || name",
            triggered="fired",
            decision=f"CASE WHEN fired THEN 'flag' WHEN NOT fired THEN 'allow' WHEN {failed} THEN 'error' ELSE 'skipped' END",
            enforced="false",
            mode="'annotate'",
            status=f"CASE WHEN fired IS NOT NULL THEN 'ok' WHEN {failed} THEN 'error' ELSE 'not_run' END",
            error=f"CASE WHEN fired IS NULL AND {failed} THEN 'rule_failed' END",
        )
        return Selects(checks=f"{of_actions} UNION ALL BY NAME {of_rules}")
