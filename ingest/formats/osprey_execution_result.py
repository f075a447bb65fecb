"""ROOST Osprey: execution results with extracted features, and verdicts of its synchronous answers (formats.md 7.1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.settings import Settings
from ingest.formats.base import (
    Rule,
    Selects,
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
_USER = ("$.user_id",)
_TEXT = ("$.PromptText", "$.MessageText", "$.Text", "$.Content", "$.text")
_NAMED = (*_REQUEST, *_CONVERSATION, *_USER, *_TEXT)
_STOPS = r"reject|block|deny|ban|remove"


def _first(paths: tuple[str, ...]) -> str:
    """The first of `paths` that is among the features."""
    return f"coalesce({', '.join(f'found[{_NAMED.index(path) + 1}]' for path in paths)})"


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
        # The features are all keys that the structure does not know, read once for all that is in them.
        facts = {
            "ts": timestamp(_MOMENT),
            "request_id": f"coalesce({_first(_REQUEST)}, 'osprey-' || {_ACTION})",
            "conversation_id": _first(_CONVERSATION),
            "user_id": f"coalesce({text('r.UserId')}, {_first(_USER)})",
            "app": f"coalesce({text('r.ActionName')}, {text('r.action_name')})",
            "layer": "'rule_engine'",
            "stage": "'input'",
            "content": _first(_TEXT),
            "native_id": _ACTION,
        }
        listed = ", ".join(f"{value} AS {name}" for name, value in facts.items())
        prepared = f"""
            SELECT line_no, r, extra, {listed}, coalesce(try_cast(r.__error_count AS BIGINT), 0) > 0 AS has_failed,
                TRY(CAST(CAST(extra AS JSON) AS MAP(VARCHAR, JSON))) AS features
            FROM (SELECT *, json_extract_string(extra, {list(_NAMED)!r}) AS found FROM accepted)"""
        known = {name: name for name in facts}
        said = "coalesce(r.__verdicts, r.verdicts)"
        verdicts = f"coalesce({json_items(said)}, [])"
        fired = f"len({verdicts}) > 0"
        stops = f"regexp_matches(lower(CAST({said} AS VARCHAR)), '{_STOPS}')"
        of_actions = select_checks(
            "prepared",
            **known,
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
        named = (
            f"regexp_matches(e.key, {sql_text(settings.ingest.osprey_rules)})"
            if settings.ingest.osprey_rules
            else "json_type(e.value) = 'BOOLEAN'"
        )
        # A rule that is null is absent from `extra`: it is known from other actions of the same name.
        rules = f"""
            (SELECT line_no, extra, has_failed, {", ".join(facts)}, name, item, CASE CAST(features[name] AS VARCHAR)
                WHEN 'true' THEN true WHEN 'false' THEN false END AS fired
             FROM prepared JOIN (
                SELECT *, row_number() OVER (PARTITION BY of_action ORDER BY name) AS item
                FROM (SELECT DISTINCT app AS of_action, e.key AS name
                      FROM (SELECT app, unnest(map_entries(features)) AS e FROM prepared) WHERE {named}))
             ON of_action IS NOT DISTINCT FROM app)"""
        of_rules = select_checks(
            rules,
            **known,
            item="item",
            filter_name="'osprey/' || name",
            triggered="fired",
            decision="CASE WHEN fired THEN 'flag' WHEN NOT fired THEN 'allow' WHEN has_failed THEN 'error' ELSE 'skipped' END",
            enforced="false",
            mode="'annotate'",
            status="CASE WHEN fired IS NOT NULL THEN 'ok' WHEN has_failed THEN 'error' ELSE 'not_run' END",
            error="CASE WHEN fired IS NULL AND has_failed THEN 'rule_failed' END",
        )
        return Selects(prepared=prepared, checks=f"{of_actions} UNION ALL BY NAME {of_rules}")
