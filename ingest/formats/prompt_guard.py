"""Prompt Guard 1 and 2: the output of a text-classification pipeline in an envelope (formats.md 3.4)."""

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
    text,
    valid_number,
    verdict,
)
from ingest.schema import MODES, STAGES

_LABEL = '{"label":"VARCHAR","score":"DOUBLE"}'


class PromptGuard:
    """See the module's docstring."""

    key = "prompt_guard"
    title = "Prompt Guard"
    description = (
        "One check per record: the winning label is the verdict, unless the log has a threshold; the score is the chance of an "
        "attack, whichever label won. Several segments in one record count as the worst; segments logged apart are checks of one turn."
    )
    yields = ("checks", "check_scores")
    structure = {
        **ENVELOPE,
        **dict.fromkeys(["model", "segment", "text", "threshold", "stage", "mode"], "VARCHAR"),
        "output": "JSON",
        "error": "JSON",
    }
    rules = (
        *envelope_rules(remedy="The labels carry no time: log them with timestamp."),
        required("model"),
        Rule(
            "output", "missing_field", "r.output IS NULL AND r.error IS NULL", "The labels, or an error, are required."
        ),
        valid_number("segment", low=0),
        valid_number("threshold", low=0, high=1),
        one_of("stage", STAGES),
        one_of("mode", MODES),
    )

    def sniff(self, record: Mapping[str, Any]) -> float:
        """Certain when the model's name stands beside labels."""
        model = str(record.get("model", "")).lower().replace("-", "").replace("_", "")
        return 1.0 if "promptguard" in model and isinstance(record.get("output"), list | dict) else 0.0

    def selects(self, settings: Settings) -> Selects:
        """Version 1 has three labels and version 2 has two; either may come as LABEL_0, LABEL_1, ..."""
        is_second = "regexp_matches(lower(r.model), 'prompt[-_]?guard[-_]?2')"
        segments = (
            f"CASE WHEN json_type(r.output) = 'OBJECT' THEN [[TRY(from_json(r.output, '{_LABEL}'))]] "
            f"WHEN json_type(r.output, '$[0]') = 'ARRAY' THEN TRY(from_json(r.output, '[[{_LABEL}]]')) "
            f"WHEN json_type(r.output) = 'ARRAY' THEN [TRY(from_json(r.output, '[{_LABEL}]'))] END"
        )
        kind = (
            "CASE WHEN w.label IN ('BENIGN', 'LABEL_0') THEN 'benign' WHEN w.label IN ('MALICIOUS', 'INJECTION', 'JAILBREAK', 'LABEL_1') "
            "OR w.label = 'LABEL_2' AND NOT is_second THEN 'attack' END"
        )
        winner = (
            "list_reverse_sort(list_transform(list_filter(s, lambda e: isfinite(e.score)), "
            "lambda e: {'score': e.score, 'label': upper(trim(e.label))}))[1]"
        )
        threshold = number("r.threshold")
        judged = f"""
            (SELECT *, list_reverse_sort(list_filter(winners, lambda w: w.risk IS NOT NULL))[1] AS worst,
                 CASE WHEN r.error IS NOT NULL THEN NULL
                      WHEN len(list_filter(winners, lambda w: coalesce(w.risk >= threshold, w.kind = 'attack'))) > 0 THEN true
                      WHEN len(winners) > 0 AND len(list_filter(winners, lambda w: w.kind IS NULL)) = 0 THEN false END AS fired
             FROM (SELECT *, list_transform(list_transform(segments, lambda s: {winner}), lambda w: {{
                       'risk': CASE {kind} WHEN 'benign' THEN round(1 - w.score, 9) WHEN 'attack' THEN w.score END,
                       'label': w.label, 'kind': {kind}}}) AS winners
                   FROM (SELECT line_no, r, extra, {threshold} AS threshold, {is_second} AS is_second, {segments} AS segments
                         FROM accepted)))"""
        checks = select_checks(
            judged,
            **envelope_facts(),
            **verdict("fired") | {"mode": f"coalesce(lower({text('r.mode')}), 'annotate')"},
            taxonomy="'prompt-guard'",
            layer="'classifier'",
            stage=f"coalesce(lower({text('r.stage')}), 'input')",
            filter_name="'prompt-guard'",
            filter_version="r.model",
            category_native="CASE WHEN fired THEN CASE WHEN worst.kind = 'attack' THEN worst.label ELSE 'MALICIOUS' END END",
            score="worst.risk",
            score_kind="CASE WHEN worst.risk IS NOT NULL THEN 'probability' END",
            threshold="threshold",
            error=f"CASE WHEN fired IS NULL THEN coalesce({error_code('r.error')}, "
            "CASE WHEN len(list_filter(winners, lambda w: w.label IS NOT NULL)) > 0 THEN 'unknown_label' ELSE 'no_verdict' END) END",
            content="r.text",
            metadata=json_object(
                segment="coalesce(try_cast(r.segment AS BIGINT), "
                "CASE WHEN len(segments) > 1 THEN list_position(winners, worst) - 1 END)",
                segments="CASE WHEN len(segments) > 1 THEN len(segments) END",
                output="r.output",
            ),
        )
        scores = f"""
            SELECT line_no, 0 AS item, label AS category_native, max(score) AS score, CAST(NULL AS DOUBLE) AS threshold,
                bool_or(fired AND coalesce(score >= limited, list_contains(labels, label))) AS triggered
            FROM (SELECT line_no, fired, limited, labels, upper(trim(entry.label)) AS label, entry.score AS score
                  FROM (SELECT line_no, fired, threshold AS limited, list_transform(winners, lambda w: w.label) AS labels,
                            unnest(flatten(segments)) AS entry FROM {judged}))
            WHERE label NOT IN ('BENIGN', 'LABEL_0') GROUP BY line_no, label"""
        return Selects(checks=checks, scores=scores)
