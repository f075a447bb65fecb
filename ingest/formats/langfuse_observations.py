"""Langfuse observations, as its blob export and its API write them (formats.md 6.3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.settings import Settings
from ingest.formats.base import (
    Rule,
    Selects,
    json_object,
    json_value,
    last_prompt,
    number,
    parts_text,
    select_checks,
    select_turns,
    text,
    timestamp,
)
from ingest.tracing import judge_output

_TEXTS = {
    "trace_id": "traceId",
    "start_time": "startTime",
    "end_time": "endTime",
    "user_id": "userId",
    "session_id": "sessionId",
    "trace_name": "traceName",
    "status_message": "statusMessage",
    "provided_model_name": "model",
}
_PARTS = {"usage_details": "usageDetails"}


def _both(snake: str) -> str:
    """A field of the export, or as the API names it; empty counts as not set."""
    camel = {**_TEXTS, **_PARTS}[snake]
    return f"coalesce(nullif(CAST(r.{snake} AS VARCHAR), ''), nullif(CAST(r.{camel} AS VARCHAR), ''))"


def _opened(field: str) -> str:
    """JSON of a field that holds JSON, or JSON as text, or plain text."""
    inner = f"json_extract_string({field}, '$')"
    return (
        f"CASE WHEN json_type({field}) = 'VARCHAR' THEN CASE WHEN json_valid({inner}) AND {inner}[1] IN ('{{', '[') THEN CAST({inner} AS JSON) "
        f"ELSE {field} END ELSE {field} END"
    )


class LangfuseObservations:
    """See the module's docstring."""

    key = "langfuse_observations"
    title = "Langfuse observations"
    description = (
        "One turn per generation, one check per guardrail, read from its JSON output (flagged, triggered, blocked, allowed, score); observations of other "
        "types are passed over. A turn is named by its trace. Latency is end less start, since its unit changed in 2026."
    )
    yields = ("turns", "checks")
    structure = {
        **dict.fromkeys(["id", "type", "name", "level", "version", "environment", "release"], "VARCHAR"),
        **{name: "VARCHAR" for pair in _TEXTS.items() for name in pair},
        **{name: "JSON" for pair in _PARTS.items() for name in pair},
        **dict.fromkeys(["input", "output", "metadata", "tags"], "JSON"),
    }
    rules = (
        Rule("id", "missing_field", "nullif(r.id, '') IS NULL", "This field is required."),
        Rule("trace_id", "missing_field", f"{_both('trace_id')} IS NULL", "This field is required."),
        Rule(
            "start_time",
            "invalid_time",
            f"coalesce({timestamp(_both('start_time'))} NOT BETWEEN TIMESTAMP '1990-01-01' AND TIMESTAMP '2100-01-01', true)",
            "A time is required: YYYY-MM-DD HH:MM:SS, UTC.",
        ),
    )

    def sniff(self, record: Mapping[str, Any]) -> float:
        """Certain when a typed observation of a trace starts."""
        is_typed = "type" in record and {"trace_id", "traceId"} & record.keys()
        return 1.0 if is_typed and {"start_time", "startTime"} & record.keys() and "id" in record else 0.0

    def selects(self, settings: Settings) -> Selects:
        """Generations and guardrails."""
        start, end = timestamp(_both("start_time")), timestamp(_both("end_time"))
        facts = {
            "ts": start,
            "request_id": _both("trace_id"),
            "conversation_id": _both("session_id"),
            "user_id": _both("user_id"),
            "app": _both("trace_name"),
            "latency_ms": f"(epoch_us({end}) - epoch_us({start})) / 1000.0",
        }
        asked, answered = _opened("r.input"), _opened("r.output")
        whole = f"coalesce(json_extract({asked}, '$.messages'), {asked})"
        tokens = "try_cast({} AS BIGINT)"
        usage = f"CAST({_both('usage_details')} AS JSON)"
        turns = select_turns(
            "accepted WHERE upper(r.type) = 'GENERATION'",
            **facts,
            model=_both("provided_model_name"),
            prompt=last_prompt(whole),
            messages=f"CASE WHEN json_type({whole}) = 'ARRAY' THEN CAST({whole} AS VARCHAR) END",
            response=f"coalesce({parts_text(f'json_extract({answered}, {chr(39)}$.content{chr(39)})')}, "
            f"CASE WHEN json_type({answered}) = 'VARCHAR' THEN json_extract_string({answered}, '$') END)",
            outcome="CASE WHEN upper(r.level) = 'ERROR' THEN 'error' WHEN r.output IS NOT NULL AND json_type(r.output) <> 'NULL' THEN 'pass' END",
            input_tokens=tokens.format(number(json_value(usage, "$.input"))),
            output_tokens=tokens.format(number(json_value(usage, "$.output"))),
            metadata=json_object(
                observation="r.id",
                tags="r.tags",
                metadata="r.metadata",
                environment=text("r.environment"),
                release=text("r.release"),
            ),
        )
        fired, score, category = judge_output(answered)
        failed = "upper(r.level) = 'ERROR'"
        stops = f"regexp_matches(lower(coalesce({_both('status_message')}, '')), 'block|den(y|ied)|refus|reject')"
        judged = f"""(SELECT *, CASE WHEN {failed} THEN NULL ELSE {fired} END AS fired, {score} AS score,
            {number(json_value("r.metadata", "$.threshold"))} AS limit_ FROM accepted WHERE upper(r.type) = 'GUARDRAIL')"""
        checks = select_checks(
            f"(SELECT * REPLACE (coalesce(fired, CASE WHEN NOT coalesce({failed}, false) THEN score >= limit_ END) AS fired) FROM {judged})",
            **facts,
            taxonomy="'weir'",
            native_id="r.id",
            layer="'classifier'",
            stage="CASE WHEN regexp_matches(lower(r.name), 'output|response|answer') THEN 'output' ELSE 'input' END",
            filter_name=f"coalesce({text('r.name')}, 'guardrail')",
            filter_version=text("r.version"),
            policy_version=json_value("r.metadata", "$.policy_version"),
            category_native=f"CASE WHEN fired THEN {category} END",
            score="score",
            score_kind="CASE WHEN score BETWEEN 0 AND 1 THEN 'probability' WHEN score IS NOT NULL THEN 'severity' END",
            threshold="limit_",
            triggered="fired",
            decision=f"CASE WHEN {failed} THEN 'error' WHEN fired AND {stops} THEN 'block' WHEN fired THEN 'flag' WHEN NOT fired THEN 'allow' END",
            enforced=f"coalesce(fired AND {stops}, false)",
            mode="'enforce'",
            status=f"CASE WHEN fired IS NOT NULL THEN 'ok' WHEN score IS NOT NULL AND NOT coalesce({failed}, false) THEN 'undecided' ELSE 'error' END",
            error=f"CASE WHEN fired IS NULL AND (score IS NULL OR {failed}) THEN coalesce({_both('status_message')}, 'no_verdict') END",
            content="CASE WHEN json_type(r.input) = 'VARCHAR' THEN json_extract_string(r.input, '$') ELSE CAST(r.input AS VARCHAR) END",
            metadata=json_object(metadata="r.metadata", output="r.output", tags="r.tags"),
        )
        return Selects(turns=turns, checks=checks)
