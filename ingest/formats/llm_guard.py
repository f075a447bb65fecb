"""LLM Guard: answers of its API, and results of the library in an envelope (formats.md 5.3)."""

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
    json_object,
    number,
    one_of,
    select_checks,
    text,
    valid_boolean,
    valid_number,
)
from ingest.schema import MODES

_RESPONSE = {
    **dict.fromkeys(["is_valid", "sanitized_prompt", "sanitized_output", "detail"], "VARCHAR"),
    **dict.fromkeys(["scanners", "error"], "JSON"),
}


class LlmGuard:
    """See the module's docstring."""

    key = "llm_guard"
    title = "LLM Guard"
    description = (
        "One check per scanner. Scores are margins from -1 to 1, 0 being the scanner's own threshold. The API tells only one verdict "
        "for all: a scanner fired when its margin is above 0. Scanners after the first hit are absent with fail_fast."
    )
    yields = ("checks",)
    structure = {
        **ENVELOPE,
        **dict.fromkeys(
            ["endpoint", "api", "direction", "mode", "elapsed_time_seconds", "sanitized", "prompt", "output"], "VARCHAR"
        ),
        **dict.fromkeys(["results_valid", "results_score"], "JSON"),
        "request": {"prompt": "VARCHAR", "output": "VARCHAR", "scanners_suppress": "JSON"},
        "response": _RESPONSE,
        **_RESPONSE,
    }
    rules = (
        *envelope_rules(remedy="The answer carries no time: log it in an envelope with timestamp."),
        one_of("direction", ("input", "output")),
        one_of("mode", MODES),
        valid_number("elapsed_time_seconds", low=0),
        valid_boolean("response.is_valid"),
        valid_boolean("is_valid"),
        Rule(
            "response",
            "missing_field",
            "coalesce(CAST(r.response.scanners AS VARCHAR), CAST(r.scanners AS VARCHAR), CAST(r.results_valid AS VARCHAR), "
            "CAST(r.results_score AS VARCHAR), CAST(r.response.error AS VARCHAR), CAST(r.error AS VARCHAR), "
            "r.response.detail, r.detail) IS NULL",
            "The answer must hold scanners, results_valid, results_score or an error.",
        ),
    )

    def sniff(self, record: Mapping[str, Any]) -> float:
        """Certain when scanners stand beside their verdict."""
        body = record.get("response") if isinstance(record.get("response"), Mapping) else record
        if {"results_valid", "results_score"} & record.keys():
            return 1.0
        if isinstance(body, Mapping) and isinstance(body.get("scanners"), Mapping):
            return 1.0
        endpoint = str(record.get("endpoint", ""))
        return 1.0 if endpoint.startswith(("/analyze/", "/scan/")) else 0.0

    def selects(self, settings: Settings) -> Selects:
        """The library's verdicts count; without them the sign of the margin, and at exactly 0 the verdict on all."""
        judged = """(
            WITH answers AS (
                SELECT line_no, r, extra, coalesce(r.response.is_valid, r.is_valid) AS is_valid,
                    TRY(CAST(coalesce(r.response.scanners, r.scanners, r.results_score) AS MAP(VARCHAR, JSON))) AS margins,
                    TRY(CAST(r.results_valid AS MAP(VARCHAR, JSON))) AS verdicts,
                    coalesce(json_extract_string(coalesce(r.response.error, r.error), '$.message'),
                        json_extract_string(coalesce(r.response.error, r.error), '$'), r.response.detail, r.detail) AS failure,
                    coalesce(r.response.sanitized_output, r.sanitized_output, r.response.sanitized_prompt, r.sanitized_prompt, r.sanitized) AS sanitized,
                    lower(concat_ws(' ', r.endpoint, r.api)) AS door FROM accepted),
            named AS (
                SELECT *, list_sort(list_distinct(list_concat(coalesce(map_keys(margins), []), coalesce(map_keys(verdicts), [])))) AS names
                FROM answers),
            scanned AS (
                SELECT *, len(list_filter(map_values(margins), lambda m: try_cast(CAST(m AS VARCHAR) AS DOUBLE) >= 0)) AS rivals,
                    lower(is_valid) IN ('true', '1', 'yes') AS valid, try_cast(CAST(margins[name] AS VARCHAR) AS DOUBLE) AS margin,
                    try_cast(CAST(verdicts[name] AS VARCHAR) AS BOOLEAN) AS verdict,
                    coalesce(lower(nullif(r.direction, '')),
                        CASE WHEN contains(door, 'output') OR r.response.sanitized_output IS NOT NULL OR r.sanitized_output IS NOT NULL
                             THEN 'output' ELSE 'input' END) AS stage
                FROM (SELECT * EXCLUDE (names), unnest(CASE WHEN len(names) = 0 THEN [NULL] ELSE names END) AS name,
                          generate_subscripts(CASE WHEN len(names) = 0 THEN [NULL] ELSE names END, 1) - 1 AS item FROM named)),
            -- All valid: none fired. Not valid, and only one scanner is not below its threshold: that one fired.
            judged AS (
                SELECT *, CASE WHEN verdict IS NOT NULL THEN NOT verdict WHEN margin > 0 THEN true WHEN margin < 0 OR valid THEN false
                    WHEN margin = 0 AND NOT valid AND rivals = 1 THEN true END AS fired,
                    coalesce(r.request.output, r.output, r.request.prompt, r.prompt) AS shown FROM scanned)
            SELECT *, coalesce(sanitized <> CASE WHEN stage = 'input' THEN coalesce(r.request.prompt, r.prompt) ELSE shown END, false) AS is_changed
            FROM judged WHERE name IS NOT NULL OR failure IS NOT NULL)"""
        redacts = "name IN ('Anonymize', 'Sensitive', 'Secrets', 'Regex', 'BanSubstrings', 'BanCompetitors')"
        decision = (
            "CASE WHEN fired IS NULL THEN CASE WHEN margin IS NULL THEN 'error' END WHEN NOT fired THEN 'allow' "
            f"WHEN {redacts} AND is_changed THEN 'modify' ELSE 'flag' END"
        )
        mode = f"lower({text('r.mode')})"
        checks = select_checks(
            judged,
            **envelope_facts(
                request_id=f"coalesce({text('r.request_id')}, 'row-' || md5(CAST(r AS VARCHAR)))",
                # The time is that of all scanners together.
                latency_ms=f"coalesce({number('r.latency_ms')}, 1000 * {number('r.elapsed_time_seconds')})",
            ),
            item="item",
            taxonomy="'llm-guard'",
            native_id="md5(CAST(r AS VARCHAR))",
            layer="'classifier'",
            stage="stage",
            filter_name="'llm-guard' || coalesce('/' || name, '')",
            category_native="CASE WHEN fired THEN name END",
            score="margin",
            score_kind="CASE WHEN margin IS NOT NULL THEN 'margin' END",
            threshold="CASE WHEN margin IS NOT NULL THEN 0.0 END",
            triggered="fired",
            decision=decision,
            enforced=f"coalesce(({decision}) = 'modify' AND coalesce({mode}, 'enforce') = 'enforce', false)",
            mode=f"coalesce({mode}, CASE WHEN {redacts} THEN 'enforce' ELSE 'annotate' END)",
            status="CASE WHEN fired IS NOT NULL THEN 'ok' WHEN margin IS NOT NULL THEN 'undecided' ELSE 'error' END",
            error="CASE WHEN fired IS NULL AND margin IS NULL THEN coalesce(failure, 'no_verdict') END",
            content="CASE WHEN stage = 'input' THEN coalesce(r.request.prompt, r.prompt) ELSE coalesce(r.request.output, r.output) END",
            metadata=json_object(is_valid="valid", sanitized="CASE WHEN is_changed THEN sanitized END"),
        )
        return Selects(checks=checks)
