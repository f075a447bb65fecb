"""Guardrails AI: validation outcomes and validator logs, in either key style (formats.md 5.2)."""

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
    json_items,
    json_object,
    json_value,
    one_of,
    select_checks,
    text,
    valid_time,
)
from ingest.schema import MODES

_OUTCOME = {"callId": "call_id", "validationPassed": "validation_passed"}
_OUTCOME_PARTS = {
    "rawLlmOutput": "raw_llm_output",
    "validatedOutput": "validated_output",
    "validationSummaries": "validation_summaries",
}
_LOG = {
    "validatorName": "validator_name",
    "registeredName": "registered_name",
    "instanceId": "instance_id",
    "propertyPath": "property_path",
    "startTime": "start_time",
    "endTime": "end_time",
}
_LOG_PARTS = {
    "valueBeforeValidation": "value_before_validation",
    "valueAfterValidation": "value_after_validation",
    "validationResult": "validation_result",
}
_TIMES = ("r.startTime", "r.start_time")


def _both(camel: str) -> str:
    """A field in camel case, as `to_dict` writes it, or in snake case, as `model_dump` does; JSON null is null."""
    snake = {**_OUTCOME, **_OUTCOME_PARTS, **_LOG, **_LOG_PARTS}[camel]
    both = f"coalesce(r.{camel}, r.{snake})"
    return (
        f"CASE WHEN json_type({both}) <> 'NULL' THEN {both} END" if camel in {**_OUTCOME_PARTS, **_LOG_PARTS} else both
    )


