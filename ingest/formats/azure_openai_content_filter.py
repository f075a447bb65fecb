"""Azure OpenAI answers with content filter results, bare or in a request/response envelope (formats.md 4.1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.settings import Settings
from ingest.formats.base import (
    ENVELOPE,
    RECORD_HASH,
    Rule,
    Selects,
    envelope_facts,
    envelope_rules,
    envelope_time,
    json_entries,
    json_items,
    json_object,
    json_value,
    last_prompt,
    message_list,
    number,
    parts_text,
    select_checks,
    select_turns,
    sql_text,
    text,
    valid_time,
    with_facts,
)

_RESPONSE = {
    **dict.fromkeys(["id", "object", "created", "model", "service_tier", "system_fingerprint"], "VARCHAR"),
    **dict.fromkeys(["choices", "prompt_filter_results", "prompt_annotations", "error", "usage"], "JSON"),
}
_TIMES = ("r.response.created", "r.created")
_RESULTS = ("content_filter_results", "content_filter_result")
_INNER = tuple(f"$.{inner}.{results}" for inner in ("innererror", "inner_error") for results in _RESULTS)
_SEVERITY = "list_position(['safe', 'low', 'medium', 'high'], lower(json_extract_string(value, '$.severity'))) - 1"


def _answer(name: str) -> str:
    return f"coalesce(r.response.{name}, r.{name})"


def _results(field: str, *paths: str) -> str:
    found = ", ".join(f"json_extract({field}, {sql_text(path)})" for path in paths)
    return f"coalesce({found})"


class AzureOpenAIContentFilter:
    """See the module's docstring."""

    key = "azure_openai_content_filter"
    title = "Azure OpenAI content filter"
    description = (
        "One turn per answer, one check per prompt or choice for the four severities and one per detector (jailbreak, "
        "protected material, blocklists, ...). What is detected and not filtered is annotate mode; the threshold is not logged."
    )
    yields = ("turns", "checks", "check_scores")
    structure = {
        **ENVELOPE,
        "deployment": "VARCHAR",
        "status": "VARCHAR",
        "request": "JSON",
        "response": _RESPONSE,
        **_RESPONSE,
    }
    rules = (
        *envelope_rules(*_TIMES, remedy="Log the answer in an envelope with timestamp, or keep its created."),
        valid_time("response.created"),
        valid_time("created"),
        Rule(
            "response",
            "missing_field",
            "json_type(coalesce(r.response.choices, r.choices, r.response.prompt_filter_results, "
            "r.prompt_filter_results, r.response.error, r.error, 'null')) = 'NULL'",
            "The answer must hold choices, prompt_filter_results or an error.",
        ),
        Rule(
            "choices",
            "invalid_value",
            f"coalesce(json_type({_answer('choices')}), 'NULL') NOT IN ('ARRAY', 'NULL')",
            "choices is a list.",
        ),
    )

    def sniff(self, record: Mapping[str, Any]) -> float:
        """Certain when content filter results are there, which OpenAI itself does not send."""
        body = record.get("response") if isinstance(record.get("response"), Mapping) else record
        if not isinstance(body, Mapping):
            return 0.0
        error = body.get("error")
        if isinstance(error, Mapping) and {"innererror", "inner_error"} & error.keys():
            return 1.0
        choices = body.get("choices")
        parts = [part for part in choices if isinstance(part, Mapping)] if isinstance(choices, list) else []
        return 1.0 if "prompt_filter_results" in body or any(set(_RESULTS) & part.keys() for part in parts) else 0.0

    def selects(self, settings: Settings) -> Selects:
        """The four severities share one policy and one check; every other key is a detector of its own."""
        # A blocked prompt has no id: the record itself names the turn.
        facts = envelope_facts(
            ts=envelope_time(*_TIMES),
            request_id=f"coalesce({text('r.request_id')}, {text(_answer('id'))}, 'azure-' || {RECORD_HASH})",
        )
        messages, choices, error = "json_extract(r.request, '$.messages')", _answer("choices"), _answer("error")
        plain = last_prompt("json_extract(r.request, '$.prompt')")
        prompt = f"coalesce({last_prompt(messages)}, {plain})"
        answer = parts_text(f"json_extract({choices}, '$[0].message.content')")
        reasons = f"json_extract_string({choices}, '$[*].finish_reason')"
        is_blocked = f"coalesce(json_extract_string({error}, '$.code') = 'content_filter', false)"
        usage = _answer("usage")

        def tokens(name: str) -> str:
            return f"try_cast({number(json_value(usage, f'$.{name}'))} AS BIGINT)"

        turns = select_turns(
            # A chunk of a stream holds a piece of the text: the turn belongs to the log of the whole.
            f"accepted WHERE coalesce({_answer('object')}, '') <> 'chat.completion.chunk'",
            **facts,
            model=f"coalesce({text('r.deployment')}, {_answer('model')})",
            model_version=f"CASE WHEN {text('r.deployment')} IS NOT NULL THEN {_answer('model')} END",
            prompt=prompt,
            messages=message_list(messages),
            response=f"coalesce({answer}, {json_value(choices, '$[0].text')})",
            outcome=f"CASE WHEN {is_blocked} OR list_contains({reasons}, 'content_filter') THEN 'refusal' "
            f"WHEN json_type({error}) = 'OBJECT' THEN 'error' "
            f"WHEN {json_value(choices, '$[0].message.refusal')} IS NOT NULL THEN 'refusal' "
            f"WHEN len({reasons}) > 0 THEN 'pass' END",
            finish_reason=f"CASE WHEN {is_blocked} THEN 'content_filter' ELSE {reasons}[1] END",
            input_tokens=tokens("prompt_tokens"),
            output_tokens=tokens("completion_tokens"),
        )
        del facts["latency_ms"]  # It is that of the whole answer.
        facts |= {"native_id": RECORD_HASH, "model": f"coalesce({text('r.deployment')}, {_answer('model')})"}
        checks = select_checks(
            with_facts("SELECT * FROM prepared", **facts, prompt=prompt),
            **{name: name for name in facts},
            item="item",
            taxonomy="'azure-content-filter'",
            layer="'classifier'",
            stage="stage",
            filter_name="'azure-openai/' || detector",
            rule_id="rule",
            category_native="CASE WHEN fired THEN top END",
            score="CASE WHEN detector = 'content' THEN severity END",
            score_kind="CASE WHEN detector = 'content' THEN 'ordinal' END",
            triggered="fired",
            decision="CASE WHEN fired IS NULL THEN 'error' WHEN redacted AND fired THEN 'modify' "
            "WHEN filtered THEN 'block' ELSE 'allow' END",
            enforced="coalesce(filtered, false) OR coalesce(fired AND redacted, false)",
            mode="CASE WHEN fired AND NOT coalesce(filtered, false) AND NOT redacted THEN 'annotate' ELSE 'enforce' END",
            status="CASE WHEN fired IS NULL THEN 'error' ELSE 'ok' END",
            error="CASE WHEN fired IS NULL THEN coalesce(failure, 'no_verdict') END",
            content="CASE stage WHEN 'output' THEN answer ELSE prompt END",
            matched_text="rule",
            metadata=json_object(index="position", results="results"),
        )
        scores = """
            SELECT line_no, item, unnest(entries).key AS category_native, unnest(entries).severity AS score,
                CAST(NULL AS DOUBLE) AS threshold, unnest(entries).hit AS triggered
            FROM prepared WHERE detector = 'content'"""
        return Selects(prepared=self._judged(), turns=turns, checks=checks, scores=scores)

    @staticmethod
    def _judged() -> str:
        """One row per check."""
        choice, prompts = _answer("choices"), _answer("prompt_filter_results")
        prompts = f"coalesce({prompts}, {_answer('prompt_annotations')})"
        error = _answer("error")
        plain = tuple(f"$.{name}" for name in _RESULTS)
        answer = parts_text("json_extract(part, '$.message.content')")
        answer = f"coalesce({answer}, {json_value('part', '$.delta.content', '$.text')})"
        return f"""
            WITH parts AS (
                SELECT line_no, 'input' AS stage, unnest({json_items(prompts)}) AS part,
                    generate_subscripts({json_items(prompts)}, 1) - 1 AS position FROM accepted
                UNION ALL
                SELECT line_no, 'output', unnest({json_items(choice)}),
                    generate_subscripts({json_items(choice)}, 1) - 1 FROM accepted),
            annotated AS (
                SELECT line_no, stage, {_results("part", *plain)} AS results,
                    coalesce(try_cast({json_value("part", "$.prompt_index", "$.index")} AS BIGINT), position) AS position,
                    CASE stage WHEN 'output' THEN {answer} END AS answer FROM parts
                UNION ALL
                SELECT line_no, 'input', {_results(error, *_INNER)}, 0, NULL FROM accepted),
            entries AS (
                SELECT * EXCLUDE (entry), entry.key AS key, entry.value AS value,
                    CASE WHEN entry.key IN ('hate', 'self_harm', 'sexual', 'violence', 'error') THEN 'content' ELSE entry.key END AS detector
                FROM (SELECT *, unnest({json_entries("results")}) AS entry FROM annotated)
                WHERE coalesce(json_type(entry.value), 'NULL') <> 'NULL'),
            hits AS (
                SELECT *, {_SEVERITY} AS severity,
                    -- Blocklists come as an object with details, or as a bare list of them.
                    CASE WHEN json_type(value) = 'ARRAY' THEN value ELSE json_extract(value, '$.details') END AS details,
                    try_cast(json_extract_string(value, '$.filtered') AS BOOLEAN) AS filtered,
                    try_cast(json_extract_string(value, '$.detected') AS BOOLEAN) AS detected
                FROM entries),
            found AS (
                SELECT *, list_filter({json_items("details")}, lambda d: json_extract_string(d, '$.filtered') = 'true') AS stopped,
                    list_filter({json_items("details")}, lambda d: json_extract_string(d, '$.detected') = 'true') AS seen
                FROM hits),
            verdicts AS (
                SELECT *, CASE WHEN json_type(value) = 'ARRAY' THEN len(stopped) > 0 ELSE filtered END AS stops,
                    CASE WHEN key = 'error' OR json_exists(value, '$.error') THEN NULL
                         WHEN filtered OR detected OR len(stopped) > 0 OR len(seen) > 0 THEN true
                         WHEN filtered IS NOT NULL OR detected IS NOT NULL OR json_type(value) = 'ARRAY' THEN false
                         END AS hit
                FROM found)
            SELECT line_no, stage, position, detector,
                row_number() OVER (PARTITION BY line_no ORDER BY stage, position, detector) - 1 AS item,
                any_value(answer) AS answer,
                -- A part that failed may hide a hit: the whole has no verdict then.
                CASE WHEN bool_or(hit) THEN true WHEN bool_and(hit IS NOT NULL) THEN false END AS fired, bool_or(stops) AS filtered,
                bool_or(coalesce(json_extract_string(value, '$.redacted') = 'true', false)) AS redacted,
                max(severity) AS severity, arg_max(key, (coalesce(hit, false), coalesce(severity, 0))) AS top,
                any_value(json_extract_string(list_concat(stopped, seen)[1], '$.id')) AS rule,
                any_value({json_value("value", "$.code", "$.error.code")}) AS failure,
                json_group_object(key, value) AS results,
                list({{'key': key, 'severity': severity, 'hit': hit}} ORDER BY key) FILTER (key <> 'error') AS entries
            FROM verdicts GROUP BY line_no, stage, position, detector"""
