"""ShieldGemma generations, and ShieldGemma 2's probabilities, in an envelope (formats.md 3.3)."""

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
    error_code,
    json_object,
    number,
    one_of,
    required,
    select_checks,
    sql_text,
    text,
    valid_number,
    verdict,
)


class ShieldGemma:
    """See the module's docstring."""

    key = "shieldgemma"
    title = "ShieldGemma"
    description = (
        "One check per call and policy. The text models answer Yes or No; version 2 gives probabilities only: set thresholds in "
        "weir.toml, e.g. 'shieldgemma/dangerous' = 0.5; without one such a check is undecided and only its score is kept."
    )
    yields = ("checks",)
    structure = {
        **ENVELOPE,
        **dict.fromkeys(["model", "mode", "policy", "output", "yes_prob", "threshold"], "VARCHAR"),
        "input": "JSON",
        "probabilities": "JSON",
        "error": "JSON",
    }
    rules = (
        *envelope_rules(remedy="The answer carries no time: log it with timestamp."),
        required("model"),
        one_of("mode", ("prompt", "prompt_response", "image")),
        Rule(
            "output",
            "missing_field",
            "r.output IS NULL AND r.probabilities IS NULL AND r.yes_prob IS NULL AND r.error IS NULL",
            "The generation, its probabilities, or an error is required.",
        ),
        valid_number("yes_prob", low=0, high=1),
        valid_number("threshold", low=0, high=1),
    )

    def sniff(self, record: Mapping[str, Any]) -> float:
        """Certain when the model's name stands beside an answer."""
        if "shieldgemma" not in str(record.get("model", "")).lower() or "choices" in record:
            return 0.0
        return 1.0 if {"output", "probabilities", "yes_prob", "error"} & record.keys() else 0.0

    def selects(self, settings: Settings) -> Selects:
        """The generated word decides; where there is only a probability, a threshold has to."""
        thresholds = [
            f"WHEN policy = {sql_text(name.split('/', 1)[1].lower())} THEN {value!r}"
            for name, value in settings.thresholds.items()
            if name.startswith("shieldgemma/")
        ]
        configured = f"CASE {' '.join(thresholds)} END" if thresholds else "CAST(NULL AS DOUBLE)"
        chance = ", ".join(
            number(field)
            for field in (
                "r.yes_prob",
                "json_extract_string(r.probabilities, '$.Yes')",
                "json_extract_string(r.probabilities, '$.yes')",
            )
        )
        # '"No Hate Speech": The prompt shall not ...' is the policy hate_speech.
        policy = r"nullif(trim(regexp_replace(regexp_replace(lower(string_split(r.policy, ':')[1]), '^\W*(no\s+)?', ''), '\W+', '_', 'g'), '_'), '')"
        judged = f"""
            (SELECT *, CASE WHEN r.error IS NOT NULL THEN NULL WHEN r.output IS NOT NULL THEN word = 'yes'
                 ELSE score >= threshold END AS fired
             FROM (SELECT *, coalesce({configured}, {number("r.threshold")}) AS threshold
                   FROM (SELECT line_no, r, extra, {policy} AS policy, coalesce({chance}) AS score,
                             lower(nullif(regexp_extract(r.output, '(?i)^\\W*(yes|no)\\b', 1), '')) AS word
                         FROM accepted)))"""
        open_score = "fired IS NULL AND r.error IS NULL AND r.output IS NULL AND score IS NOT NULL"
        checks = select_checks(
            judged,
            **envelope_facts(),
            **verdict("fired")
            | {
                "decision": f"CASE WHEN {open_score} THEN NULL WHEN fired IS NULL THEN 'error' WHEN fired THEN 'flag' ELSE 'allow' END",
                "status": f"CASE WHEN {open_score} THEN 'undecided' WHEN fired IS NULL THEN 'error' ELSE 'ok' END",
            },
            taxonomy="'shieldgemma'",
            # The hash of the record, so that another threshold does not make another check of it.
            native_id="md5(CAST(r AS VARCHAR))",
            layer="'guard_llm'",
            stage="CASE WHEN coalesce(lower(nullif(r.mode, '')) = 'prompt_response', json_exists(r.input, '$.response'), false) "
            "THEN 'output' ELSE 'input' END",
            filter_name="'shieldgemma' || coalesce('/' || policy, '')",
            filter_version="r.model",
            policy_id=text("r.policy"),
            category_native="policy",
            score="score",
            score_kind="CASE WHEN score IS NOT NULL THEN 'probability' END",
            threshold="CASE WHEN r.output IS NULL THEN threshold END",
            error=f"CASE WHEN fired IS NULL AND NOT ({open_score}) THEN coalesce({error_code('r.error')}, 'parse_error') END",
            content="CASE WHEN json_type(r.input) = 'VARCHAR' THEN json_extract_string(r.input, '$') "
            "WHEN lower(r.mode) = 'prompt' THEN json_extract_string(r.input, '$.user') "
            "ELSE coalesce(json_extract_string(r.input, '$.response'), json_extract_string(r.input, '$.user')) END",
            matched_text="CASE WHEN fired IS NULL THEN r.output END",
            metadata=json_object(
                mode="r.mode", output="r.output", input="CASE WHEN json_type(r.input) = 'OBJECT' THEN r.input END"
            ),
        )
        return Selects(checks=checks)
