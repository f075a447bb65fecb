"""Llama Guard 1-4 generations in an envelope (formats.md 3.1). Codes are resolved by the model's name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.settings import Settings
from ingest.formats.base import (
    Rule,
    Selects,
    content_text,
    number,
    required,
    text,
    timestamp,
    valid_number,
    valid_time,
)

_VERDICT = r"^\s*(safe|unsafe)\s*(?:\n\s*([a-z]+[0-9]+(?:\s*,\s*[a-z]+[0-9]+)*))?\s*$"


class LlamaGuard:
    """See the module's docstring."""

    key = "llama_guard"
    title = "Llama Guard"
    description = (
        "One check per generation, one score row per violated code. A cut-off generation is an error, not a pass."
    )
    yields = ("checks", "check_scores")
    structure = {
        "timestamp": "VARCHAR",
        "model": "VARCHAR",
        "role_checked": "VARCHAR",
        "input": "JSON",
        "output": "VARCHAR",
        "unsafe_prob": "VARCHAR",
        "threshold": "VARCHAR",
        "latency_ms": "VARCHAR",
        "request_id": "VARCHAR",
        "conversation_id": "VARCHAR",
        "user_id": "VARCHAR",
        "mode": "VARCHAR",
    }
    rules = (
        required("timestamp"),
        valid_time("timestamp"),
        required("model"),
        Rule("output", "missing_field", "r.output IS NULL", "The model's generation is required."),
        valid_number("unsafe_prob", low=0, high=1),
        valid_number("latency_ms", low=0),
    )

    def sniff(self, record: Mapping[str, Any]) -> float:
        """Certain when a guard model's plain generation is there."""
        model = str(record.get("model", "")).lower().replace("-", "").replace("_", "")
        return 1.0 if "llamaguard" in model and isinstance(record.get("output"), str) else 0.0

    def selects(self, settings: Settings) -> Selects:
        """The taxonomy follows the model: the same code means different things in versions 2 and 3."""
        model = "replace(replace(lower(r.model), '-', ''), '_', '')"
        taxonomy = (
            f"CASE WHEN {model} LIKE '%llamaguard2%' THEN 'llama-guard-2' WHEN {model} LIKE '%llamaguard7b%' "
            f"OR {model} LIKE '%llamaguard1%' THEN 'llama-guard-1' ELSE 'llama-guard-3' END"
        )
        verdict = f"lower(regexp_extract(r.output, '{_VERDICT}', 1, 'i'))"
        codes = f"list_transform(string_split(nullif(regexp_extract(r.output, '{_VERDICT}', 2, 'i'), ''), ','), lambda c: upper(trim(c)))"
        fired = f"CASE {verdict} WHEN 'unsafe' THEN true WHEN 'safe' THEN false END"
        # The last message's role tells what was checked when the log does not.
        role = (
            "coalesce(lower(nullif(r.role_checked, '')), CASE WHEN json_type(r.input) = 'ARRAY' THEN "
            "lower(json_extract_string(r.input, '$[#-1].role')) END, 'user')"
        )
        nothing = "CAST(NULL AS VARCHAR)"
        checks = f"""
            SELECT line_no, 0 AS item, {taxonomy} AS taxonomy, {nothing} AS native_id, {text("r.user_id")} AS user_id,
                {nothing} AS language, {nothing} AS app, {nothing} AS outcome, {timestamp("r.timestamp")} AS ts,
                {text("r.request_id")} AS request_id, {text("r.conversation_id")} AS conversation_id,
                CAST(NULL AS INTEGER) AS turn_index, 'guard_llm' AS layer,
                CASE WHEN {role} IN ('agent', 'assistant') THEN 'output' ELSE 'input' END AS stage,
                'llama-guard' AS filter_name, r.model AS filter_version, {nothing} AS policy_id,
                {nothing} AS policy_version, {nothing} AS rule_id, ({codes})[1] AS category_native,
                {number("r.unsafe_prob")} AS score,
                CASE WHEN nullif(r.unsafe_prob, '') IS NOT NULL THEN 'probability' END AS score_kind,
                {number("r.threshold")} AS threshold, {fired} AS triggered,
                CASE WHEN ({fired}) IS NULL THEN 'error' WHEN {fired} THEN 'flag' ELSE 'allow' END AS decision,
                false AS enforced, coalesce(lower({text("r.mode")}), 'annotate') AS mode,
                CASE WHEN ({fired}) IS NULL THEN 'error' ELSE 'ok' END AS status,
                {number("r.latency_ms")} AS latency_ms,
                CASE WHEN ({fired}) IS NULL THEN 'parse_error' END AS error, {content_text("r.input")} AS content,
                CASE WHEN ({fired}) IS NULL THEN r.output END AS matched_text, {nothing} AS model,
                CASE WHEN json_type(r.input) = 'ARRAY' THEN CAST(json_object('messages', r.input) AS VARCHAR) END AS metadata, extra
            FROM accepted"""
        scores = f"""
            SELECT line_no, 0 AS item, unnest({codes}) AS category_native, CAST(NULL AS DOUBLE) AS score,
                CAST(NULL AS DOUBLE) AS threshold, true AS triggered
            FROM accepted"""
        return Selects(checks=checks, scores=scores)
