"""OpenAI chat completions and Responses, bare or in a request/response envelope (formats.md 1.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.settings import Settings
from ingest.formats.base import (
    ENVELOPE,
    Rule,
    Selects,
    envelope_facts,
    envelope_rules,
    envelope_time,
    json_object,
    last_prompt,
    message_list,
    number,
    parts_text,
    select_checks,
    select_turns,
    text,
    verdict,
)

BODY = {
    **dict.fromkeys(["id", "object", "created", "created_at", "model", "status"], "VARCHAR"),
    **dict.fromkeys(["choices", "output", "incomplete_details", "usage", "moderation", "error"], "JSON"),
}
RESULT = (
    '[{"model":"VARCHAR","flagged":"BOOLEAN","categories":"MAP(VARCHAR,BOOLEAN)",'
    '"category_scores":"MAP(VARCHAR,DOUBLE)","category_applied_input_types":"JSON"}]'
)
# Guards answer with a verdict, not with a turn: other formats read them.
GUARDS = ("llamaguard", "graniteguardian", "shieldgemma")


class OpenAIChatCompletion:
    """See the module's docstring."""

    key = "openai_chat_completion"
    title = "OpenAI chat completion"
    description = (
        "One turn per completion; chunks of a stream are merged. A stop by the content filter or a refusal is the outcome refusal. "
        "The optional moderation of input and output gives a check each; a side that failed is an error."
    )
    yields = ("turns", "checks", "check_scores")
    structure = {
        **BODY,
        **ENVELOPE,
        "request": {
            **dict.fromkeys(["model", "user", "safety_identifier"], "VARCHAR"),
            "messages": "JSON",
            "input": "JSON",
        },
        "response": BODY,
    }
    rules = (
        *envelope_rules(
            "r.created",
            "r.response.created",
            "r.response.created_at",
            remedy="Log the completion as it came, with created, or in an envelope with timestamp.",
        ),
        Rule(
            "request_id",
            "missing_field",
            "coalesce(nullif(r.request_id, ''), nullif(r.response.id, ''), nullif(r.id, '')) IS NULL",
            "The completion's id or a request_id is required.",
        ),
        Rule(
            "choices",
            "missing_field",
            "coalesce(r.response.choices, r.choices, r.response.output, r.output, r.response.error, r.error) IS NULL",
            "The answer must hold choices (or output), or an error.",
        ),
    )

    def sniff(self, record: Mapping[str, Any]) -> float:
        """Certain when the object says so; a guard's completion, or one with Azure's annotations, is none."""
        body = record["response"] if isinstance(record.get("response"), Mapping) else record
        parts = body.get("choices", body.get("output"))
        if not isinstance(parts, list) or {"call_type", "prompt_filter_results"} & (record.keys() | body.keys()):
            return 0.0
        if is_guard(body.get("model")) or any(isinstance(p, Mapping) and "content_filter_results" in p for p in parts):
            return 0.0
        return 1.0 if body.get("object") in ("chat.completion", "chat.completion.chunk", "response") else 0.0

    def selects(self, settings: Settings) -> Selects:
        """Turns from the answers, checks from their moderation."""
        body = ", ".join(f"{name} := coalesce(r.response.{name}, r.{name})" for name in BODY)
        answers = read_answers(
            f"SELECT line_no, r, extra, struct_pack({body}) AS b, coalesce(r.request.messages, r.request.input) AS asked FROM accepted"
        )
        facts = envelope_facts(
            ts=envelope_time("r.created", "r.response.created", "r.response.created_at"),
            request_id=f"coalesce({text('r.request_id')}, b.id)",
            user_id=f"coalesce({text('r.user_id')}, {text('r.request.user')}, {text('r.request.safety_identifier')})",
            model=f"coalesce({text('r.request.model')}, {text('b.model')})",
        )
        sides = judge_sides("prepared")
        del (of_checks := dict(facts))["latency_ms"]
        return Selects(
            prepared=answers,
            turns=turns_of("prepared", facts),
            checks=moderation_checks(sides, of_checks),
            scores=moderation_scores(sides),
        )


def is_guard(model: Any) -> bool:
    """Whether a model's name is that of a guard."""
    name = str(model).lower().replace("-", "").replace("_", "")
    return any(guard in name for guard in GUARDS)


def read_answers(bodies: str) -> str:
    """A SELECT of answers: `bodies` (line_no, r, extra, the answer `b`, the messages `asked`) and what they say.

    Chunks of one stream share an id; each gets the whole stream's text and end.
    """
    index = "coalesce(try_cast(json_extract_string(c, '$.index') AS INTEGER), 0)"
    choices = "from_json(CASE WHEN json_type(b.choices) = 'ARRAY' THEN b.choices END, '[\"JSON\"]')"
    message = parts_text("json_extract(first, '$.message.content')")
    said = f"coalesce({message}, json_extract_string(first, '$.delta.content'))"
    parts = "nullif(array_to_string(list_filter(json_extract_string(b.output, '$[*].content[*].{}'), lambda t: t IS NOT NULL), ''), '')"
    end = (
        "coalesce(json_extract_string(first, '$.finish_reason'), json_extract_string(b.incomplete_details, '$.reason'), "
        "CASE WHEN b.object = 'response' THEN b.status END)"
    )
    declined = (
        "coalesce(json_extract_string(first, '$.message.refusal'), json_extract_string(first, '$.delta.refusal'))"
    )
    stream = "(PARTITION BY b.id ORDER BY line_no ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)"

    def read(said: str, declined: str, end: str, which: str) -> str:
        return (
            f"SELECT *, nullif(coalesce({said}, {parts.format('text')}), '') AS answer, "
            f"nullif(coalesce({declined}, {parts.format('refusal')}), '') AS refusal, {end} AS finish "
            f"FROM opened WHERE {which} 'chat.completion.chunk'"
        )

    # Most answers are whole: only chunks are sorted and carried through a window.
    chunks = (
        f"string_agg({said}, '') OVER {stream}",
        f"string_agg({declined}, '') OVER {stream}",
        f"max({end}) OVER {stream}",
    )
    return f"""
        WITH opened AS (
            SELECT *, list_filter({choices}, lambda c: {index} = 0)[1] AS first,
                list_filter({choices}, lambda c: {index} > 0) AS others
            FROM ({bodies}))
        {read(said, declined, end, "b.object IS DISTINCT FROM")}
        UNION ALL
        {read(*chunks, "b.object =")}"""