class GuardrailsAI:
    """See the module's docstring."""

    key = "guardrails_ai"
    title = "Guardrails AI"
    description = (
        "One check per outcome of a guard, with a score row per failed validator (outcomes name failures only), and one per validator log. "
        "A changed output that passed is modify. Outcomes carry no time: log them in an envelope."
    )
    yields = ("checks", "check_scores")
    structure = {
        **ENVELOPE,
        **dict.fromkeys(["record", "direction", "mode"], "VARCHAR"),
        **{name: "VARCHAR" for pair in {**_OUTCOME, **_LOG}.items() for name in pair},
        **{name: "JSON" for pair in {**_OUTCOME_PARTS, **_LOG_PARTS}.items() for name in pair},
        "reask": "JSON",
        "error": "VARCHAR",
    }
    rules = (
        *envelope_rules(
            *_TIMES, remedy="The outcome carries no time: log it with timestamp, or log the validators' own logs."
        ),
        valid_time("startTime"),
        valid_time("start_time"),
        valid_time("endTime"),
        valid_time("end_time"),
        one_of("direction", ("input", "output")),
        one_of("mode", MODES),
        Rule(
            "validationPassed",
            "missing_field",
            f"coalesce({_both('validationPassed')}, {_both('validatorName')}, {_both('registeredName')}, r.error) IS NULL",
            "An outcome holds validationPassed, a validator's log holds validatorName.",
        ),
    )

    def sniff(self, record: Mapping[str, Any]) -> float:
        """Certain when an outcome or a validator's result is there."""
        if {"validationPassed", "validation_passed", "validationSummaries", "validation_summaries"} & record.keys():
            return 1.0
        named = {"validatorName", "validator_name"} & record.keys()
        return 1.0 if named and {"validationResult", "validation_result"} & record.keys() else 0.0

    def selects(self, settings: Settings) -> Selects:
        """An outcome judges the whole output; a log judges one property, or one chunk, by one validator."""
        times = [f"nullif({_both(name)}, '')" for name in ("startTime", "endTime")]
        start, end = (f"try_cast({time} AS TIMESTAMP)" for time in times)
        before, after = _both("valueBeforeValidation"), _both("valueAfterValidation")
        raw, valid, result = _both("rawLlmOutput"), _both("validatedOutput"), _both("validationResult")
        summaries = json_items(_both("validationSummaries"))
        name = json_value("s", "$.validatorName", "$.validator_name")
        judged = f"""(
            WITH records AS (
                SELECT line_no, r, extra, coalesce({_both("registeredName")}, {_both("validatorName")}) AS validator,
                    lower({json_value(result, "$.outcome")}) AS verdict, lower({_both("validationPassed")}) AS passed,
                    CASE WHEN {_both("validatorName")} IS NULL AND {_both("registeredName")} IS NULL
                         THEN list_filter(coalesce({summaries}, []),
                             lambda s: lower({json_value("s", "$.validatorStatus", "$.validator_status")}) = 'fail')
                         ELSE [] END AS failed FROM accepted),
            judged AS (
                SELECT *, 0 AS item,
                    CASE WHEN validator IS NOT NULL THEN
                            CASE verdict WHEN 'fail' THEN true WHEN 'pass' THEN false END
                         WHEN nullif(r.error, '') IS NOT NULL THEN NULL
                         WHEN passed = 'false' OR len(failed) > 0 THEN true
                         WHEN passed = 'true' THEN coalesce(CAST({raw} AS VARCHAR) <> CAST({valid} AS VARCHAR), false) END AS fired,
                    CASE WHEN validator IS NOT NULL THEN verdict = 'fail' AND {after} IS NOT NULL
                            AND CAST({before} AS VARCHAR) IS DISTINCT FROM CAST({after} AS VARCHAR)
                         ELSE passed = 'true' AND CAST({raw} AS VARCHAR) <> CAST({valid} AS VARCHAR) END AS is_fixed,
                    validator IS NULL AND passed = 'false' AND {valid} IS NULL AS is_withheld FROM records)
            SELECT * FROM judged)"""
        mode = f"coalesce(lower({text('r.mode')}), 'enforce')"
        first = "failed[1]"
        shown = f"coalesce({raw}, {before})"
        checks = select_checks(
            judged,
            **envelope_facts(
                ts=envelope_time(*_TIMES),
                request_id=f"coalesce({text('r.request_id')}, {_both('callId')}, 'row-' || md5(CAST(r AS VARCHAR)))",
                latency_ms=f"coalesce(try_cast(r.latency_ms AS DOUBLE), (epoch_us({end}) - epoch_us({start})) / 1000.0)",
            ),
            taxonomy="'guardrails-ai'",
            native_id="md5(CAST(r AS VARCHAR))",
            layer="'classifier'",
            stage="coalesce(lower(nullif(r.direction, '')), 'output')",
            filter_name="'guardrails-ai' || coalesce('/' || validator, '')",
            category_native=f"CASE WHEN fired THEN coalesce({_both('validatorName')}, {name.replace('(s,', f'({first},')}) END",
            triggered="fired",
            decision="CASE WHEN fired IS NULL THEN 'error' WHEN NOT fired THEN 'allow' WHEN is_fixed THEN 'modify' "
            "WHEN is_withheld THEN 'block' ELSE 'flag' END",
            enforced=f"coalesce(fired AND (is_fixed OR is_withheld) AND {mode} = 'enforce', false)",
            mode=mode,
            status="CASE WHEN fired IS NULL THEN 'error' ELSE 'ok' END",
            error="CASE WHEN fired IS NULL THEN coalesce(nullif(r.error, ''), 'no_verdict') END",
            content=f"coalesce(json_extract_string({shown}, '$'), CAST({shown} AS VARCHAR))",
            outcome=f"CASE WHEN fired AND validator IS NULL AND {mode} = 'enforce' THEN "
            "CASE WHEN is_fixed THEN 'modified' WHEN is_withheld THEN 'refusal' END END",
            metadata=json_object(
                propertyPath=_both("propertyPath"),
                result=result,
                summaries="CASE WHEN len(failed) > 0 THEN to_json(failed) END",
                reask="r.reask",
            ),
        )
        scores = f"""
            SELECT line_no, item, {name} AS category_native, CAST(NULL AS DOUBLE) AS score, CAST(NULL AS DOUBLE) AS threshold,
                true AS triggered
            FROM (SELECT line_no, item, unnest(failed) AS s FROM {judged})"""
        return Selects(checks=checks, scores=scores)
