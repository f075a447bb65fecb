"""Anthropic Messages, bare, in a request/response envelope, or as batch results (formats.md 1.4)."""

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
    hit,
    json_object,
    last_prompt,
    message_list,
    number,
    parts_text,
    select_checks,
    select_turns,
    text,
)

_BODY = {
    **dict.fromkeys(["id", "type", "role", "model", "stop_reason"], "VARCHAR"),
    **dict.fromkeys(["content", "stop_sequence", "stop_details", "usage", "error"], "JSON"),
}
_BATCH_ENDS = ("succeeded", "errored", "canceled", "expired")


class AnthropicMessages:
    """See the module's docstring."""

    key = "anthropic_messages"
    title = "Anthropic messages"
    description = (
        "One turn per message or batch result. A stop by the streaming classifier is the outcome refusal, and one enforced "
        "check: only its hits are logged, so it has a count and no rate."
    )
    yields = ("turns", "checks")
    structure = {
        **_BODY,
        **ENVELOPE,
        "custom_id": "VARCHAR",
        "request": {"model": "VARCHAR", "messages": "JSON", "metadata": {"user_id": "VARCHAR"}},
        "response": _BODY,
        "result": {"type": "VARCHAR", "message": _BODY, "error": "JSON"},
    }
    rules = (
        *envelope_rules(remedy="The message carries no time: log it in an envelope with timestamp."),
        Rule(
            "request_id",
            "missing_field",
            "coalesce(nullif(r.request_id, ''), nullif(r.custom_id, ''), nullif(r.response.id, ''), nullif(r.id, '')) IS NULL",
            "The message's id, a custom_id or a request_id is required.",
        ),
        Rule(
            "content",
            "missing_field",
            "coalesce(r.response.content, r.response.error, r.result.message.content, r.result.error, r.content, r.error) IS NULL "
            "AND coalesce(r.result.type NOT IN ('canceled', 'expired'), true)",
            "The answer must hold content, or an error.",
        ),
    )

    def sniff(self, record: Mapping[str, Any]) -> float:
        """Certain when an answer is typed as a message, or a batch result says how it ended."""
        result = record.get("result")
        if isinstance(result, Mapping) and "custom_id" in record:
            return 1.0 if result.get("type") in _BATCH_ENDS else 0.0
        body = record["response"] if isinstance(record.get("response"), Mapping) else record
        if body.get("type") == "message" and body.get("role") == "assistant":
            return 1.0 if isinstance(body.get("content"), list) else 0.0
        return 0.8 if body.get("type") == "error" and isinstance(body.get("error"), Mapping) else 0.0

    def selects(self, settings: Settings) -> Selects:
        """A turn per answer; a check where the classifier stopped it."""
        body = ", ".join(f"{name} := coalesce(r.response.{name}, r.result.message.{name}, r.{name})" for name in _BODY)
        answers = (
            f"(SELECT *, {parts_text('b.content')} AS answer, coalesce(r.result.error, b.error) AS failure FROM "
            f"(SELECT line_no, r, extra, struct_pack({body}) AS b FROM accepted))"
        )
        facts = envelope_facts(
            request_id=f"coalesce({text('r.request_id')}, {text('r.custom_id')}, b.id)",
            user_id=f"coalesce({text('r.user_id')}, {text('r.request.metadata.user_id')})",
            model=f"coalesce({text('r.request.model')}, {text('b.model')})",
        )
        outcome = (
            "CASE WHEN failure IS NOT NULL OR r.result.type IN ('errored', 'expired') THEN 'error' "
            "WHEN b.stop_reason = 'refusal' THEN 'refusal' WHEN b.stop_reason <> 'pause_turn' THEN 'pass' END"
        )
        tools = (
            "list_filter(from_json(CASE WHEN json_type(b.content) = 'ARRAY' THEN b.content END, '[\"JSON\"]'), "
            "lambda part: json_extract_string(part, '$.type') = 'tool_use')"
        )
        tokens_in, tokens_out = (
            number(f"json_extract_string(b.usage, '$.{way}_tokens')") for way in ("input", "output")
        )
        turns = select_turns(
            answers,
            **facts,
            model_version=text("b.model"),
            prompt=last_prompt("r.request.messages"),
            messages=message_list("r.request.messages"),
            response="answer",
            outcome=outcome,
            finish_reason=f"coalesce({text('b.stop_reason')}, nullif(r.result.type, 'succeeded'))",
            input_tokens=f"try_cast({tokens_in} AS BIGINT)",
            output_tokens=f"try_cast({tokens_out} AS BIGINT)",
            metadata=json_object(
                tool_use=f"CASE WHEN len({tools}) > 0 THEN to_json({tools}) END",
                stop_details="b.stop_details",
                stop_sequence="b.stop_sequence",
                usage="b.usage",
                error="failure",
            ),
        )
        checks = select_checks(
            f"{answers} WHERE b.stop_reason = 'refusal'",
            **facts | {"latency_ms": "CAST(NULL AS DOUBLE)"},
            taxonomy="'anthropic-refusal'",
            native_id="b.id",
            layer="'classifier'",
            stage="'output'",
            filter_name="'anthropic-streaming-classifier'",
            category_native="json_extract_string(b.stop_details, '$.category')",
            decision="'block'",
            enforced="true",
            mode="'enforce'",
            **hit(),
            outcome="'refusal'",
            content="answer",
            metadata=json_object(stop_details="b.stop_details"),
        )
        return Selects(turns=turns, checks=checks)
