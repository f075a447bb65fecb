"""OpenAI moderation responses, bare or in a request/response envelope (formats.md 1.1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.settings import Settings
from ingest.formats.base import Rule, Selects, content_text, one_of, text, timestamp, valid_time

_RESPONSE = {"id": "VARCHAR", "model": "VARCHAR", "results": "JSON", "error": "JSON"}
_RESULT = '[{"flagged":"BOOLEAN","categories":"MAP(VARCHAR,BOOLEAN)","category_scores":"MAP(VARCHAR,DOUBLE)"}]'


class OpenAIModeration:
    """See the module's docstring."""

    key = "openai_moderation"
    title = "OpenAI moderation"
    description = "One check per moderation result, one score per category. The threshold is hidden by the provider."
    yields = ("checks", "check_scores")
    structure = {
        "timestamp": "VARCHAR",
        "ts": "VARCHAR",
        "created_at": "VARCHAR",
        "request_id": "VARCHAR",
        "conversation_id": "VARCHAR",
        "user_id": "VARCHAR",
        "direction": "VARCHAR",
        "latency_ms": "VARCHAR",
        "mode": "VARCHAR",
        "request": {"model": "VARCHAR", "input": "JSON"},
        "response": _RESPONSE,
        **_RESPONSE,
    }
    rules = (
        Rule(
            "timestamp",
            "missing_field",
            "coalesce(nullif(r.timestamp, ''), nullif(r.ts, ''), nullif(r.created_at, '')) IS NULL",
            "The moderation answer carries no time: log it in an envelope with timestamp.",
        ),
        valid_time("timestamp"),
        valid_time("ts"),
        valid_time("created_at"),
        one_of("direction", ("input", "output")),
        Rule(
            "results",
            "missing_field",
            "r.response.error IS NULL AND r.error IS NULL AND "
            "coalesce(json_array_length(coalesce(r.response.results, r.results)), 0) = 0",
            "The answer must hold a list of results, or an error.",
        ),
        Rule(
            "results",
            "invalid_value",
            "coalesce(r.response.results, r.results) IS NOT NULL AND "
            f"TRY(from_json(coalesce(r.response.results, r.results), '{_RESULT}')) IS NULL",
            "Each result holds flagged, categories and category_scores.",
        ),
    )

    def sniff(self, record: Mapping[str, Any]) -> float:
        """Certain when results with category scores are there."""
        body = record.get("response") if isinstance(record.get("response"), Mapping) else record
        results = body.get("results") if isinstance(body, Mapping) else None
        first = results[0] if isinstance(results, list) and results else None
        return 1.0 if isinstance(first, Mapping) and {"flagged", "category_scores"} <= first.keys() else 0.0

    def selects(self, settings: Settings) -> Selects:
        """Category names come with slashes, or with underscores from an SDK dump, or in both forms: read as one."""
        moment = timestamp("coalesce(nullif(r.timestamp, ''), nullif(r.ts, ''), nullif(r.created_at, ''))")
        name = "replace(replace(key, '_', '-'), '/', '-')"
        exploded = f"""
            (SELECT line_no, r, extra, result.item - 1 AS item, result.value AS result, answer
             FROM (SELECT line_no, r, extra, coalesce(r.response.results, r.results) AS answer,
                       coalesce(from_json(coalesce(r.response.results, r.results), '{_RESULT}'), [NULL]) AS results
                   FROM accepted),
                  LATERAL (SELECT unnest(results) AS value, generate_subscripts(results, 1) AS item) AS result)"""
        top = (
            "list_reverse_sort(list_transform(list_filter(map_entries(result.category_scores), lambda e: e.value IS NOT NULL), "
            "lambda e: {'value': e.value, 'key': e.key}))[1]"
        )
        input_text = (
            "CASE WHEN json_type(r.request.input) = 'ARRAY' AND json_type(r.request.input, '$[0]') = 'VARCHAR' "
            f"THEN json_extract_string(r.request.input, '$[' || item || ']') ELSE {content_text('r.request.input')} END"
        )
        checks = f"""
            SELECT line_no, item, 'openai-moderation' AS taxonomy,
                coalesce(r.response.id, r.id) AS native_id, {text("r.user_id")} AS user_id,
                CAST(NULL AS VARCHAR) AS language, CAST(NULL AS VARCHAR) AS app, CAST(NULL AS VARCHAR) AS outcome,
                {moment} AS ts, coalesce({text("r.request_id")}, r.response.id, r.id) AS request_id,
                {text("r.conversation_id")} AS conversation_id, CAST(NULL AS INTEGER) AS turn_index,
                'classifier' AS layer, coalesce(lower({text("r.direction")}), 'input') AS stage,
                'openai-moderation' AS filter_name, coalesce(r.response.model, r.model, r.request.model) AS filter_version,
                CAST(NULL AS VARCHAR) AS policy_id, CAST(NULL AS VARCHAR) AS policy_version,
                CAST(NULL AS VARCHAR) AS rule_id,
                CASE WHEN result.flagged THEN ({top}).key END AS category_native, ({top}).value AS score,
                CASE WHEN result IS NOT NULL THEN 'probability' END AS score_kind, CAST(NULL AS DOUBLE) AS threshold,
                result.flagged AS triggered,
                CASE WHEN result IS NULL THEN 'error' WHEN result.flagged THEN 'flag' ELSE 'allow' END AS decision,
                false AS enforced, coalesce(lower({text("r.mode")}), 'annotate') AS mode,
                CASE WHEN result.flagged IS NULL THEN 'error' ELSE 'ok' END AS status,
                try_cast(r.latency_ms AS DOUBLE) AS latency_ms,
                coalesce(json_extract_string(coalesce(r.response.error, r.error), '$.code'),
                         CASE WHEN result.flagged IS NULL THEN 'no_verdict' END) AS error,
                {input_text} AS content, CAST(NULL AS VARCHAR) AS matched_text, CAST(NULL AS VARCHAR) AS model,
                json_extract(answer, '$[' || item || '].category_applied_input_types') AS metadata, extra
            FROM {exploded}"""
        scores = f"""
            SELECT line_no, item, {name} AS category_native, max(value) AS score, CAST(NULL AS DOUBLE) AS threshold,
                bool_or(flag) AS triggered
            FROM (SELECT line_no, item, entry.key AS key, entry.value AS value, result.categories[entry.key] AS flag
                  FROM (SELECT line_no, item, result, unnest(map_entries(result.category_scores)) AS entry FROM {exploded}))
            GROUP BY ALL"""
        return Selects(checks=checks, scores=scores)
