"""Amazon Bedrock's model invocation log, with what guardrails left in its bodies (formats.md 4.4)."""

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
    required,
    select_turns,
    sql_structure,
    text,
    timestamp,
    valid_time,
)
from ingest.formats.bedrock_guardrails import BedrockGuardrails

_ASKED, _ANSWERED = "r.input.inputBodyJson", "r.output.outputBodyJson"
# Keys of an answer of which at least one is there where a guardrail left something; the others need not be opened.
_JUDGED = (
    "action",
    "amazon-bedrock-guardrailAction",
    "amazon-bedrock-trace",
    "assessments",
    "error",
    "guardrailTrace",
    "results",
    "trace",
)
_CONVERSATION = ("conversation_id", "conversationId", "session_id", "sessionId")
_STOPPED = ("guardrail_intervened", "content_filtered", "refusal")


class BedrockInvocationLog:
    """See the module's docstring."""

    key = "bedrock_invocation_log"
    title = "Bedrock invocation log"
    description = (
        "One turn per invocation; guardrail traces and actions in the answer give checks as in bedrock_guardrails. Streams are joined. "
        "Bodies that were moved to S3 leave a turn without text. Conversation, user and app are read from requestMetadata."
    )
    yields = ("turns", "checks", "check_scores")
    structure = {
        **dict.fromkeys(
            ["schemaType", "timestamp", "requestId", "operation", "modelId", "errorCode", "status", "region"], "VARCHAR"
        ),
        "input": {"inputBodyJson": "JSON", "inputBodyS3Path": "VARCHAR", "inputTokenCount": "VARCHAR"},
        "output": {"outputBodyJson": "JSON", "outputBodyS3Path": "VARCHAR", "outputTokenCount": "VARCHAR"},
        "requestMetadata": "JSON",
    }
    rules = (
        required("timestamp"),
        valid_time("timestamp"),
        required("requestId"),
        Rule("modelId", "missing_field", "nullif(r.modelId, '') IS NULL", "This field is required."),
    )

    def sniff(self, record: Mapping[str, Any]) -> float:
        """Certain when the schema says so."""
        return 1.0 if record.get("schemaType") == "ModelInvocationLog" else 0.0

    def selects(self, settings: Settings) -> Selects:
        """Turns from the bodies; checks by the guardrails' own format."""
        said = (
            f"coalesce({parts_text(json_part(_ANSWERED, '$.output.message.content'))}, "
            f"{parts_text(json_part(_ANSWERED, '$.content'))}, "
            f"{json_value(_ANSWERED, '$.generation', '$.outputText', '$.results[0].outputText', '$.completion', '$.outputs[0].text', '$.choices[0].message.content')}, "
            f"{self._streamed()})"
        )
        events = json_items(_ANSWERED)
        stop = (
            f"coalesce({json_value(_ANSWERED, '$.stopReason', '$.stop_reason', '$.results[0].completionReason', '$.choices[0].finish_reason')}, "
            f"list_filter(list_transform(coalesce({events}, []), lambda e: {json_value('e', '$.messageStop.stopReason', '$.delta.stop_reason', '$.stop_reason')}), "
            "lambda s: s IS NOT NULL)[1])"
        )
        action = json_value(_ANSWERED, '$."amazon-bedrock-guardrailAction"')
        acted = f"{action} IN ('INTERVENED', 'GUARDRAIL_INTERVENED')"
        stopped = f"(coalesce({acted}, false) OR coalesce({stop} IN {_STOPPED!r}, false))"
        prompt = (
            f"coalesce({last_prompt(json_part(_ASKED, '$.messages'))}, {json_value(_ASKED, '$.prompt', '$.inputText')})"
        )
        metadata = "r.requestMetadata"
        turns = select_turns(
            "accepted",
            ts=timestamp("r.timestamp"),
            request_id="r.requestId",
            conversation_id=json_value(metadata, *(f"$.{name}" for name in _CONVERSATION)),
            user_id=json_value(metadata, "$.user_id", "$.userId"),
            app=json_value(metadata, "$.app", "$.application"),
            model="r.modelId",
            prompt=prompt,
            messages=message_list(json_part(_ASKED, "$.messages")),
            response=f"CASE WHEN NOT {stopped} THEN {said} END",
            final_text=f"CASE WHEN {stopped} THEN {said} END",
            outcome=f"CASE WHEN {text('r.errorCode')} IS NOT NULL THEN 'error' WHEN {stopped} THEN 'refusal' "
            f"WHEN {_ANSWERED} IS NOT NULL OR r.output.outputBodyS3Path IS NOT NULL THEN 'pass' END",
            finish_reason=f"coalesce({text('r.errorCode')}, {stop})",
            latency_ms=number(json_value(_ANSWERED, "$.metrics.latencyMs")),
            input_tokens=f"try_cast({number('r.input.inputTokenCount')} AS BIGINT)",
            output_tokens=f"try_cast({number('r.output.outputTokenCount')} AS BIGINT)",
            metadata=json_object(
                operation="r.operation",
                region="r.region",
                requestMetadata=metadata,
                inputBodyS3Path="r.input.inputBodyS3Path",
                outputBodyS3Path="r.output.outputBodyS3Path",
            ),
        )
        of_guardrails = BedrockGuardrails().selects(settings)
        return Selects(
            prepared=f"{self._as_guardrail_log()} SELECT * FROM ({of_guardrails.prepared})",
            turns=turns,
            checks=of_guardrails.checks,
            scores=of_guardrails.scores,
        )

    @staticmethod
    def _streamed() -> str:
        """Texts of the events of a stream, in order."""
        texts = json_value(
            "e", "$.contentBlockDelta.delta.text", "$.delta.text", "$.generation", "$.outputText", "$.completion"
        )
        return (
            f"nullif(array_to_string(list_transform(coalesce({json_items(_ANSWERED)}, []), lambda e: {texts}), ''), '')"
        )

    @staticmethod
    def _as_guardrail_log() -> str:
        """The accepted records in the envelope that `bedrock_guardrails` reads, as a CTE in their place."""
        conversation = json_value("r.requestMetadata", *(f"$.{name}" for name in _CONVERSATION))
        envelope = (
            f"json_object('timestamp', r.timestamp, 'request_id', r.requestId, 'conversation_id', {conversation}, "
            f"'request', json_object('modelId', r.modelId, 'messages', json_extract({_ASKED}, '$.messages'), "
            f"'guardrailConfig', json_extract({_ASKED}, '$.guardrailConfig'), "
            f"'guardrailVersion', {json_value(_ASKED, '$.guardrailConfig.guardrailVersion')}), 'response', "
            f"{_ANSWERED})"
        )
        structure = sql_structure(BedrockGuardrails.structure)
        return (
            f"WITH accepted AS (SELECT line_no, from_json({envelope}, {structure}) AS r, extra FROM temp.accepted "
            f"WHERE list_has_any(json_keys({_ANSWERED}), {list(_JUDGED)!r}) OR {json_value(_ANSWERED, '$.stopReason')} = 'guardrail_intervened')"
        )
