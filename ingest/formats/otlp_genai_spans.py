"""OpenTelemetry spans as OTLP/JSON: model calls and guardrails, of the GenAI conventions and of OpenInference (formats.md 6.1, 6.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.settings import Settings
from ingest.formats.base import Rule, Selects
from ingest.tracing import (
    ATTRIBUTES,
    GUARDRAILS,
    OPERATIONS,
    attribute,
    attribute_list,
    checks_of,
    identifier,
    turns_of,
)

_SPANS = [
    {
        **dict.fromkeys(("traceId", "spanId", "name", "startTimeUnixNano", "endTimeUnixNano"), "VARCHAR"),
        "attributes": ATTRIBUTES,
        "status": {"code": "VARCHAR", "message": "VARCHAR"},
    }
]
_SCOPES = [{"spans": _SPANS}]
_ALL = (
    "flatten(list_transform(list_concat(coalesce({0}.scopeSpans, []), coalesce({0}.instrumentationLibrarySpans, [])), "
    "lambda c: coalesce(c.spans, [])))"
)


class OtlpGenAISpans:
    """See the module's docstring."""

    key = "otlp_genai_spans"
    title = "OpenTelemetry spans"
    description = (
        "One turn per model call and one check per guardrail span, of both drafts (run_guardrail, apply_guardrail) and of OpenInference; other spans "
        "are passed over. All calls of a trace are one turn, named by the trace, unless an attribute request_id names it. The second draft forbids inferring a "
        "verdict: only an action, a flag or a configured threshold gives one, else the check is undecided."
    )
    yields = ("turns", "checks")
    structure = {
        "resourceSpans": [
            {"resource": {"attributes": ATTRIBUTES}, "scopeSpans": _SCOPES, "instrumentationLibrarySpans": _SCOPES}
        ]
    }
    rules = (
        Rule(
            "resourceSpans",
            "invalid_value",
            "r.resourceSpans IS NULL",
            "A line holds one TracesData object: {resourceSpans: [...]}.",
        ),
        Rule(
            "resourceSpans",
            "invalid_time",
            f"len(list_filter(flatten(list_transform(r.resourceSpans, lambda e: {_ALL.format('e')})), lambda s: coalesce("
            "try_cast(s.startTimeUnixNano AS UBIGINT) NOT BETWEEN 631152000000000000 AND 4102444800000000000, true))) > 0",
            "Every span has a startTimeUnixNano between 1990 and 2100.",
        ),
    )

    def sniff(self, record: Mapping[str, Any]) -> float:
        """Certain when spans are there."""
        return 1.0 if isinstance(record.get("resourceSpans"), list) else 0.0

    def selects(self, settings: Settings) -> Selects:
        """Model calls and guardrails among the spans."""
        spans = f"""
            SELECT line_no, extra, a, of_resource, s.name AS title, {identifier("s.traceId", 16)} AS trace, {identifier("s.spanId", 8)} AS span,
                concat_ws(chr(31), trace, span, s.startTimeUnixNano) AS identity, s.startTimeUnixNano AS moment,
                try_cast(s.startTimeUnixNano AS BIGINT) AS began, try_cast(s.endTimeUnixNano AS BIGINT) AS ended,
                CASE WHEN s.status.code IN ('2', 'STATUS_CODE_ERROR') THEN coalesce({attribute("error.type")}, nullif(s.status.message, ''), 'error')
                    ELSE {attribute("error.type")} END AS failure,
                lower({attribute("gen_ai.operation.name")}) AS operation, upper({attribute("openinference.span.kind")}) AS span_kind
             FROM (SELECT line_no, extra, s, {attribute_list("resource.attributes")} AS of_resource, {attribute_list("s.attributes")} AS a
                   FROM (SELECT line_no, extra, e.resource AS resource, unnest({_ALL.format("e")}) AS s
                         FROM (SELECT line_no, extra, unnest(r.resourceSpans) AS e FROM accepted)))"""
        is_check = f"(operation IN {GUARDRAILS} OR span_kind = 'GUARDRAIL')"
        is_turn = f"(operation IN {OPERATIONS} OR span_kind = 'LLM')"
        return Selects(
            prepared=spans,
            turns=turns_of(f"prepared WHERE {is_turn} AND NOT coalesce({is_check}, false)"),
            checks=checks_of(f"prepared WHERE {is_check}", settings),
        )
