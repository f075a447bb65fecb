"""Granite Guardian 3.0 to 4.1 generations in an envelope (formats.md 3.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.settings import Settings
from ingest.formats.base import (
    ENVELOPE,
    Rule,
    Selects,
    boolean,
    envelope_facts,
    envelope_rules,
    error_code,
    json_object,
    number,
    one_of,
    parts_text,
    required,
    select_checks,
    text,
    valid_boolean,
    valid_number,
    verdict,
)
from ingest.schema import MODES

_NO_THINKING = r"regexp_replace(r.output, '(?is)<think>.*?(</think>|$)', '', 'g')"


class GraniteGuardian:
    """See the module's docstring."""

    key = "granite_guardian"
    title = "Granite Guardian"
    description = (
        "One check per generation and criterion; `yes_means_risk` false turns a criterion of your own around. "
        "A generation without a verdict is an error, not a pass."
    )
    yields = ("checks", "check_scores")
    structure = {
        **ENVELOPE,
        **dict.fromkeys(["model", "output", "prob_of_risk", "threshold", "yes_means_risk", "mode"], "VARCHAR"),
        "guardian_config": dict.fromkeys(
            ["risk_name", "criteria_id", "criteria", "risk_definition", "yes_means_risk"], "VARCHAR"
        ),
        "messages": "JSON",
        "error": "JSON",
    }
    rules = (
        *envelope_rules(remedy="The generation carries no time: log it with timestamp."),
        required("model"),
        Rule(
            "output",
            "missing_field",
            "r.output IS NULL AND r.error IS NULL",
            "The generation, or an error, is required.",
        ),
        valid_number("prob_of_risk", low=0, high=1),
        valid_number("threshold", low=0, high=1),
        valid_boolean("yes_means_risk"),
        one_of("mode", MODES),
    )

    def sniff(self, record: Mapping[str, Any]) -> float:
        """Certain when a Granite Guardian's plain generation is there."""
        model = str(record.get("model", "")).lower().replace("-", "").replace("_", "")
        if "choices" in record or not ("graniteguardian" in model or "guardian_config" in record):
            return 0.0
        return 1.0 if {"output", "error"} & record.keys() else 0.0

    def selects(self, settings: Settings) -> Selects:
        """The last score tag decides, else the first word; what was thought before is no verdict."""
        tagged = r"lower(regexp_extract_all(said, '(?i)<score>\s*(yes|no)\s*</score>', 1)[-1])"
        first = r"lower(nullif(regexp_extract(said, '(?i)^\s*(yes|no)\b', 1), ''))"
        config = "r.guardian_config"
        messages = "from_json(CASE WHEN json_type(r.messages) = 'ARRAY' THEN r.messages END, '[\"JSON\"]')"
        block = "nullif(trim(regexp_extract(json_extract_string(m, '$.content'), '(?s)<guardian>(.*?)</guardian>', 1), chr(10) || ' '), '')"
        criterion = (
            f"coalesce({text(f'{config}.criteria')}, {text(f'{config}.risk_definition')}, "
            f"list_filter(list_transform({messages}, lambda m: {block}), lambda t: t IS NOT NULL)[-1])"
        )
        parsed = f"""
            (SELECT *, coalesce({tagged}, {first}) AS answer,
                 coalesce(lower({text(f"{config}.risk_name")}), lower({text(f"{config}.criteria_id")}),
                     CASE WHEN criterion IS NOT NULL THEN 'custom' END) AS name
             FROM (SELECT line_no, r, extra, {_NO_THINKING} AS said, {criterion} AS criterion,
                       coalesce({boolean("r.yes_means_risk")}, {boolean(f"{config}.yes_means_risk")}, true) AS yes_is_risk,
                       list_filter({messages}, lambda m: {block} IS NULL)[-1] AS checked
                   FROM accepted))"""
        fired = "CASE WHEN r.error IS NULL THEN (answer = 'yes') = yes_is_risk END"
        stage = (
            "CASE WHEN name IN ('relevance', 'context_relevance') THEN 'retrieval' WHEN name = 'function_call' THEN 'tool_input' "
            "WHEN name IN ('groundedness', 'answer_relevance') OR json_extract_string(checked, '$.role') = 'assistant' "
            "THEN 'output' ELSE 'input' END"
        )
        confidence = r"nullif(trim(regexp_extract(said, '(?i)<confidence>\s*(\w+)\s*</confidence>', 1)), '')"
        probability = number("r.prob_of_risk")
        checks = select_checks(
            parsed,
            **envelope_facts(),
            **verdict(fired) | {"mode": f"coalesce(lower({text('r.mode')}), 'annotate')"},
            taxonomy="'granite-guardian'",
            layer="'guard_llm'",
            stage=stage,
            filter_name="'granite-guardian' || coalesce('/' || name, '')",
            filter_version="r.model",
            policy_id="criterion",
            category_native="name",
            score=f"CASE WHEN yes_is_risk THEN {probability} ELSE 1 - {probability} END",
            score_kind="CASE WHEN nullif(r.prob_of_risk, '') IS NOT NULL THEN 'probability' END",
            threshold=number("r.threshold"),
            error=f"CASE WHEN ({fired}) IS NULL THEN coalesce({error_code('r.error')}, 'parse_error') END",
            content=parts_text("json_extract(checked, '$.content')"),
            matched_text=f"CASE WHEN ({fired}) IS NULL THEN r.output END",
            metadata=json_object(
                answer="answer",
                confidence=confidence,
                yes_means_risk="CASE WHEN NOT yes_is_risk THEN false END",
                messages="r.messages",
            ),
        )
        # One model lists the harms after its verdict; prose has other punctuation or more words.
        rest = r"regexp_replace(said, '(?is)^\s*yes\b|<confidence>.*?</confidence>|[\[\]''\"]', '', 'g')"
        harms = f"list_transform(regexp_split_to_array({rest}, '[,\\n]'), lambda part: trim(part))"
        scores = f"""
            SELECT line_no, 0 AS item, harm AS category_native, CAST(NULL AS DOUBLE) AS score,
                CAST(NULL AS DOUBLE) AS threshold, true AS triggered
            FROM (SELECT line_no, unnest(list_distinct({harms})) AS harm FROM {parsed}
                  WHERE answer = 'yes' AND yes_is_risk AND r.error IS NULL AND NOT contains(said, '<score'))
            WHERE regexp_full_match(harm, '[A-Za-z]+([ _-][A-Za-z]+){{0,2}}')"""
        return Selects(checks=checks, scores=scores)
