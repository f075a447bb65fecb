"""Gemini and Vertex AI answers with safety ratings, bare or in a request/response envelope (formats.md 4.5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from core.settings import Settings
from ingest.formats.base import (
    ENVELOPE,
    Rule,
    Selects,
    envelope_facts,
    envelope_rules,
    envelope_time,
    json_items,
    json_object,
    json_value,
    number,
    select_checks,
    select_turns,
    sql_text,
    text,
    valid_time,
)

_TEXTS = ("modelVersion", "model_version", "responseId", "response_id", "createTime", "create_time")
_PARTS = ("promptFeedback", "prompt_feedback", "candidates", "usageMetadata", "usage_metadata", "error")
_RESPONSE = {**dict.fromkeys(_TEXTS, "VARCHAR"), **dict.fromkeys(_PARTS, "JSON")}
_TIMES = ("r.response.createTime", "r.response.create_time", "r.createTime", "r.create_time")
_LEVELS = ("NEGLIGIBLE", "LOW", "MEDIUM", "HIGH")
_LIMITS = ("BLOCK_LOW_AND_ABOVE", "BLOCK_MEDIUM_AND_ABOVE", "BLOCK_ONLY_HIGH")
_BLOCKING = (
    "SAFETY",
    "RECITATION",
    "BLOCKLIST",
    "PROHIBITED_CONTENT",
    "SPII",
    "LANGUAGE",
    "IMAGE_SAFETY",
    "IMAGE_PROHIBITED_CONTENT",
    "IMAGE_RECITATION",
)
# Protobuf dumps hold numbers, and the two services count differently.
_BLOCK_REASONS = ("SAFETY", "OTHER", "BLOCKLIST", "PROHIBITED_CONTENT", "IMAGE_SAFETY")
_FINISH_GEMINI = (
    "STOP",
    "MAX_TOKENS",
    "SAFETY",
    "RECITATION",
    "OTHER",
    "LANGUAGE",
    "BLOCKLIST",
    "PROHIBITED_CONTENT",
    "SPII",
    "MALFORMED_FUNCTION_CALL",
    "IMAGE_SAFETY",
)
_FINISH_VERTEX = (
    "STOP",
    "MAX_TOKENS",
    "SAFETY",
    "RECITATION",
    "OTHER",
    "BLOCKLIST",
    "PROHIBITED_CONTENT",
    "SPII",
    "MALFORMED_FUNCTION_CALL",
)
_HARM_GEMINI = (
    "DEROGATORY",
    "TOXICITY",
    "VIOLENCE",
    "SEXUAL",
    "MEDICAL",
    "DANGEROUS",
    "HARASSMENT",
    "HATE_SPEECH",
    "SEXUALLY_EXPLICIT",
    "DANGEROUS_CONTENT",
    "CIVIC_INTEGRITY",
)
_HARM_VERTEX = ("HATE_SPEECH", "DANGEROUS_CONTENT", "HARASSMENT", "SEXUALLY_EXPLICIT", "CIVIC_INTEGRITY")


def _named(value: str, names: Sequence[str], prefix: str = "") -> str:
    """An enum as text, whether logged by name or by number; an unspecified one is null."""
    listed = f"[{', '.join(sql_text(prefix + name) for name in names)}]"
    return (
        f"CASE WHEN try_cast({value} AS INTEGER) IS NOT NULL THEN {listed}[nullif(try_cast({value} AS INTEGER), 0)] "
        f"WHEN {value} NOT LIKE '%UNSPECIFIED' THEN {value} END"
    )


def _answer(*names: str) -> str:
    found = ", ".join(f"r.response.{name}, r.{name}" for name in names)
    return f"coalesce({found})"


def _parts(content: str) -> str:
    return f"nullif(array_to_string(json_extract_string({content}, '$.parts[*].text'), ''), '')"


class GeminiSafety:
    """See the module's docstring."""

    key = "gemini_safety"
    title = "Gemini safety"
    description = (
        "One turn per answer; one check per prompt feedback and per candidate, one score row per rating. Scores are "
        "probability levels (0 negligible to 3 high), or Vertex AI's own 0 to 1; thresholds come from the request."
    )
    yields = ("turns", "checks", "check_scores")
    structure = {
        **ENVELOPE,
        "backend": "VARCHAR",
        "request": {"model": "VARCHAR", **dict.fromkeys(["contents", "safetySettings", "safety_settings"], "JSON")},
        "response": _RESPONSE,
        **_RESPONSE,
    }
    rules = (
        *envelope_rules(*_TIMES, remedy="Log the answer in an envelope with timestamp, or keep its createTime."),
        *(valid_time(field.removeprefix("r.")) for field in _TIMES),
        Rule(
            "response",
            "missing_field",
            f"{_answer('promptFeedback', 'prompt_feedback', 'candidates', 'error')} IS NULL",
            "The answer must hold candidates, promptFeedback or an error.",
        ),
    )

    def sniff(self, record: Mapping[str, Any]) -> float:
        """Certain when prompt feedback is there, or a candidate with ratings or the API's finish reason."""
        body = record.get("response") if isinstance(record.get("response"), Mapping) else record
        if not isinstance(body, Mapping):
            return 0.0
        if {"promptFeedback", "prompt_feedback"} & body.keys():
            return 1.0
        candidates = body.get("candidates")
        first = candidates[0] if isinstance(candidates, list) and candidates else None
        marks = {"finishReason", "finish_reason", "safetyRatings", "safety_ratings"}
        if isinstance(first, Mapping) and marks & first.keys():
            return 1.0
        request = record.get("request")
        asked = isinstance(request, Mapping) and "contents" in request
        return 1.0 if asked and {"error", "candidates"} & body.keys() else 0.0

    def selects(self, settings: Settings) -> Selects:
        """Both key styles and both enum styles, read as one."""
        facts = envelope_facts(
            ts=envelope_time(*_TIMES),
            request_id=f"coalesce({text('r.request_id')}, {_answer('responseId', 'response_id')}, 'row-' || md5(CAST(r AS VARCHAR)))",
        )
        usage, error = _answer("usageMetadata", "usage_metadata"), _answer("error")
        asked, said = _parts("json_extract(r.request.contents, '$[#-1]')"), _parts("json_extract(part, '$.content')")
        model = f"coalesce(r.request.model, {_answer('modelVersion', 'model_version')})"

        def count(*paths: str) -> str:
            return f"try_cast({number(json_value(usage, *paths))} AS BIGINT)"

        turns = select_turns(
            """(WITH verdicts AS (
                SELECT line_no, bool_or(fired) AS is_stopped, any_value(reason ORDER BY stage) AS reason FROM prepared GROUP BY line_no)
            SELECT a.line_no, r, extra, is_stopped, reason FROM accepted a LEFT JOIN verdicts USING (line_no))""",
            **facts,
            model=model,
            model_version=_answer("modelVersion", "model_version"),
            prompt=asked,
            response=_parts(f"json_extract({_answer('candidates')}, '$[0].content')"),
            outcome=f"CASE WHEN is_stopped THEN 'refusal' WHEN json_type({error}) = 'OBJECT' THEN 'error' "
            "WHEN reason IN ('STOP', 'MAX_TOKENS') THEN 'pass' END",
            finish_reason="reason",
            input_tokens=count("$.promptTokenCount", "$.prompt_token_count"),
            output_tokens=count("$.candidatesTokenCount", "$.candidates_token_count"),
        )
        checks = select_checks(
            "prepared",
            # The latency is that of the whole answer.
            **{name: fact for name, fact in facts.items() if name != "latency_ms"},
            item="item",
            taxonomy="'gemini'",
            native_id="md5(CAST(r AS VARCHAR))",
            layer="'classifier'",
            stage="stage",
            filter_name="'gemini-safety'",
            filter_version=_answer("modelVersion", "model_version"),
            rule_id="CASE WHEN fired THEN reason END",
            category_native="CASE WHEN fired THEN CASE WHEN coalesce(reason, 'SAFETY') = 'SAFETY' OR NOT stops THEN coalesce(top, reason) ELSE reason END END",
            score="list_max(list_transform(ratings, lambda x: x.score))",
            score_kind="CASE WHEN len(ratings) > 0 THEN CASE WHEN is_vertex THEN 'probability' ELSE 'ordinal' END END",
            triggered="fired",
            decision="CASE WHEN fired IS NULL THEN 'error' WHEN fired THEN 'block' ELSE 'allow' END",
            enforced="coalesce(fired, false)",
            mode="'enforce'",
            status="CASE WHEN fired IS NULL THEN 'error' ELSE 'ok' END",
            error=f"CASE WHEN fired IS NULL THEN coalesce({json_value(error, '$.status', '$.code', '$.message')}, 'no_verdict') END",
            content=f"CASE stage WHEN 'input' THEN {asked} ELSE {said} END",
            model=model,
            metadata=json_object(message="message", ratings="listed"),
        )
        scores = """
            SELECT line_no, item, x.category AS category_native, x.score AS score,
                CASE WHEN NOT is_vertex THEN x.threshold END AS threshold, x.blocked AS triggered
            FROM (SELECT line_no, item, is_vertex, unnest(ratings) AS x FROM prepared)"""
        return Selects(prepared=f"{self._judged()} SELECT * FROM judged", turns=turns, checks=checks, scores=scores)

    @staticmethod
    def _judged() -> str:
        """CTEs that end in `judged`: one row per check."""
        feedback, candidates = _answer("promptFeedback", "prompt_feedback"), _answer("candidates")
        settings = json_items("coalesce(r.request.safetySettings, r.request.safety_settings)")
        ratings = json_items("coalesce(json_extract(part, '$.safetyRatings'), json_extract(part, '$.safety_ratings'))")
        raw = json_value("part", "$.finishReason", "$.finish_reason")
        finish = f"CASE WHEN is_vertex THEN {_named(raw, _FINISH_VERTEX)} ELSE {_named(raw, _FINISH_GEMINI)} END"
        block = _named(json_value("part", "$.blockReason", "$.block_reason"), _BLOCK_REASONS)
        kind = "json_extract_string(x, '$.category')"
        prefix = "HARM_CATEGORY_"
        category = f"CASE WHEN is_vertex THEN {_named(kind, _HARM_VERTEX, prefix)} ELSE {_named(kind, _HARM_GEMINI, prefix)} END"
        chance = _named("json_extract_string(x, '$.probability')", _LEVELS)
        level = f"list_position([{', '.join(map(sql_text, _LEVELS))}], {chance}) - 1"
        limits = f"[{', '.join(map(sql_text, _LIMITS))}]"
        limit = (
            f"list_position({limits}, coalesce({json_value('x', '$.overwrittenThreshold', '$.overwritten_threshold')}, "
            f"json_extract_string(list_filter(asked, lambda s: json_extract_string(s, '$.category') = {kind})[1], '$.threshold')))"
        )
        share = f"try_cast({json_value('x', '$.probabilityScore', '$.probability_score')} AS DOUBLE)"
        return f"""
            WITH parts AS (
                SELECT line_no, r, extra, 'input' AS stage, {feedback} AS part, 0 AS position FROM accepted
                WHERE json_type({feedback}) = 'OBJECT' OR (json_type({_answer("error")}) = 'OBJECT' AND {candidates} IS NULL)
                UNION ALL
                SELECT line_no, r, extra, 'output', unnest({json_items(candidates)}),
                    generate_subscripts({json_items(candidates)}, 1) - 1 FROM accepted),
            rated AS (
                SELECT *, coalesce({ratings}, []) AS listed, coalesce({settings}, []) AS asked FROM parts),
            served AS (
                -- The developer API sends no scores, or zeros that are none.
                SELECT *, CASE WHEN r.backend IS NOT NULL THEN lower(r.backend) LIKE '%vertex%'
                    ELSE len(list_filter(listed, lambda x: {share} > 0)) > 0 END AS is_vertex FROM rated),
            reasoned AS (
                SELECT *, CASE stage WHEN 'input' THEN {block} ELSE {finish} END AS reason,
                    list_transform(listed, lambda x: {{'category': {category},
                        'score': CASE WHEN is_vertex THEN {share} ELSE CAST({level} AS DOUBLE) END, 'level': coalesce({level}, 0),
                        'threshold': CAST(nullif({limit}, 0) AS DOUBLE),
                        'blocked': coalesce(json_extract_string(x, '$.blocked') = 'true', false)}}) AS ratings
                FROM served),
            stopped AS (
                SELECT *, CASE stage WHEN 'input' THEN reason IS NOT NULL
                    ELSE coalesce(reason IN ({", ".join(map(sql_text, _BLOCKING))}), false) END AS stops FROM reasoned),
            judged AS (
                SELECT *, CASE WHEN part IS NULL THEN NULL
                        ELSE stops OR len(list_filter(ratings, lambda x: x.blocked)) > 0 END AS fired,
                    list_reverse_sort(list_transform(ratings, lambda x: {{'b': x.blocked, 'l': x.level, 'c': x.category}}))[1].c AS top,
                    {json_value("part", "$.blockReasonMessage", "$.block_reason_message", "$.finishMessage", "$.finish_message")} AS message,
                    row_number() OVER (PARTITION BY line_no ORDER BY stage, position) - 1 AS item
                FROM stopped WHERE stage = 'input' OR reason IS NOT NULL OR len(listed) > 0)"""
