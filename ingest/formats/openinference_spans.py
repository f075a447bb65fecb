"""OpenInference spans as Phoenix exports them, nested or as a dataframe's columns (formats.md 6.4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.settings import Settings
from ingest.formats.base import Rule, Selects, json_object, json_value, number, select_checks, select_turns, timestamp
from ingest.tracing import judge_harm, judge_label, judge_output

_SPAN = "coalesce(json_extract_string(r.context, '$.span_id'), r.\"context.span_id\")"
_TRACE = "coalesce(json_extract_string(r.context, '$.trace_id'), r.\"context.trace_id\")"
_KIND = "upper(coalesce(r.span_kind, json_extract_string(r.attributes, '$.\"openinference.span.kind\"')))"
_MOST_OPINIONS = 5


def _attribute(*names: str) -> str:
    """The text of an attribute, flat or nested."""
    paths = [path for name in names for path in (f'$."{name}"', f"$.{name}")]
    return json_value("r.attributes", *paths)


class OpenInferenceSpans:
    """See the module's docstring."""

    key = "openinference_spans"
    title = "OpenInference spans"
    description = (
        "One turn per LLM span, one check per guardrail span (by its annotation, else by its JSON output), and per evaluator span a vote for each human "
        "annotation and a check for each other one, about the trace that the span links to. Other spans are passed over. A turn is named by its trace."
    )
    yields = ("turns", "checks", "labels")
    structure = {
        **dict.fromkeys(["name", "span_kind", "parent_id", "start_time", "end_time", "status_code"], "VARCHAR"),
        **dict.fromkeys(["status_message", "context.span_id", "context.trace_id"], "VARCHAR"),
        **dict.fromkeys(["context", "attributes", "links"], "JSON"),
    }
    rules = (
        Rule(
            "context", "missing_field", f"{_SPAN} IS NULL OR {_TRACE} IS NULL", "A span has a trace_id and a span_id."
        ),
        Rule(
            "start_time",
            "invalid_time",
            f"coalesce({timestamp('r.start_time')} NOT BETWEEN TIMESTAMP '1990-01-01' AND TIMESTAMP '2100-01-01', true)",
            "A time is required: ISO 8601, or an epoch in s, ms, us or ns.",
        ),
    )

    def sniff(self, record: Mapping[str, Any]) -> float:
        """Certain when a span with a kind and its context is there."""
        attributes = record.get("attributes")
        has_kind = "span_kind" in record or (
            isinstance(attributes, Mapping) and "openinference.span.kind" in attributes
        )
        context = record.get("context")
        has_context = (isinstance(context, Mapping) and "span_id" in context) or "context.span_id" in record
        return 1.0 if has_kind and has_context else 0.0

    def selects(self, settings: Settings) -> Selects:
        """Spans by kind."""
        start, end = timestamp("r.start_time"), timestamp("r.end_time")
        facts = {
            "ts": start,
            "request_id": _TRACE,
            "conversation_id": _attribute("session.id"),
            "user_id": _attribute("user.id"),
            "model": _attribute("llm.request.model_name", "llm.model_name"),
        }
        latency = f"(epoch_us({end}) - epoch_us({start})) / 1000.0"
        failed = "upper(r.status_code) = 'ERROR'"
        tokens = "try_cast({} AS BIGINT)"
        answer = _attribute("llm.output_messages.0.message.content", "output.value")
        asked = " , ".join(
            f"CASE WHEN {_attribute(f'llm.input_messages.{place}.message.role')} = 'user' "
            f"THEN {_attribute(f'llm.input_messages.{place}.message.content')} END"
            for place in reversed(range(_MOST_OPINIONS))
        )
        turns = select_turns(
            f"accepted WHERE {_KIND} = 'LLM'",
            **facts,
            latency_ms=latency,
            model_version=_attribute("llm.response.model_name"),
            prompt=f"coalesce({asked}, {_attribute('input.value')})",
            response=answer,
            outcome=f"CASE WHEN {failed} THEN 'error' WHEN {answer} IS NOT NULL THEN 'pass' END",
            input_tokens=tokens.format(number(_attribute("llm.token_count.prompt"))),
            output_tokens=tokens.format(number(_attribute("llm.token_count.completion"))),
            metadata=json_object(span=_SPAN, metadata=_attribute("metadata")),
        )
        noted = f"TRY(CAST({_attribute('metadata')} AS JSON))"
        output = f"TRY(CAST({_attribute('output.value')} AS JSON))"
        fired, score, category = judge_output(output)
        opinion = "annotations.0.annotation"
        said = _attribute(f"{opinion}.label")
        guardrails = f"""
            (SELECT *, CASE WHEN {failed} THEN NULL ELSE coalesce({judge_label(said)}, {fired}, score >= limit_) END AS fired FROM (
                SELECT *, coalesce({number(_attribute(f"{opinion}.score"))}, {score}) AS score, {number(json_value(noted, "$.threshold"))} AS limit_
                FROM accepted WHERE {_KIND} = 'GUARDRAIL'))"""
        shared = {
            "taxonomy": "'weir'",
            "score": "score",
            "score_kind": "CASE WHEN score BETWEEN 0 AND 1 THEN 'probability' WHEN score IS NOT NULL THEN 'severity' END",
            "triggered": "fired",
            "decision": f"CASE WHEN {failed} THEN 'error' WHEN fired THEN 'flag' WHEN NOT fired THEN 'allow' END",
            "enforced": "false",
            "mode": "'annotate'",
            "status": f"CASE WHEN fired IS NOT NULL THEN 'ok' WHEN score IS NOT NULL AND NOT coalesce({failed}, false) THEN 'undecided' ELSE 'error' END",
            "error": f"CASE WHEN fired IS NULL AND (score IS NULL OR {failed}) THEN coalesce(nullif(r.status_message, ''), 'no_verdict') END",
        }
        of_guardrails = select_checks(
            guardrails,
            **facts,
            **shared,
            native_id=_SPAN,
            layer="'classifier'",
            stage="CASE WHEN regexp_matches(lower(r.name), 'output|response|answer') THEN 'output' ELSE 'input' END",
            filter_name="coalesce(nullif(r.name, ''), 'guardrail')",
            policy_version=json_value(noted, "$.policy_version"),
            category_native=f"CASE WHEN fired THEN {category} END",
            threshold="limit_",
            latency_ms=latency,
            content=_attribute("input.value"),
            metadata=json_object(metadata=_attribute("metadata"), output=_attribute("output.value")),
        )
        opinions = self._opinions()
        of_evaluators = select_checks(
            f"(SELECT *, {judge_label('label')} AS fired FROM {opinions} WHERE kind <> 'HUMAN')",
            **facts | {"request_id": "about"},
            **shared,
            native_id=f"{_SPAN} || chr(31) || place",
            layer="'llm_judge'",
            stage="'output'",
            filter_name="opinion",
            metadata=json_object(label="label", explanation="explanation"),
        )
        nothing = "CAST(NULL AS VARCHAR)"
        labels = f"""
            SELECT line_no, {start} AS ts, about AS request_id, {_attribute("session.id")} AS conversation_id, {nothing} AS filter_name,
                coalesce(identifier, 'openinference') AS reviewer, {judge_harm("opinion", judge_label("label"))} AS harmful,
                {nothing} AS category, CAST(NULL AS INTEGER) AS severity,
                concat_ws(': ', opinion || coalesce(' = ' || label, ''), explanation) AS reason, {nothing} AS principle_id, {nothing} AS revision,
                {nothing} AS critique, 'import' AS selection, {nothing} AS stratum, CAST(NULL AS DOUBLE) AS inclusion_probability,
                {nothing} AS guideline_version, extra
            FROM {opinions} WHERE kind = 'HUMAN'"""
        return Selects(turns=turns, checks=f"{of_guardrails} UNION ALL BY NAME {of_evaluators}", labels=labels)

    @staticmethod
    def _opinions() -> str:
        """Annotations of evaluator spans, under either of their names, each with the trace that it is about."""
        each = ", ".join(
            "{"
            + ", ".join(
                f"'{name}': {_attribute(f'evaluations.{place}.evaluation.{field}', f'annotations.{place}.annotation.{field}')}"
                for name, field in (
                    ("opinion", "name"),
                    ("score", "score"),
                    ("label", "label"),
                    ("kind", "annotator_kind"),
                    ("identifier", "identifier"),
                    ("explanation", "explanation"),
                )
            )
            + f", 'place': {place}}}"
            for place in range(_MOST_OPINIONS)
        )
        about = f"coalesce(json_extract_string(r.links, '$[0].trace_id'), json_extract_string(r.links, '$[0].context.trace_id'), {_TRACE})"
        return f"""
            (SELECT line_no, r, extra, o.opinion AS opinion, try_cast(o.score AS DOUBLE) AS score, o.label AS label,
                upper(coalesce(o.kind, 'LLM')) AS kind, o.identifier AS identifier, o.explanation AS explanation, o.place AS place, {about} AS about
             FROM (SELECT line_no, r, extra, unnest([{each}]) AS o FROM accepted WHERE {_KIND} = 'EVALUATOR') WHERE o.opinion IS NOT NULL)"""
