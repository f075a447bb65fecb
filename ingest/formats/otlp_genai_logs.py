"""OpenTelemetry log records as OTLP/JSON: evaluations, guardrail results and model calls (formats.md 6.1, 6.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.settings import Settings
from ingest.formats.base import Rule, Selects, json_object, number, select_checks, select_turns
from ingest.tracing import (
    ATTRIBUTES,
    attribute,
    attribute_list,
    checks_of,
    facts,
    identifier,
    turns_of,
)

_RECORD = {
    **dict.fromkeys(("timeUnixNano", "observedTimeUnixNano", "eventName", "traceId", "spanId"), "VARCHAR"),
    "body": "JSON",
    "attributes": ATTRIBUTES,
}
_ALL = "flatten(list_transform(coalesce({0}.scopeLogs, []), lambda c: coalesce(c.logRecords, [])))"
_FAILED = "('fail', 'failed', 'unsafe', 'harmful', 'toxic', 'flagged', 'violation', 'true')"
_PASSED = "('pass', 'passed', 'safe', 'harmless', 'ok', 'clean', 'false')"


class OtlpGenAILogs:
    """See the module's docstring."""

    key = "otlp_genai_logs"
    title = "OpenTelemetry logs"
    description = (
        "One check per gen_ai.evaluation.result (its label is the verdict; a score alone is undecided) and per gen_ai.guardrail.result, one turn per "
        "gen_ai.client.inference.operation.details or per trace of the older message events; other records are passed over. Turns are named as in the spans' format."
    )
    yields = ("turns", "checks")
    structure = {"resourceLogs": [{"resource": {"attributes": ATTRIBUTES}, "scopeLogs": [{"logRecords": [_RECORD]}]}]}
    rules = (
        Rule(
            "resourceLogs",
            "invalid_value",
            "r.resourceLogs IS NULL",
            "A line holds one LogsData object: {resourceLogs: [...]}.",
        ),
        Rule(
            "resourceLogs",
            "invalid_time",
            f"len(list_filter(flatten(list_transform(r.resourceLogs, lambda e: {_ALL.format('e')})), lambda l: coalesce(try_cast("
            "coalesce(nullif(l.timeUnixNano, '0'), l.observedTimeUnixNano) AS UBIGINT) "
            "NOT BETWEEN 631152000000000000 AND 4102444800000000000, true))) > 0",
            "Every record has a timeUnixNano or observedTimeUnixNano between 1990 and 2100.",
        ),
    )

    def sniff(self, record: Mapping[str, Any]) -> float:
        """Certain when log records are there."""
        return 1.0 if isinstance(record.get("resourceLogs"), list) else 0.0

    def selects(self, settings: Settings) -> Selects:
        """Events by their names."""
        records = f"""
            SELECT line_no, extra, l.body AS body, a, of_resource, coalesce(nullif(l.eventName, ''), {attribute("event.name")}) AS event, '' AS title,
                {identifier("l.traceId", 16)} AS trace, {identifier("l.spanId", 8)} AS span, md5(CAST(to_json(l) AS VARCHAR)) AS identity ,
                coalesce(nullif(l.timeUnixNano, '0'), l.observedTimeUnixNano) AS moment, CAST(NULL AS DOUBLE) AS began, CAST(NULL AS DOUBLE) AS ended,
                {attribute("error.type")} AS failure
             FROM (SELECT line_no, extra, l, {attribute_list("resource.attributes")} AS of_resource, {attribute_list("l.attributes")} AS a
                   FROM (SELECT line_no, extra, e.resource AS resource, unnest({_ALL.format("e")}) AS l
                         FROM (SELECT line_no, extra, unnest(r.resourceLogs) AS e FROM accepted)))"""
        details = turns_of("prepared WHERE event = 'gen_ai.client.inference.operation.details'")

        def said(name: str, of: str = "body") -> str:
            found = f"json_extract({of}, '$.kvlistValue.values[*]')"
            return f"list_filter({found}, lambda e: json_extract_string(e, '$.key') = '{name}')[1]"

        content = f"json_extract_string({said('content')}, '$.value.stringValue')"
        end = f"json_extract_string({said('finish_reason')}, '$.value.stringValue')"
        message = f"json_extract({said('message')}, '$.value')"
        answer = f"json_extract_string({said('content', message)}, '$.value.stringValue')"
        is_answer = "event = 'gen_ai.choice'"
        older = select_turns(
            "prepared WHERE event IN ('gen_ai.user.message', 'gen_ai.choice')",
            **facts(),
            app=attribute("service.name", of="of_resource"),
            prompt=f"CASE WHEN NOT {is_answer} THEN {content} END",
            response=f"CASE WHEN {is_answer} THEN {answer} END",
            finish_reason=f"CASE WHEN {is_answer} THEN {end} END",
            outcome=f"CASE WHEN {is_answer} AND {end} = 'content_filter' THEN 'refusal' WHEN {is_answer} THEN 'pass' END",
        )
        label = f"lower({attribute('gen_ai.evaluation.score.label')})"
        score = number(attribute("gen_ai.evaluation.score.value"))
        fired = f"CASE WHEN failure IS NOT NULL THEN NULL WHEN {label} IN {_FAILED} THEN true WHEN {label} IN {_PASSED} THEN false END"
        evaluations = select_checks(
            "prepared WHERE event = 'gen_ai.evaluation.result'",
            **facts(),
            taxonomy="'weir'",
            native_id="identity",
            layer="'llm_judge'",
            stage="'output'",
            filter_name=f"coalesce({attribute('gen_ai.evaluation.name')}, 'evaluation')",
            score=score,
            score_kind=f"CASE WHEN ({score}) BETWEEN 0 AND 1 THEN 'probability' WHEN ({score}) IS NOT NULL THEN 'severity' END",
            triggered=fired,
            decision=f"CASE WHEN failure IS NOT NULL THEN 'error' WHEN {fired} THEN 'flag' WHEN NOT ({fired}) THEN 'allow' END",
            enforced="false",
            mode="'annotate'",
            status=f"CASE WHEN ({fired}) IS NOT NULL THEN 'ok' WHEN failure IS NULL AND ({score}) IS NOT NULL THEN 'undecided' ELSE 'error' END",
            error=f"CASE WHEN failure IS NOT NULL THEN failure WHEN ({fired}) IS NULL AND ({score}) IS NULL THEN 'no_verdict' END",
            metadata=json_object(
                label=attribute("gen_ai.evaluation.score.label"),
                explanation=attribute("gen_ai.evaluation.explanation"),
                response_id=attribute("gen_ai.response.id"),
            ),
        )
        results = checks_of("prepared WHERE event = 'gen_ai.guardrail.result'", settings)
        return Selects(
            prepared=records,
            turns=f"{details} UNION ALL BY NAME {older}",
            checks=f"{evaluations} UNION ALL BY NAME {results}",
        )
