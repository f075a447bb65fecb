"""Perspective API records: request and response in an envelope (formats.md 2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.settings import Settings
from ingest.formats.base import (
    Rule,
    Selects,
    one_of,
    required,
    sql_text,
    text,
    timestamp,
    valid_number,
    valid_time,
)

# The attributes that a record tells of, some of them twice.
_NAMES = (
    "list_concat(coalesce(json_keys(r.request.requestedAttributes), []), "
    "coalesce(json_keys(r.response.attributeScores), []))"
)


class Perspective:
    """See the module's docstring."""

    key = "perspective"
    title = "Perspective"
    description = (
        "One check per attribute. There is no verdict: set thresholds in weir.toml, e.g. 'perspective/TOXICITY' = 0.8; "
        "without one the check is undecided and only its score is kept."
    )
    yields = ("checks",)
    structure = {
        "timestamp": "VARCHAR",
        "request_id": "VARCHAR",
        "conversation_id": "VARCHAR",
        "user_id": "VARCHAR",
        "direction": "VARCHAR",
        "latency_ms": "VARCHAR",
        "request": {
            "comment": {"text": "VARCHAR"},
            "languages": "JSON",
            "requestedAttributes": "JSON",
            "clientToken": "VARCHAR",
            "sessionId": "VARCHAR",
        },
        "response": {
            "attributeScores": "JSON",
            "languages": "JSON",
            "detectedLanguages": "JSON",
            "clientToken": "VARCHAR",
            "error": "JSON",
        },
    }
    rules = (
        required("timestamp"),
        valid_time("timestamp"),
        one_of("direction", ("input", "output")),
        valid_number("latency_ms", low=0),
        Rule(
            "response",
            "missing_field",
            "r.response.attributeScores IS NULL AND r.response.error IS NULL",
            "The response must hold attributeScores or an error.",
        ),
        Rule(
            "response",
            "invalid_value",
            "r.response.attributeScores IS NOT NULL AND json_type(r.response.attributeScores) <> 'OBJECT'",
            "attributeScores is an object from attribute to scores.",
        ),
        # Below the threshold asked for, an answer holds no score: only the request tells what was judged.
        Rule(
            "request.requestedAttributes",
            "missing_field",
            f"len({_NAMES}) = 0",
            "Neither the request nor the answer names an attribute: log the request with its requestedAttributes.",
        ),
    )

    def sniff(self, record: Mapping[str, Any]) -> float:
        """Certain when attribute scores are there, or a request that asked for them."""
        request, response = record.get("request"), record.get("response")
        if isinstance(response, Mapping) and "attributeScores" in response:
            return 1.0
        return 1.0 if isinstance(request, Mapping) and "requestedAttributes" in request else 0.0

    def selects(self, settings: Settings) -> Selects:
        """An attribute asked for with a scoreThreshold and absent from the answer is below it: a pass without a score."""
        thresholds = [
            f"WHEN lower(attribute) = {sql_text(name.split('/', 1)[1].lower())} THEN {value!r}"
            for name, value in settings.thresholds.items()
            if name.startswith("perspective/")
        ]
        configured = f"CASE {' '.join(thresholds)} END" if thresholds else "CAST(NULL AS DOUBLE)"
        nothing = "CAST(NULL AS VARCHAR)"
        # TOXICITY@6 pins a version; an unpinned attribute has none.
        checks = f"""
            WITH asked AS (
                SELECT line_no, r, extra, list_sort(list_distinct({_NAMES})) AS names,
                    TRY(CAST(r.response.attributeScores AS MAP(VARCHAR, JSON))) AS answers,
                    TRY(CAST(r.request.requestedAttributes AS MAP(VARCHAR, JSON))) AS requests
                FROM accepted),
            attributes AS (
                SELECT line_no, r, extra, item - 1 AS item, name,
                    string_split(name, '@')[1] AS attribute, string_split(name, '@')[2] AS version,
                    answers[name] AS answer,
                    try_cast(json_extract_string(answers[name], '$.summaryScore.value') AS DOUBLE) AS score,
                    try_cast(json_extract_string(requests[name], '$.scoreThreshold') AS DOUBLE) AS floor
                FROM (SELECT line_no, r, extra, answers, requests, unnest(names) AS name,
                          generate_subscripts(names, 1) AS item FROM asked)),
            judged AS (
                SELECT *, coalesce({configured}, floor) AS threshold,
                    CASE WHEN r.response.error IS NOT NULL THEN NULL
                         WHEN score IS NULL AND floor IS NOT NULL THEN false
                         ELSE score >= coalesce({configured}, floor) END AS fired
                FROM attributes)
            SELECT line_no, item, 'perspective' AS taxonomy, md5(CAST(r AS VARCHAR)) AS native_id, {text("r.user_id")} AS user_id,
                coalesce(json_extract_string(r.response.languages, '$[0]'), json_extract_string(r.request.languages, '$[0]')) AS language,
                {nothing} AS app, {nothing} AS outcome, {timestamp("r.timestamp")} AS ts,
                coalesce({text("r.request_id")}, r.response.clientToken, r.request.clientToken) AS request_id,
                coalesce({text("r.conversation_id")}, r.request.sessionId) AS conversation_id,
                CAST(NULL AS INTEGER) AS turn_index, 'classifier' AS layer,
                coalesce(lower({text("r.direction")}), 'input') AS stage, 'perspective/' || attribute AS filter_name,
                version AS filter_version, {nothing} AS policy_id, {nothing} AS policy_version, {nothing} AS rule_id,
                attribute AS category_native, score, 'probability' AS score_kind, threshold, fired AS triggered,
                CASE WHEN r.response.error IS NOT NULL THEN 'error' WHEN fired THEN 'flag' WHEN NOT fired THEN 'allow' END AS decision,
                false AS enforced, 'annotate' AS mode,
                CASE WHEN fired IS NOT NULL THEN 'ok' WHEN score IS NULL THEN 'error' ELSE 'undecided' END AS status,
                try_cast(r.latency_ms AS DOUBLE) AS latency_ms,
                CASE WHEN r.response.error IS NOT NULL
                     THEN coalesce(json_extract_string(r.response.error, '$.details[0].errorType'),
                                   json_extract_string(r.response.error, '$.status'), 'error')
                     WHEN score IS NULL AND floor IS NULL THEN 'no_score' END AS error,
                r.request.comment.text AS content, {nothing} AS matched_text, {nothing} AS model,
                CASE WHEN json_exists(answer, '$.spanScores')
                     THEN CAST(json_object('spanScores', json_extract(answer, '$.spanScores')) AS VARCHAR)
                     END AS metadata, extra
            FROM judged"""
        return Selects(checks=checks)
