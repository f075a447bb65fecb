"""LiteLLM's standard logging payload: a turn and the guardrails that ran on it (formats.md 5.5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.settings import Settings
from ingest.formats.base import (
    Rule,
    Selects,
    json_items,
    json_object,
    json_part,
    json_value,
    last_prompt,
    message_list,
    number,
    parts_text,
    plausible,
    required,
    select_checks,
    select_turns,
    text,
    timestamp,
    valid_number,
    valid_time,
)

_TEXTS = [
    *("id", "trace_id", "status", "startTime", "response_time", "model"),
    *("custom_llm_provider", "prompt_tokens", "completion_tokens", "end_user"),
]
_PARTS = [
    *(
        "status_fields",
        "request_tags",
        "metadata",
        "messages",
        "response",
        "error_information",
        "guardrail_information",
    ),
]


class LiteLLMStandardLogging:
    """See the module's docstring."""

    key = "litellm_standard_logging"
    title = "LiteLLM standard logging"
    description = (
        "One turn per call, one check per guardrail that ran, one score row per violated category. success means that it ran and allowed, "
        "logging_only is shadow mode, a guardrail that failed to respond is an error and not a trigger; older releases' single "
        "object is read too, where failure does not tell a block from an error and counts as an error."
    )
    yields = ("turns", "checks", "check_scores")
    structure = {**dict.fromkeys(_TEXTS, "VARCHAR"), **dict.fromkeys(_PARTS, "JSON")}
    rules = (
        required("id"),
        required("startTime"),
        valid_time("startTime"),
        valid_number("response_time", low=0),
        Rule("messages", "missing_field", "r.messages IS NULL AND r.response IS NULL", "The payload holds both keys."),
    )

    def sniff(self, record: Mapping[str, Any]) -> float:
        """Certain when a call's type and the payload's own keys are there."""
        own = {"litellm_call_id", "guardrail_information", "status_fields", "model_group", "hidden_params"}
        return 1.0 if "call_type" in record and own & record.keys() else 0.0

    def selects(self, settings: Settings) -> Selects:
        """Guardrails as a list, whether one or several were logged."""
        facts = {
            "ts": timestamp("r.startTime"),
            "request_id": "r.id",
            "conversation_id": json_value(
                "r.metadata", "$.requester_metadata.session_id", "$.requester_metadata.conversation_id", "$.session_id"
            ),
            "user_id": f"coalesce({text('r.end_user')}, {json_value('r.metadata', '$.user_api_key_user_id')})",
            "app": json_value(
                "r.metadata", "$.user_api_key_team_alias", "$.user_api_key_team_id", "$.user_api_key_alias"
            ),
            "model": text("r.model"),
        }
        prompt = f"nullif(CASE WHEN CAST(r.messages AS VARCHAR) NOT LIKE '\"redacted by litellm%' THEN {last_prompt('r.messages')} END, '')"
        answer = parts_text("json_extract(r.response, '$.choices[0].message.content')")
        finish = json_value("r.response", "$.choices[0].finish_reason")
        stopped = "json_extract_string(r.status_fields, '$.guardrail_status') IN ('guardrail_intervened', 'blocked')"
        tokens = "try_cast({} AS BIGINT)"
        turns = select_turns(
            "accepted",
            **facts,
            model_version=json_value("r.response", "$.model"),
            prompt=prompt,
            messages=message_list("r.messages"),
            response=answer,
            outcome=f"CASE WHEN r.status = 'failure' AND {stopped} THEN 'refusal' WHEN r.status = 'failure' THEN 'error' "
            f"WHEN {finish} = 'content_filter' THEN 'refusal' WHEN r.status = 'success' THEN 'pass' END",
            finish_reason=finish,
            latency_ms=f"{number('r.response_time')} * 1000",
            input_tokens=tokens.format(number("r.prompt_tokens")),
            output_tokens=tokens.format(number("r.completion_tokens")),
            metadata=json_object(
                trace_id="r.trace_id",
                tags="r.request_tags",
                error="r.error_information",
                provider="r.custom_llm_provider",
            ),
        )
        judged = self._judged()
        checks = select_checks(
            f"({judged})",
            **facts
            | {
                "ts": f"coalesce({plausible(timestamp(json_value('g', '$.start_time')))}, {timestamp('r.startTime')})",
                "item": "item",
                "taxonomy": "'litellm'",
                "native_id": "r.id",
                "layer": "CASE WHEN regexp_matches(method, 'llm|judge') THEN 'guard_llm' "
                "WHEN regexp_matches(method, 'regex|keyword|pattern') THEN 'keyword' ELSE 'classifier' END",
                "stage": "stage",
                "filter_name": f"coalesce({json_value('g', '$.guardrail_name', '$.guardrail_provider')}, 'litellm-guardrail')",
                "policy_id": json_value("g", "$.policy_template"),
                "category_native": "categories[1]",
                "score": "coalesce(risk, confidence)",
                "score_kind": "CASE WHEN risk IS NOT NULL THEN 'risk' WHEN confidence IS NOT NULL THEN 'probability' END",
                "triggered": "fired",
                "decision": "CASE WHEN said = 'not_run' THEN 'skipped' WHEN fired IS NULL THEN 'error' WHEN NOT fired THEN 'allow' "
                "WHEN masks THEN 'modify' ELSE 'block' END",
                "enforced": "coalesce(fired AND NOT is_shadow, false)",
                "mode": "CASE WHEN is_shadow THEN 'shadow' ELSE 'enforce' END",
                "status": "CASE WHEN fired IS NOT NULL THEN 'ok' WHEN said = 'not_run' THEN 'not_run' ELSE 'error' END",
                "latency_ms": f"{number(json_value('g', '$.duration'))} * 1000",
                "error": "CASE WHEN fired IS NULL AND said <> 'not_run' THEN said END",
                "content": f"CASE WHEN stage = 'output' THEN {answer} ELSE {prompt} END",
                "matched_text": json_value("g", "$.match_details[0].matched_text", "$.match_details[0].match"),
                "metadata": "CAST(g AS VARCHAR)",
            },
        )
        scores = f"""
            SELECT line_no, item, unnest(categories) AS category_native, CAST(NULL AS DOUBLE) AS score,
                CAST(NULL AS DOUBLE) AS threshold, true AS triggered
            FROM ({judged}) WHERE fired"""
        return Selects(turns=turns, checks=checks, scores=scores)

    @staticmethod
    def _judged() -> str:
        """One row per guardrail of a call, with what it said."""
        found = "r.guardrail_information"
        mode = "lower(CAST(json_extract(g, '$.guardrail_mode') AS VARCHAR))"
        side = f"lower(coalesce({json_value('g', '$.guardrail_request.source')}, ''))"
        action = f"lower(coalesce({json_value('g', '$.guardrail_action')}, ''))"
        masked = "CAST(json_extract(g, '$.masked_entity_count') AS VARCHAR) NOT IN ('{}', 'null')"
        categories = f"list_transform(coalesce({json_items(json_part('g', '$.violation_categories'))}, []), lambda c: json_extract_string(c, '$'))"
        return f"""
            SELECT *, CASE WHEN said IN ('guardrail_intervened', 'blocked') THEN true WHEN said = 'success' THEN has_masked END AS fired,
                has_masked OR regexp_matches(acted, 'mask|anonymi|redact') AS masks
            FROM (SELECT line_no, r, extra, g, place - 1 AS item, lower({json_value("g", "$.guardrail_status")}) AS said, {action} AS acted,
                    lower(coalesce({json_value("g", "$.detection_method")}, '')) AS method, coalesce({masked}, false) AS has_masked,
                    coalesce(contains({mode}, 'logging_only'), false) AS is_shadow, {categories} AS categories,
                    CASE WHEN {side} IN ('input', 'output') THEN {side} WHEN contains({mode}, 'mcp') THEN 'tool_input'
                         WHEN contains({mode}, 'post_call') AND NOT contains({mode}, 'pre_call') THEN 'output' ELSE 'input' END AS stage,
                    {number(json_value("g", "$.risk_score"))} AS risk, {number(json_value("g", "$.confidence_score"))} AS confidence
                  FROM (SELECT line_no, r, extra, unnest(found) AS g, generate_subscripts(found, 1) AS place
                        FROM (SELECT *, coalesce({json_items(found)}, CASE WHEN json_type({found}) = 'OBJECT' THEN [{found}] END) AS found
                              FROM accepted)))"""
