"""Weir's neutral filter log: one row per filter evaluation (contract section 4.1, formats.md 7.4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.settings import Settings
from ingest.formats.base import (
    Rule,
    Selects,
    boolean,
    number,
    one_of,
    required,
    text,
    timestamp,
    valid_boolean,
    valid_number,
    valid_time,
)
from ingest.schema import DECISIONS, MODES, OUTCOMES, STAGES

_COLUMNS = [
    "ts",
    "request_id",
    "conversation_id",
    "turn_index",
    "layer",
    "stage",
    "filter_name",
    "filter_version",
    "policy_id",
    "policy_version",
    "rule_id",
    "category",
    "score",
    "threshold",
    "triggered",
    "decision",
    "enforced",
    "mode",
    "latency_ms",
    "outcome",
    "error",
    "content",
    "matched_text",
    "user_id",
    "model",
]


class FilterLog:
    """See the module's docstring."""

    key = "filter_log"
    title = "Filter log"
    description = "Weir's neutral format: one row per filter evaluation."
    yields = ("checks", "check_scores")
    structure = {**dict.fromkeys(_COLUMNS, "VARCHAR"), "scores": "JSON", "metadata": "JSON"}
    rules = (
        required("ts"),
        valid_time("ts"),
        required("filter_name"),
        Rule(
            "triggered",
            "missing_field",
            "nullif(r.triggered, '') IS NULL AND nullif(r.decision, '') IS NULL AND nullif(r.error, '') IS NULL",
            "One of triggered, decision and error is required.",
        ),
        valid_boolean("triggered"),
        valid_boolean("enforced"),
        one_of("decision", DECISIONS),
        one_of("mode", MODES),
        one_of("stage", STAGES),
        one_of("outcome", OUTCOMES),
        valid_number("score"),
        valid_number("threshold"),
        valid_number("latency_ms", low=0),
        valid_number("turn_index", low=0, high=2**31 - 1),
    )

    def sniff(self, record: Mapping[str, Any]) -> float:
        """Certain when a filter's name stands beside a verdict."""
        if "filter_name" not in record or "reviewer" in record:
            return 0.0
        return 1.0 if {"triggered", "decision"} & record.keys() else 0.4

    def selects(self, settings: Settings) -> Selects:
        """Checks; and one score row per entry of `scores`, or per category where a check names several."""
        # What several columns tell of is worked out once: DuckDB would plan each copy of it.
        read = f"""
            SELECT line_no, r, extra, {boolean("r.triggered")} AS said, lower({text("r.decision")}) AS decision,
                {text("r.error")} AS error FROM accepted"""
        # An error is a pass only if nobody looks: unless the filter fired all the same, it has decided nothing.
        fired = (
            "CASE WHEN said THEN true WHEN error IS NOT NULL OR decision IN ('error', 'skipped') THEN NULL "
            "WHEN said IS NOT NULL THEN said WHEN decision = 'allow' THEN false WHEN decision IS NOT NULL THEN true END"
        )
        # Several categories come as a JSON list, or separated by `;` in CSV.
        categories = (
            "CASE WHEN nullif(r.category, '') IS NULL THEN NULL "
            "WHEN starts_with(r.category, '[') THEN coalesce(TRY(from_json(r.category, '[\"VARCHAR\"]')), [r.category]) "
            "WHEN contains(r.category, ';') THEN string_split(r.category, ';') ELSE [r.category] END"
        )
        checks = f"""
            SELECT line_no, 0 AS item, 'weir' AS taxonomy, CAST(NULL AS VARCHAR) AS native_id,
                {text("r.user_id")} AS user_id, CAST(NULL AS VARCHAR) AS language, CAST(NULL AS VARCHAR) AS app,
                lower({text("r.outcome")}) AS outcome, {timestamp("r.ts")} AS ts,
                coalesce({text("r.request_id")}, {text("r.conversation_id")} || '#' || r.turn_index) AS request_id,
                {text("r.conversation_id")} AS conversation_id,
                CAST({number("r.turn_index")} AS INTEGER) AS turn_index,
                coalesce({text("r.layer")}, 'other') AS layer, coalesce(lower({text("r.stage")}), 'input') AS stage,
                r.filter_name AS filter_name, {text("r.filter_version")} AS filter_version,
                {text("r.policy_id")} AS policy_id, {text("r.policy_version")} AS policy_version,
                {text("r.rule_id")} AS rule_id, trim(({categories})[1]) AS category_native,
                {number("r.score")} AS score,
                CASE WHEN nullif(r.score, '') IS NOT NULL THEN 'probability' END AS score_kind,
                {number("r.threshold")} AS threshold, fired AS triggered, decision,
                coalesce({boolean("r.enforced")}, fired AND coalesce(lower(r.mode), 'enforce') = 'enforce'
                    AND decision IN ('block', 'modify', 'escalate'), false) AS enforced,
                coalesce(lower({text("r.mode")}), 'enforce') AS mode,
                CASE WHEN fired IS NOT NULL THEN 'ok' WHEN decision = 'skipped' THEN 'not_run'
                    ELSE 'error' END AS status,
                {number("r.latency_ms")} AS latency_ms, error, {text("r.content")} AS content,
                {text("r.matched_text")} AS matched_text, {text("r.model")} AS model,
                CAST(r.metadata AS VARCHAR) AS metadata, extra
            FROM (SELECT *, {fired} AS fired FROM ({read}))"""
        scores = f"""
            SELECT line_no, 0 AS item, unnest(map_keys(scores)) AS category_native, unnest(map_values(scores)) AS score,
                CAST(NULL AS DOUBLE) AS threshold, CAST(NULL AS BOOLEAN) AS triggered
            FROM (SELECT line_no, TRY(CAST(r.scores AS MAP(VARCHAR, DOUBLE))) AS scores
                  FROM accepted WHERE r.scores IS NOT NULL)
            UNION ALL
            SELECT line_no, 0, trim(unnest(categories)), CAST(NULL AS DOUBLE), CAST(NULL AS DOUBLE), triggered
            FROM (SELECT line_no, {categories} AS categories, {fired} AS triggered FROM ({read})
                  WHERE r.category LIKE '[%' OR r.category LIKE '%;%') WHERE len(categories) > 1"""
        return Selects(checks=checks, scores=scores)
