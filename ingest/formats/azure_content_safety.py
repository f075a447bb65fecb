"""Azure AI Content Safety: text and image analysis, blocklists, Prompt Shields (formats.md 4.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.settings import Settings
from ingest.formats.base import (
    ENVELOPE,
    RECORD_HASH,
    Rule,
    Selects,
    envelope_facts,
    envelope_rules,
    json_items,
    json_object,
    json_value,
    one_of,
    select_checks,
    sql_text,
    text,
    with_facts,
)

_PREVIEW = {"Hate": "hateResult", "SelfHarm": "selfHarmResult", "Sexual": "sexualResult", "Violence": "violenceResult"}
_RESPONSE = dict.fromkeys(
    ["categoriesAnalysis", "blocklistsMatch", "userPromptAnalysis", "documentsAnalysis", *_PREVIEW.values(), "error"],
    "JSON",
)
_FILTER = "azure-content-safety/"


def _answer(name: str) -> str:
    """A part of the answer, in its envelope or bare; JSON null counts as absent."""
    return f"nullif(CAST(coalesce(r.response.{name}, r.{name}) AS VARCHAR), 'null')::JSON"


class AzureContentSafety:
    """See the module's docstring."""

    key = "azure_content_safety"
    title = "Azure AI Content Safety"
    description = (
        "One check per category and one for the blocklists; Prompt Shields give one for the prompt and one per document. Severities "
        "carry no verdict: set thresholds in weir.toml, e.g. 'azure-content-safety/Violence' = 4; without one they are undecided."
    )
    yields = ("checks",)
    structure = {
        **ENVELOPE,
        "direction": "VARCHAR",
        "request": {
            **dict.fromkeys(["text", "haltOnBlocklistHit", "outputType", "userPrompt"], "VARCHAR"),
            **dict.fromkeys(["categories", "blocklistNames", "documents"], "JSON"),
        },
        "response": _RESPONSE,
        **_RESPONSE,
    }
    rules = (
        *envelope_rules(remedy="The answer carries no time: log it in an envelope with timestamp."),
        one_of("direction", ("input", "output")),
        Rule(
            "response",
            "missing_field",
            f"coalesce({', '.join(_answer(name) for name in _RESPONSE)}) IS NULL",
            "The answer must hold categoriesAnalysis, blocklistsMatch, userPromptAnalysis or an error.",
        ),
        Rule(
            "categoriesAnalysis",
            "invalid_value",
            f"json_type({_answer('categoriesAnalysis')}) <> 'ARRAY'",
            "categoriesAnalysis is a list of category and severity.",
        ),
    )

    def sniff(self, record: Mapping[str, Any]) -> float:
        """Certain when an analysis is there."""
        body = record.get("response") if isinstance(record.get("response"), Mapping) else record
        keys = _RESPONSE.keys() - {"error"}
        request = record.get("request")
        if isinstance(body, Mapping) and keys & body.keys():
            return 1.0
        asked = isinstance(request, Mapping) and {"blocklistNames", "outputType", "haltOnBlocklistHit"} & request.keys()
        return 1.0 if asked and isinstance(body, Mapping) and "error" in body else 0.0

    def selects(self, settings: Settings) -> Selects:
        """A category that was asked for and not answered was skipped after a blocklist hit, or failed."""
        thresholds = [
            f"WHEN lower(name) = {sql_text(name.removeprefix(_FILTER).lower())} THEN {value!r}"
            for name, value in settings.thresholds.items()
            if name.startswith(_FILTER)
        ]
        configured = f"CASE {' '.join(thresholds)} END" if thresholds else "CAST(NULL AS DOUBLE)"
        analysis, matches, error = _answer("categoriesAnalysis"), _answer("blocklistsMatch"), _answer("error")
        preview = ", ".join(
            f"CASE WHEN {_answer(key)} IS NOT NULL THEN json_object('category', {sql_text(name)}, "
            f"'severity', json_extract({_answer(key)}, '$.severity')) END"
            for name, key in _PREVIEW.items()
        )
        every = f"[{', '.join(sql_text(name) for name in _PREVIEW)}]"
        attack = "try_cast(json_extract_string({}, '$.attackDetected') AS BOOLEAN)"
        judged = f"""
            WITH answers AS (
                SELECT line_no, {error} AS failure, r.request.userPrompt IS NOT NULL AS has_prompt, r.request.categories AS categories,
                    lower(r.request.haltOnBlocklistHit) = 'true' AS halts, json_array_length(r.request.blocklistNames) > 0 AS has_lists,
                    coalesce({json_items(matches)}, []) AS hits,
                    list_filter(coalesce({json_items(analysis)}, [{preview}]), lambda a: a IS NOT NULL) AS found,
                    {_answer("userPromptAnalysis")} AS prompt, {_answer("documentsAnalysis")} AS documents
                FROM accepted),
            analysed AS (
                SELECT *, list_transform(found, lambda a: json_extract_string(a, '$.category')) AS answered,
                    CASE WHEN prompt IS NULL AND documents IS NULL AND NOT has_prompt
                         THEN coalesce(from_json(categories, '["VARCHAR"]'),
                             -- Without a list all four are asked for, and missed when the analysis was halted or failed.
                             CASE WHEN failure IS NOT NULL OR (len(hits) > 0 AND halts)
                                  THEN {every} END, [])
                         ELSE [] END AS asked
                FROM answers),
            severities AS (
                SELECT *, try_cast(list_filter(scored, lambda s: s.name = name)[1].severity AS DOUBLE) AS score
                FROM (SELECT *, unnest(list_sort(list_distinct(list_concat(asked, answered)))) AS name,
                          list_transform(found, lambda a: {{'name': json_extract_string(a, '$.category'),
                              'severity': json_extract_string(a, '$.severity')}}) AS scored FROM analysed)),
            judged AS (
                SELECT line_no, failure, name, name AS category, 'input' AS part, score, {configured} AS threshold,
                    score >= {configured} AS fired, CAST(NULL AS VARCHAR) AS rule, CAST(NULL AS VARCHAR) AS matched,
                    CAST(NULL AS JSON) AS details, len(hits) > 0 AND score IS NULL AS is_skipped FROM severities
                UNION ALL
                SELECT line_no, failure, 'blocklist', 'blocklist', 'input', NULL, NULL,
                    CASE WHEN failure IS NULL THEN len(hits) > 0 END,
                    concat_ws('/', {json_value("hits[1]", "$.blocklistName")}, {json_value("hits[1]", "$.blocklistItemId")}),
                    {json_value("hits[1]", "$.blocklistItemText")}, CASE WHEN len(hits) > 0 THEN to_json(hits) END, false
                FROM analysed WHERE len(hits) > 0 OR has_lists
                UNION ALL
                SELECT line_no, failure, 'prompt-shield', 'jailbreak', 'input', NULL, NULL, {attack.format("prompt")},
                    NULL, NULL, NULL, false FROM analysed WHERE prompt IS NOT NULL OR has_prompt
                UNION ALL
                SELECT line_no, failure, 'prompt-shield', 'indirect-attack', 'retrieval', NULL, NULL, {attack.format("document")},
                    NULL, NULL, json_object('document', position), false
                FROM (SELECT *, unnest({json_items("documents")}) AS document,
                          generate_subscripts({json_items("documents")}, 1) - 1 AS position FROM analysed))
            SELECT *, row_number() OVER (PARTITION BY line_no ORDER BY name, part, CAST(details AS VARCHAR)) - 1 AS item FROM judged"""
        facts = {
            # The checks of one record belong to one turn, named or not.
            **envelope_facts(request_id=f"coalesce({text('r.request_id')}, 'row-' || {RECORD_HASH})"),
            "native_id": RECORD_HASH,
        }
        said = {
            "side": "coalesce(lower(nullif(r.direction, '')), 'input')",
            "asked": "coalesce(r.request.text, r.request.userPrompt)",
            "shown": "r.request.documents",
            "outputs": "r.request.outputType",
        }
        checks = select_checks(
            with_facts(judged, **facts, **said),
            **{name: name for name in facts},
            item="item",
            taxonomy="'azure-content-safety'",
            layer="'classifier'",
            stage="CASE WHEN part = 'input' THEN side ELSE part END",
            filter_name=f"'{_FILTER}' || name",
            rule_id=text("rule"),
            category_native="CASE WHEN score IS NOT NULL OR fired THEN category END",
            score="score",
            score_kind="CASE WHEN score IS NOT NULL THEN 'severity' END",
            threshold="threshold",
            triggered="fired",
            decision="CASE WHEN fired THEN 'flag' WHEN NOT fired THEN 'allow' WHEN is_skipped THEN 'skipped' "
            "WHEN score IS NULL THEN 'error' END",
            enforced="false",
            mode="'annotate'",
            status="CASE WHEN fired IS NOT NULL THEN 'ok' WHEN is_skipped THEN 'not_run' WHEN score IS NULL THEN 'error' "
            "ELSE 'undecided' END",
            error=f"CASE WHEN fired IS NULL AND score IS NULL AND NOT is_skipped "
            f"THEN coalesce({json_value('failure', '$.code', '$.message')}, 'no_verdict') END",
            content="CASE WHEN part = 'input' THEN asked "
            "ELSE json_extract_string(shown, '$[' || json_extract_string(details, '$.document') || ']') END",
            matched_text="matched",
            metadata=json_object(outputType="outputs", details="details"),
        )
        return Selects(checks=checks)