def turns_of(answers: str, facts: Mapping[str, str]) -> str:
    """The SELECT of turns; `facts` are the columns that the answer does not tell."""
    outcome = (
        "CASE WHEN b.error IS NOT NULL OR finish = 'failed' THEN 'error' "
        "WHEN finish = 'content_filter' OR refusal IS NOT NULL THEN 'refusal' "
        "WHEN finish IN ('queued', 'in_progress', 'cancelled') THEN NULL "
        "WHEN finish IS NOT NULL OR answer IS NOT NULL THEN 'pass' END"
    )
    tokens = "try_cast({} AS BIGINT)"
    columns = {
        "model_version": text("b.model"),
        "prompt": last_prompt("asked"),
        "messages": message_list("asked"),
        "response": "coalesce(answer, refusal)",
        "outcome": outcome,
        "finish_reason": "finish",
        "input_tokens": tokens.format(
            number(
                "coalesce(json_extract_string(b.usage, '$.prompt_tokens'), json_extract_string(b.usage, '$.input_tokens'))"
            )
        ),
        "output_tokens": tokens.format(
            number(
                "coalesce(json_extract_string(b.usage, '$.completion_tokens'), json_extract_string(b.usage, '$.output_tokens'))"
            )
        ),
        "candidates": "CASE WHEN len(others) > 0 AND b.object = 'chat.completion' THEN "
        "CAST(to_json(list_transform(others, lambda c: json_extract_string(c, '$.message.content'))) AS VARCHAR) END",
        "metadata": json_object(
            tool_calls="json_extract(first, '$.message.tool_calls')", usage="b.usage", error="b.error"
        ),
    }
    return select_turns(answers, **{**columns, **facts})


def judge_sides(answers: str) -> str:
    """A relation of moderation results, two sides an answer; a side without results has a null result."""
    sides = ", ".join(
        f"{{'item': {item}, 'stage': '{stage}', 'said': json_extract(b.moderation, '$.{stage}'), 'content': {content}}}"
        for item, stage, content in ((0, "input", last_prompt("asked")), (1, "output", "answer"))
    )
    results = f"TRY(from_json(json_extract(side.said, '$.results'), '{RESULT}'))"
    return f"""
        (SELECT line_no, r, extra, b, asked, 2 * (place - 1) + side.item AS item, side.stage AS stage, result,
             coalesce(result.model, json_extract_string(side.said, '$.model')) AS version, b.id AS native_id,
             coalesce(json_extract_string(side.said, '$.code'), 'no_verdict') AS failure, side.content AS content
         FROM (SELECT *, unnest(results) AS result, generate_subscripts(results, 1) AS place
               FROM (SELECT *, CASE WHEN len({results}) > 0 THEN {results} ELSE [NULL] END AS results
                     FROM (SELECT *, unnest([{sides}]) AS side FROM {answers} WHERE b.moderation IS NOT NULL)
                     WHERE json_type(side.said) = 'OBJECT')))"""


def moderation_checks(results: str, facts: Mapping[str, str]) -> str:
    """The SELECT of checks from a relation of moderation results (see `judge_sides`)."""
    top = (
        "list_reverse_sort(list_transform(list_filter(map_entries(result.category_scores), lambda e: e.value IS NOT NULL), "
        "lambda e: {'value': e.value, 'key': e.key}))[1]"
    )
    columns = {
        "item": "item",
        "taxonomy": "'openai-moderation'",
        "native_id": "native_id",
        "layer": "'classifier'",
        "stage": "stage",
        "filter_name": "'openai-moderation'",
        "filter_version": "version",
        "category_native": f"CASE WHEN result.flagged THEN ({top}).key END",
        "score": f"({top}).value",
        "score_kind": "CASE WHEN result.flagged IS NOT NULL THEN 'probability' END",
        "error": "CASE WHEN result.flagged IS NULL THEN failure END",
        "content": "content",
        "metadata": json_object(category_applied_input_types="result.category_applied_input_types"),
    }
    return select_checks(results, **{**columns, **verdict("result.flagged"), **facts})


def moderation_scores(results: str) -> str:
    """The SELECT of a moderation's scores; names come with slashes or underscores, or in both forms: read as one."""
    return f"""
        SELECT line_no, item, replace(replace(entry.key, '_', '-'), '/', '-') AS category_native, max(entry.value) AS score,
            CAST(NULL AS DOUBLE) AS threshold, bool_or(result.categories[entry.key]) AS triggered
        FROM (SELECT line_no, item, result, unnest(map_entries(result.category_scores)) AS entry FROM {results})
        GROUP BY ALL"""
